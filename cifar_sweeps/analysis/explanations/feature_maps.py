"""Record what layers put out while a network runs, and pick the channels that differ most between places."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def recorded_outputs(net: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of layers while ``net`` runs in the block; of a layer that is called twice, the last.

    The network goes on with a copy, through which gradients flow: a following layer that works in place would else
    change what was recorded.
    """
    found: dict[str, Tensor] = {}
    modules, handles = dict(net.named_modules()), []
    for name in names:

        def record(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> Tensor:
            found[name] = output
            return output.clone()

        handles.append(modules[name].register_forward_hook(record))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def feature_maps(net: nn.Module, inputs: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return outputs of layers by name, (N, channels, h, w) each. inputs: (N, 3, H, W) as the network takes them."""
    with recorded_outputs(net, names) as found:
        net(inputs)
    return {name: found[name].clone() for name in names}


def telling_channels(maps: Tensor, count: int) -> list[int]:
    """Return the ``count`` channels of maps (N, channels, h, w) that vary most from place to place, ascending.

    By the standard deviation over places, mean over images; the first ones if several are equal.
    """
    spread = maps.flatten(2).std(dim=2, correction=0).mean(dim=0)
    order = spread.argsort(descending=True, stable=True)[:count]
    return sorted(int(channel) for channel in order)
