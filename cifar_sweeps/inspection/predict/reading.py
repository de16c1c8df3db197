"""Read pictures as the training images were read, and say what was changed in them."""

import os
import stat
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cifar_sweeps.config.schema import DataConfig
from cifar_sweeps.data.picture_files import FORMATS, Change, Fit, Treatment, UnreadableError, parse_colour, read_picture
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.inspection.predict.sources import PictureFile

FAR = 2.0
"""Sides more than this many times as long as the training images', or as short, are far from them."""
SKEWED = 1.25
"""Likewise for the ratio of its sides."""

_TASK = 32  # pictures a task: handing each small one to a thread costs more than decoding it
_CHANGES: dict[Change, str] = {
    "turned": "turned by EXIF",
    "transparent": "transparent",
    "deep": "16 bits",
    "cmyk": "CMYK",
    "frames": "first frame",
}


class ReadPicture(NamedTuple):
    """What a file held. size: width and height as a viewer shows it. changes: what was done to it but for its size."""

    size: tuple[int, int]
    changes: tuple[Change, ...]


def treatment(data: DataConfig, fit: Fit | None, background: str | None) -> Treatment:
    """Return how pictures are brought to the shape of a run's training images: as these were, unless it is said.

    Raises ConfigError if the background is no colour, or the fit none that there is.
    """
    if fit not in (None, "squash", "crop", "pad"):
        raise ConfigError(f"--fit {fit}: must be squash, crop or pad")
    colour = background or data.background
    try:
        rgb = parse_colour(colour)
    except ValueError:
        raise ConfigError(
            f"--background {colour}: must be a colour's name or '#rrggbb'; use e.g. --background white"
        ) from None
    return Treatment(*data.image_shape, fit or data.fit, rgb)


def read_pictures(
    files: Sequence[PictureFile], how: Treatment, pool: Executor
) -> tuple[npt.NDArray[np.uint8], list[ReadPicture | str]]:
    """Return the pixels (N, 3, H, W) of files, and what was in each; a text says why a file could not be read."""
    pixels = np.zeros((len(files), how.height, how.width, 3), dtype=np.uint8)

    def read(start: int) -> list[ReadPicture | str]:
        found: list[ReadPicture | str] = []
        for index, file in enumerate(files[start : start + _TASK], start):
            try:
                _check_regular(file.path)
                picture = read_picture(file.path, how)
            except UnreadableError as error:
                found.append(_reason(error))
                continue
            pixels[index] = picture.pixels
            found.append(ReadPicture(picture.size, picture.changes))
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what it repairs or finds unusual
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        tasks = list(pool.map(read, range(0, len(files), _TASK)))
    return pixels.transpose(0, 3, 1, 2), [entry for task in tasks for entry in task]


def _reason(error: UnreadableError) -> str:
    """Return why a file could not be read: that it is no picture at all is said in a few words."""
    unidentified = isinstance(error.__cause__, UnidentifiedImageError)
    return f"left out, no picture of a known format ({', '.join(FORMATS)})" if unidentified else str(error)


def _check_regular(path: str) -> None:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (a Path for each of 1,000 files)
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(mode):  # a pipe would be waited for
        raise UnreadableError("is no regular file")


def describe_changes(picture: ReadPicture, how: Treatment) -> str:
    """Return what was changed in a picture, in a few words; empty if nothing was."""
    width, height = picture.size
    changed = [] if picture.size == (how.width, how.height) else [f"from {width}×{height}"]
    return ", ".join([*changed, *(_CHANGES[change] for change in picture.changes)])


def size_notes(pictures: Sequence[ReadPicture], how: Treatment, background: str) -> list[str]:
    """Return lines on how the pictures were brought to the training images' shape, and how far they were from it.

    background: as the user knows it.
    """
    target = f"{how.width}×{how.height}"
    resized = [picture.size for picture in pictures if picture.size != (how.width, how.height)]
    notes = []
    if resized:
        way = {"squash": "squashed", "crop": "cropped", "pad": f"padded with {background}"}[how.fit]
        keeps = " (--fit crop or --fit pad keeps them)" if how.fit == "squash" else ""
        skewed = sum(_factor(width * how.height, height * how.width) > SKEWED for width, height in resized)
        odd = f"; {skewed:,} of other proportions {way}{keeps}" if skewed else ""
        notes.append(f"{len(resized):,} of {len(pictures):,} pictures resized to {target}{odd}.")
    far = sum(max(_factor(width, how.width), _factor(height, how.height)) > FAR for width, height in resized)
    if far:
        notes.append(
            f"Warning: the net has only seen images of {target}; {far:,} of {len(pictures):,} "
            f"{'are' if far > 1 else 'is'} more than {FAR:.0f} times as large or as small, and may look unlike them."
        )
    transparent = sum("transparent" in picture.changes for picture in pictures)
    if transparent:
        notes.append(f"{transparent:,} transparent laid on {background} (--background chooses another).")
    return notes


def _factor(one: float, other: float) -> float:
    return max(one / other, other / one)


def name_unreadable(problems: Sequence[tuple[str, str]], most: int = 10) -> list[str]:
    """Return a line for each (file, reason), the first ``most`` of them, and one that counts the rest by ending."""
    lines = [f"{file}: {reason}" for file, reason in problems[:most]]
    rest = Counter(os.path.splitext(file)[1].lower() or "no ending" for file, _ in problems[most:])  # noqa: PTH122
    if rest:
        kinds = ", ".join(f"{count:,} of {kind}" for kind, count in rest.most_common(5))
        lines.append(f"and {rest.total():,} more files that could not be read ({kinds})")
    return lines
