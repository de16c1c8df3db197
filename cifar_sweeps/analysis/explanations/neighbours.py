"""Nearest training images in the space of a network's last features."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Neighbours:
    """The k nearest images of each of N: positions and cosine similarities, each (N, k), the nearest first."""

    positions: Tensor
    similarity: Tensor


def last_features(net: nn.Module) -> tuple[str, Callable[[Tensor], Tensor]]:
    """Return the name of the layer that makes the logits, and a function from inputs to what it receives: (N, F).

    It is the last layer with parameters of its own.
    """
    with_parameters = [name for name, module in net.named_modules() if list(module.parameters(recurse=False))]
    modules = dict(net.named_modules())
    dense = [name for name in with_parameters if isinstance(modules[name], nn.Linear)]
    last = (dense or with_parameters)[-1]

    @torch.no_grad()
    def features(inputs: Tensor) -> Tensor:
        found: list[Tensor] = []
        handle = modules[last].register_forward_pre_hook(lambda _module, given: found.append(given[0].detach().clone()))
        try:
            net(inputs)
        finally:
            handle.remove()
        return found[-1].flatten(1)

    return last, features


def nearest(queries: Tensor, batches: Iterable[Tensor], count: int) -> Neighbours:
    """Return the nearest of many features to each query, by cosine similarity, in one pass over the batches.

    queries: (N, F). batches: (B, F) each, of the images in order. count: how many; fewer if there are fewer images.
    """
    queries = F.normalize(queries, dim=1)
    best = torch.empty(len(queries), 0)
    places = torch.empty(len(queries), 0, dtype=torch.int64)
    start = 0
    for batch in batches:
        similarity = queries @ F.normalize(batch, dim=1).T
        here = torch.arange(start, start + len(batch)).expand(len(queries), -1)
        start += len(batch)
        both, where = torch.cat([best, similarity], dim=1), torch.cat([places, here], dim=1)
        best, order = both.topk(min(count, both.shape[1]), dim=1)
        places = where.gather(1, order)
    return Neighbours(places, best)
