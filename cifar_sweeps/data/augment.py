"""Augmentation of a whole batch at once, each image with a draw of its own.

An augmentation is called with images (B, 3, S, S) float32 in [0, 1], on any device and in any memory format, and with a
CPU generator, and returns new images of the same shape. Equal generators give equal draws.
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
        """Return the images as they are."""
        return images


@dataclass(frozen=True)
class FlipCrop:
    """Crop each image at random out of itself padded with ``padding`` black pixels a side, and mirror every second one.

    As torchvision's RandomHorizontalFlip and RandomCrop(S, padding). Raises ConfigError if padding is negative, or no
    whole number of pixels.
    """

    padding: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        faults = [*_flip_errors(self.flip)]
        if not isinstance(self.padding, int) or self.padding < 0:
            faults.append(
                f"augmentation.padding={self.padding}: must be a whole number of pixels from 0 on; use e.g. 4"
            )
        _raise_any(faults)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return new images."""
        count, size = len(images), images.shape[-1]
        offsets = torch.randint(0, 2 * self.padding + 1, (2, count, 1), generator=generator)
        mirrored = _mirrored(count, generator) if self.flip else torch.zeros(count, dtype=torch.bool)
        places = torch.arange(size)
        rows = places + offsets[0]
        columns = torch.where(mirrored[:, None], places.flip(0), places) + offsets[1]
        # Which pixel of all the padded images fills each place: one index_select takes half the time of an indexing in
        # three dimensions.
        side = size + 2 * self.padding
        row_starts = (torch.arange(count)[:, None] * side + rows) * side
        chosen = (row_starts[:, :, None] + columns[:, None, :]).flatten().to(images.device)
        padded = F.pad(images, [self.padding] * 4).permute(0, 2, 3, 1).reshape(-1, 3)
        return padded.index_select(0, chosen).view(count, size, size, 3).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class ShiftFlip:
    """Shift each image by up to ``shift`` of its side in both directions, and mirror every second one.

    As Keras' ImageDataGenerator: offsets are uniform and not whole pixels, sampled bilinearly; edge pixels fill the
    gap. Raises ConfigError if shift is outside [0, 1).
    """

    shift: float = 0.1
    flip: bool = True

    def __post_init__(self) -> None:
        _raise_any([*_flip_errors(self.flip), *_shift_errors(self.shift)])

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return new images."""
        return _move(images, 0.0, self.shift, self.flip, generator)


@dataclass(frozen=True)
class RotateShiftFlip:
    """Rotate each image by up to ``degrees`` about its centre, then as `ShiftFlip`, all in one sampling.

    As Keras' ImageDataGenerator. Raises ConfigError if degrees is outside [0, 180], or shift outside [0, 1).
    """

    degrees: float = 20.0
    shift: float = 0.1
    flip: bool = True

    def __post_init__(self) -> None:
        faults = [*_flip_errors(self.flip), *_shift_errors(self.shift)]
        if not 0 <= self.degrees <= 180:
            faults.append(f"augmentation.degrees={self.degrees}: must be in [0, 180]; use e.g. 20")
        _raise_any(faults)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return new images."""
        return _move(images, self.degrees, self.shift, self.flip, generator)


def _move(images: Tensor, degrees: float, shift: float, flip: bool, generator: Generator) -> Tensor:
    """Sample each image through its own affine map."""
    count = len(images)
    angle, down, right = torch.rand((3, count), generator=generator) * 2 - 1
    angle = angle * math.radians(degrees)
    sign = torch.where(_mirrored(count, generator), -1.0, 1.0) if flip else torch.ones(count)
    grid = _grid(_sampling_maps(angle, down * shift, right * shift, sign).to(images.device), images.shape[-1])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _sampling_maps(angle: Tensor, down: Tensor, right: Tensor, sign: Tensor) -> Tensor:
    """Return (B, 2, 3): from a place in the new image to the place in the old one that fills it.

    Places are (x, y) in [-1, 1] over the image; shifts are fractions of the side, so twice as many units. Keras moves
    a place first and turns it then, about the centre; a mirrored image is read from right to left.
    """
    cos, sin = angle.cos(), angle.sin()
    x, y = 2 * right, 2 * down
    return torch.stack(
        [
            torch.stack([cos * sign, sin, cos * x + sin * y], dim=1),
            torch.stack([-sin * sign, cos, cos * y - sin * x], dim=1),
        ],
        dim=1,
    )


def _grid(maps: Tensor, size: int) -> Tensor:
    """Return the places (B, S, S, 2) that ``maps`` gives to the pixels' centres.

    The same as affine_grid(align_corners=False), which takes twice the time of the sampling itself on a CPU.
    """
    centres = (torch.arange(size, device=maps.device) * 2 + 1) / size - 1
    along_x = maps[:, :, 0, None, None] * centres
    along_y = maps[:, :, 1, None, None] * centres[:, None] + maps[:, :, 2, None, None]
    return (along_x + along_y).permute(0, 2, 3, 1)


def _mirrored(count: int, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) < 0.5


def _shift_errors(shift: float) -> Iterator[str]:
    if not 0 <= shift < 1:
        yield f"augmentation.shift={shift}: must be in [0, 1), a fraction of the image's side; use e.g. 0.1"


def _flip_errors(flip: object) -> Iterator[str]:
    if not isinstance(flip, bool):
        yield f"augmentation.flip={flip}: must be true or false"


def _raise_any(faults: list[str]) -> None:
    if faults:
        raise ConfigError(faults)
