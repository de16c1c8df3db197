"""Look at the layers of a network while it runs: their outputs, and the filters of the first convolution."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cifar_sweeps.errors import ConfigError, did_you_mean


@contextmanager
def recorded_outputs(net: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of these layers while ``net`` runs in the block; of a layer called twice, the last.

    A layer that works in place may follow one of them: what is recorded is a copy, through which gradients flow.
    """
    found: dict[str, Tensor] = {}
    modules = dict(net.named_modules())

    def record(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            found[name] = output
            return output.clone()

        return modules[name].register_forward_hook(hook)

    handles = [record(name) for name in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]


@torch.no_grad()
def spatial_layers(net: nn.Module, image: Tensor) -> list[str]:
    """Return the names of the layers whose output is a map of more than one pixel, in the order of their calls.

    image: (1, 3, H, W), as the network takes it. Leaves only, as `cifar-sweeps summary` lists them.
    """
    order: list[str] = []
    handles = []
    for name, module in net.named_modules():
        if not list(module.children()):

            def note(_module: nn.Module, _inputs: object, output: object, name: str = name) -> None:
                if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                    order.append(name)

            handles.append(module.register_forward_hook(note))
    try:
        net(image)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(order))


def default_layers(net: nn.Module, spatial: Sequence[str]) -> list[str]:
    """Return three layers worth a look: the first convolution, one in the middle and the last; fewer if there are."""
    modules = dict(net.named_modules())
    convolutions = [name for name in spatial if isinstance(modules[name], nn.Conv2d)] or list(spatial)
    picked = [convolutions[0], convolutions[len(convolutions) // 2], convolutions[-1]] if convolutions else []
    return list(dict.fromkeys(picked))


def check_layers(names: Sequence[str], spatial: Sequence[str]) -> None:
    """Raise ConfigError for a layer that has no map, with those that have one."""
    for name in names:
        if name not in spatial:
            shown = ", ".join(spatial[:12]) + (" …" if len(spatial) > 12 else "")
            raise ConfigError(
                f"--layer {name}: is no layer with a map of several pixels; there are {shown or 'none'}"
                f"{did_you_mean(name, list(spatial))}; cifar-sweeps summary lists all layers"
            )


def first_filters(net: nn.Module) -> tuple[str, Tensor] | None:
    """Return name and weights (filters, 3, h, w) of the first convolution on the image's three channels, or None."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.shape[1] == 3:
            return name, module.weight.detach()
    return None
