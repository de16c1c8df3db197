"""The layers of a network that put out maps: their names, sizes and order, and which of them are worth a look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from cifar_sweeps.errors import ConfigError, did_you_mean

_MOST_NAMED = 40


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output is maps (channels, height, width). Layers are in the order in which they end.

    calls: how often an image passes through it; size and place are those of its last call. version: equal for two
    layers if and only if they put out the same values in the same memory, as a block and its last layer do.
    """

    name: str
    channels: int
    height: int
    width: int
    calls: int
    is_convolution: bool
    is_activation: bool
    is_leaf: bool
    version: tuple[int, int]

    @property
    def shape(self) -> str:
        """Channels, height and width, as `cifar-sweeps summary` prints them."""
        return f"{self.channels}×{self.height}×{self.width}"


def map_layers(net: nn.Module, image: Tensor) -> tuple[MapLayer, ...]:
    """Return the layers and blocks of ``net`` that put out maps, by running it on one image (1, 3, H, W)."""
    found: dict[str, MapLayer] = {}
    kept: list[Tensor] = []  # or the memory of one could be given to the next, which would then look like the same

    def note(name: str, module: nn.Module, output: object) -> None:
        if not name or not isinstance(output, Tensor) or output.ndim != 4:
            return
        kept.append(output)
        before = found.pop(name, None)
        channels, height, width = output.shape[1:]
        found[name] = MapLayer(
            name,
            channels,
            height,
            width,
            calls=1 + (before.calls if before is not None else 0),
            is_convolution=isinstance(module, nn.Conv2d),
            is_activation=type(module).__module__ == nn.ReLU.__module__,
            is_leaf=not list(module.children()),
            version=(id(output), output._version),
        )

    call_layers(net, image, note)
    return tuple(found.values())


def call_layers(net: nn.Module, image: Tensor, note: Callable[[str, nn.Module, object], None]) -> None:
    """Run ``net`` on one image (1, 3, H, W), and call ``note`` with the name, layer and output of each when it ends.

    The network itself has the empty name.
    """
    handles = []
    for name, module in net.named_modules():
        handles.append(module.register_forward_hook(partial(_call, note, name)))
    try:
        with torch.no_grad():
            net(image)
    finally:
        for handle in handles:
            handle.remove()


def _call(
    note: Callable[[str, nn.Module, object], None], name: str, module: nn.Module, _inputs: object, output: object
) -> None:
    note(name, module, output)


def default_layers(layers: Sequence[MapLayer]) -> tuple[MapLayer, ...]:
    """Return the first convolution, one in the middle, and `last_map`; fewer if there are fewer, none without any."""
    last = last_map(layers)
    if last is None:
        return ()
    convolutions = [layer for layer in layers if layer.is_convolution and layer.height * layer.width > 1]
    chosen = [convolutions[0], convolutions[len(convolutions) // 2], last]
    # The last map of a net with one convolution may be that convolution's after its activation.
    return tuple({layer.name: layer for layer in (chosen if len(convolutions) > 1 else [last])}.values())


def last_map(layers: Sequence[MapLayer]) -> MapLayer | None:
    """Return the layer for Grad-CAM: where the last convolution's maps have passed their activation. None if none has.

    That is the last layer whose maps have the size of the convolution's: the activation, or in residual networks the
    block, whose output is the sum with the shortcut. Where a pool comes before the activation, it is the activation:
    maps before it are mostly negative, and of places that the pool drops, so that often nothing would speak for a
    class. Maps of one pixel say nothing of places: the last convolution with more counts.
    """
    large = [at for at, layer in enumerate(layers) if layer.is_convolution and layer.height * layer.width > 1]
    if not large:
        return None
    last = layers[large[-1]]
    behind = layers[large[-1] :]
    same_size = [layer for layer in behind if (layer.height, layer.width) == (last.height, last.width)]
    # Of names for the same output the innermost, unless an image passes through that layer more than once.
    names = [layer for layer in same_size if layer.version == same_size[-1].version]
    found = min(names, key=lambda layer: layer.calls)
    if found.is_leaf and not found.is_activation:
        later = behind[behind.index(found) :]
        found = next((layer for layer in later if layer.is_activation and layer.height * layer.width > 1), found)
    return found


def choose_layers(names: Sequence[str], layers: Sequence[MapLayer]) -> tuple[MapLayer, ...]:
    """Return the layers with these names.

    names: as `cifar-sweeps summary` shows them, or of blocks of them. Raises ConfigError for all names that no layer
    with maps has, with those that there are.
    """
    by_name = {layer.name: layer for layer in layers}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        leaves = [layer.name for layer in layers if layer.is_leaf]
        known = ", ".join(leaves[:_MOST_NAMED])
        rest = len(leaves) - _MOST_NAMED
        more = f" and {rest} more (cifar-sweeps summary lists them)" if rest > 0 else ""
        there = f"those with maps are {known}{more}" if leaves else "this network has no layer with maps"
        raise ConfigError(
            [
                f"--layer {name}: no layer of this network puts out maps under this name; {there}"
                f"{did_you_mean(name, list(by_name))}"
                for name in unknown[:1]
            ]
            + [f"--layer {name}: likewise{did_you_mean(name, list(by_name))}" for name in unknown[1:]]
        )
    return tuple(by_name[name] for name in dict.fromkeys(names))
