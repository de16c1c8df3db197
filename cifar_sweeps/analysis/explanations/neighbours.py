"""Nearest images in the space of a network's last features."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cifar_sweeps.analysis.explanations.layers import call_layers


@dataclass(frozen=True)
class Neighbours:
    """The k nearest images of each of N: their numbers and cosine similarities, each (N, k), the nearest first."""

    numbers: Tensor
    similarity: Tensor


def last_layer(net: nn.Module, image: Tensor) -> str:
    """Return the name of the layer that makes the logits: the last one with parameters that an image passes through.

    image: (1, 3, H, W) as the network takes it.
    """
    called: list[str] = []

    def note(name: str, module: nn.Module, _output: object) -> None:
        if list(module.parameters(recurse=False)):
            called.append(name)

    call_layers(net, image, note)
    return called[-1]


@torch.no_grad()
def last_features(net: nn.Module, inputs: Tensor, layer: str) -> Tensor:
    """Return what a layer receives for inputs (N, 3, H, W): features (N, F); of maps, the mean over places."""
    received: list[Tensor] = []

    def record(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        received[:] = [given[0].detach().clone()]  # the last call's; a copy, as a layer may work in place

    handle = dict(net.named_modules())[layer].register_forward_pre_hook(record)
    try:
        net(inputs)
    finally:
        handle.remove()
    features = received[0]
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features.flatten(1)


def nearest(queries: Tensor, batches: Iterable[Tensor], count: int) -> Neighbours:
    """Return the images whose features are nearest to each query's, by cosine similarity, in one pass over batches.

    queries: (N, F). batches: (B, F) each, of images in their order. count: how many; fewer if there are fewer images.
    Of equally near ones the first. Features that are all zero are near to none (similarity 0).
    """
    queries = F.normalize(queries, dim=1)
    best = torch.empty(len(queries), 0)
    numbers = torch.empty(len(queries), 0, dtype=torch.int64)
    start = 0
    for batch in batches:
        here = torch.arange(start, start + len(batch)).expand(len(queries), -1)
        start += len(batch)
        similarity = torch.cat([best, queries @ F.normalize(batch, dim=1).T], dim=1)
        candidates = torch.cat([numbers, here], dim=1)
        order = similarity.sort(dim=1, descending=True, stable=True).indices[:, :count]
        best, numbers = similarity.gather(1, order), candidates.gather(1, order)
    return Neighbours(numbers, best)
