"""Augment whole batches on any device, with independent random draws for each image.

An augmentation is called with images (B, 3, H, W) float32 in [0, 1], on any device and in any memory format, and with a
CPU generator, and returns new images of the same shape. Equal generator states give equal draws.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from cifar_sweeps.errors import ConfigError


@dataclass(frozen=True)
class Unchanged:
    """No augmentation."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return the images unchanged."""
        return images


@dataclass(frozen=True)
class FlipCrop:
    """Pad each image with ``padding`` black pixels a side, crop it back at random, and flip it with probability 1/2.

    As torchvision's RandomHorizontalFlip and RandomCrop((H, W), padding). Raises ConfigError unless padding is a
    non-negative integer.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        errors = [*_flip_errors(self.flip)]
        if not isinstance(self.padding, int) or self.padding < 0:
            errors.append(
                f"augmentation.padding={self.padding}: must be a whole number of pixels, at least 0; use e.g. 4"
            )
        _raise_if_any(errors)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return augmented copies."""
        count, (height, width) = len(images), images.shape[-2:]
        offsets = torch.randint(0, 2 * self.padding + 1, (2, count, 1), generator=generator)
        flipped = _draw_flips(count, generator) if self.flip else torch.zeros(count, dtype=torch.bool)
        rows = torch.arange(height) + offsets[0]
        positions = torch.arange(width)
        columns = torch.where(flipped[:, None], positions.flip(0), positions) + offsets[1]
        # The index of each output pixel among the pixels of all padded images: one index_select takes half the time of
        # indexing in three dimensions.
        padded_height, padded_width = height + 2 * self.padding, width + 2 * self.padding
        row_starts = (torch.arange(count)[:, None] * padded_height + rows) * padded_width
        indices = (row_starts[:, :, None] + columns[:, None, :]).flatten().to(images.device)
        padded = F.pad(images, [self.padding] * 4).permute(0, 2, 3, 1).reshape(-1, 3)
        return padded.index_select(0, indices).view(count, height, width, 3).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class ShiftFlip:
    """Shift each image by up to ``shift`` of its side in both directions, and flip it with probability 1/2.

    As Keras' ImageDataGenerator: offsets are uniform and fractional, sampled bilinearly; edge pixels fill the
    gap. Raises ConfigError if shift is outside [0, 1).
    """

    shift: float = 0.1
    flip: bool = True

    def __post_init__(self) -> None:
        _raise_if_any([*_flip_errors(self.flip), *_shift_errors(self.shift)])

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return augmented copies."""
        return _transform(images, 0.0, self.shift, self.flip, generator)


@dataclass(frozen=True)
class RotateShiftFlip:
    """Rotate each image by up to ``degrees`` about its centre, and shift and flip it as `ShiftFlip`, in one resampling.

    zoom: both sides are zoomed independently by factors from 1 − zoom to 1 + zoom; above 1 the image shrinks, and edge
    pixels fill the gap (Keras' ``zoom_range``). vertical_flip: also upside down, with probability 1/2.
    As Keras' ImageDataGenerator. Raises ConfigError if degrees is outside [0, 180], shift or zoom outside [0, 1).
    """

    degrees: float = 20.0
    shift: float = 0.1
    flip: bool = True
    zoom: float = 0.0
    vertical_flip: bool = False

    def __post_init__(self) -> None:
        errors = [*_flip_errors(self.flip), *_shift_errors(self.shift)]
        errors += _flip_errors(self.vertical_flip, "vertical_flip")
        if not 0 <= self.zoom < 1:
            errors.append(f"augmentation.zoom={self.zoom}: must be in [0, 1); use e.g. 0.1 for 0.9 to 1.1")
        if not 0 <= self.degrees <= 180:
            errors.append(f"augmentation.degrees={self.degrees}: must be in [0, 180]; use e.g. 20")
        _raise_if_any(errors)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return augmented copies."""
        return _transform(images, self.degrees, self.shift, self.flip, generator, self.zoom, self.vertical_flip)


def _transform(
    images: Tensor,
    degrees: float,
    shift: float,
    flip: bool,
    generator: Generator,
    zoom: float = 0.0,
    vertical_flip: bool = False,
) -> Tensor:
    """Resample each image with its own random affine transform."""
    count = len(images)
    angle, down, right = torch.rand((3, count), generator=generator) * 2 - 1
    angle = angle * math.radians(degrees)
    sign = torch.where(_draw_flips(count, generator), -1.0, 1.0) if flip else torch.ones(count)
    # Drawn last, and only where they are asked for: without them every draw is what it has always been.
    zooms = 1 + zoom * (torch.rand((2, count), generator=generator) * 2 - 1) if zoom else torch.ones(2, count)
    upside = torch.where(_draw_flips(count, generator), -1.0, 1.0) if vertical_flip else torch.ones(count)
    height, width = images.shape[-2:]
    matrices = _affine_matrices(angle, down * shift, right * shift, sign, height / width, zooms, upside)
    grid = _sampling_grid(matrices.to(images.device), height, width)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _affine_matrices(
    angle: Tensor, down: Tensor, right: Tensor, sign: Tensor, aspect: float, zooms: Tensor, upside: Tensor
) -> Tensor:
    """Return (B, 2, 3) affine matrices that map output coordinates to input coordinates.

    Coordinates are (x, y) in [-1, 1] over the image; a shift is a fraction of the side, so twice that in coordinates.
    aspect: height / width; a rotation turns pixels, whose coordinates are stretched where the image is not square.
    zooms: (2, B), of rows and of columns. Keras multiplies rotation, shift and zoom about the centre in this order, so
    that an output place is zoomed first; a flipped image is read from right to left, or from below.
    """
    cos, sin = angle.cos(), angle.sin()
    to_x, to_y = sin * aspect, sin / aspect
    x, y = 2 * right, 2 * down
    rows, columns = zooms[0] * upside, zooms[1] * sign
    return torch.stack(
        [
            torch.stack([cos * columns, to_x * rows, cos * x + to_x * y], dim=1),
            torch.stack([-to_y * columns, cos * rows, cos * y - to_y * x], dim=1),
        ],
        dim=1,
    )


def _sampling_grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """Return the input coordinates (B, H, W, 2) of each output pixel's centre.

    The same as affine_grid(align_corners=False), which takes twice the time of the sampling itself on a CPU.
    """
    across, down = ((torch.arange(size, device=matrices.device) * 2 + 1) / size - 1 for size in (width, height))
    along_x = matrices[:, :, 0, None, None] * across
    along_y = matrices[:, :, 1, None, None] * down[:, None] + matrices[:, :, 2, None, None]
    return (along_x + along_y).permute(0, 2, 3, 1)


def _draw_flips(count: int, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) < 0.5


def _shift_errors(shift: float) -> Iterator[str]:
    if not 0 <= shift < 1:
        yield f"augmentation.shift={shift}: must be in [0, 1), a fraction of the image's side; use e.g. 0.1"


def _flip_errors(flip: object, key: str = "flip") -> Iterator[str]:
    if not isinstance(flip, bool):
        yield f"augmentation.{key}={flip}: must be true or false"


def _raise_if_any(errors: list[str]) -> None:
    if errors:
        raise ConfigError(errors)
