"""Turn maps of numbers into colours: heat from nothing to most, and signed values around white."""

import functools
import math

import matplotlib
import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor
from torch.nn import functional as F

from cifar_sweeps.analysis.matplotlib_setup import BLUE, VERMILLION

_SHOWN_SIDE = 128
_DENSEST = 0.7


def heat(maps: Tensor) -> Tensor:
    """Return (N, h, w) in [0, 1] as colours (N, 3, h, w) uint8: dark blue for 0, by green to yellow for 1."""
    return _look_up("viridis", maps)


def signed(maps: Tensor) -> Tensor:
    """Return (N, h, w) as colours (N, 3, h, w) uint8: blue above 0, orange below, white at 0.

    Each map on a scale of its own, on which the 1% of its pixels that are farthest from 0 have the full colour.
    """
    limits = maps.abs().flatten(1).quantile(0.99, dim=1).clamp_min(torch.finfo(maps.dtype).tiny)
    return _look_up("signed", (maps / limits[:, None, None]).clamp(-1, 1) / 2 + 0.5)


def own_range(maps: Tensor) -> Tensor:
    """Return maps (N, h, w), each from its lowest value, 0, to its highest, 1; one of a single value is 0."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low), torch.zeros_like(maps))


def filter_colours(weights: Tensor) -> Tensor:
    """Return filters (N, 3, h, w) as colours uint8: grey is 0, and the largest of all weights is full colour."""
    largest = weights.abs().amax().clamp_min(torch.finfo(weights.dtype).tiny)
    return ((weights / largest / 2 + 0.5) * 255).round().to(torch.uint8)


def enlarged(images: Tensor, side: int | tuple[int, int] = _SHOWN_SIDE) -> Tensor:
    """Enlarge images (N, 3, h, w) uint8 pixel for pixel: by a whole factor to at least ``side``, or to a shape."""
    if isinstance(side, int):
        factor = max(1, math.ceil(side / max(images.shape[2:])))
        side = (images.shape[2] * factor, images.shape[3] * factor)
    return F.interpolate(images.float(), side, mode="nearest-exact").to(torch.uint8)


def over_image(image: Tensor, scaled_map: Tensor) -> Tensor:
    """Return a map (h, w) in [0, 1] laid over an image (3, H, W) uint8 in grey, both enlarged: (3, H', W') uint8.

    The colours are those of ``heat``, the denser the higher the value; where it is 0, the image is as it was.
    """
    large = enlarged(image[None])[0].float()
    grey = (large * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=0, keepdim=True)
    values = F.interpolate(scaled_map[None, None], large.shape[1:], mode="nearest-exact")[0]
    density = _DENSEST * values
    return (grey * (1 - density) + heat(values)[0] * density).round().to(torch.uint8)


def scale_bar(name: str) -> Tensor:
    """Return the colours of ``heat`` or ``signed`` from left to right: (3, 1, 256) uint8."""
    return _look_up("viridis" if name == "heat" else "signed", torch.linspace(0, 1, 256)[None, None])[0]


def _look_up(name: str, values: Tensor) -> Tensor:
    table = _table(name)
    return torch.from_numpy(table)[(values * 255).round().long()].movedim(-1, 1)


@functools.cache
def _table(name: str) -> "np.typing.NDArray[np.uint8]":
    if name == "signed":
        colours = LinearSegmentedColormap.from_list(name, [VERMILLION, "#ffffff", BLUE])
        return np.asarray(colours(np.arange(256), bytes=True))[:, :3].copy()
    return np.asarray(matplotlib.colormaps[name](np.arange(256), bytes=True))[:, :3].copy()
