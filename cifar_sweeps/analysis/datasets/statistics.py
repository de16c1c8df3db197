"""Statistics of the pixels of images: by channel over all of them, and of each image."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_CHUNK = 256


@dataclass(frozen=True)
class PixelStatistics:
    """mean, std: of each channel over all pixels of all images, in [0, 1]; std is the population's.

    brightness, deviation: (N,) of each image over its pixels and channels, in [0, 1]. grey: (N,) whether red, green and
    blue are equal in all its pixels. flat: (N,) whether it has one colour throughout.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    brightness: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    grey: npt.NDArray[np.bool_]
    flat: npt.NDArray[np.bool_]


def pixel_statistics(images: Tensor, indices: Tensor) -> PixelStatistics:
    """Return the statistics of the chosen images, at least one. images: (N, 3, H, W) uint8."""
    count, area = len(indices), images.shape[2] * images.shape[3]
    # Made once: a small tensor kept of each chunk would lie between the large ones, whose memory is then not reused.
    sums, squares = torch.empty((2, count, 3), dtype=torch.int64)
    grey, flat = torch.empty((2, count), dtype=torch.bool)
    for start in range(0, count, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        part = images[indices[chunk]]
        values = part.to(torch.int32)
        sums[chunk] = values.sum(dim=(2, 3), dtype=torch.int64)
        squares[chunk] = values.square_().sum(dim=(2, 3), dtype=torch.int64)
        grey[chunk] = ((part[:, 0] == part[:, 1]) & (part[:, 1] == part[:, 2])).flatten(1).all(dim=1)
        flat[chunk] = (part == part[:, :, :1, :1]).flatten(1).all(dim=1)
    of_images, of_squares = sums.double(), squares.double()
    total = count * area
    mean = of_images.sum(dim=0) / total
    std = (of_squares.sum(dim=0) / total - mean.square()).clamp_min(0).sqrt()
    brightness = of_images.sum(dim=1) / (3 * area)
    deviation = (of_squares.sum(dim=1) / (3 * area) - brightness.square()).clamp_min(0).sqrt()
    return PixelStatistics(
        _three(mean / 255),
        _three(std / 255),
        (brightness / 255).numpy(),
        (deviation / 255).numpy(),
        grey.numpy(),
        flat.numpy(),
    )


def _three(values: Tensor) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue
