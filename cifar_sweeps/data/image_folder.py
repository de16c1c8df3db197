"""Images of one's own: a folder with ``train/CLASS/*`` and ``test/CLASS/*`` in the usual formats."""

import os
import stat
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cifar_sweeps.data.cache import DatasetBuilder, cached, load_if_unchanged
from cifar_sweeps.data.cifar10 import CLASSES as CIFAR10_CLASSES
from cifar_sweeps.data.dataset import ImageData, LabelledImages
from cifar_sweeps.errors import ConfigError, DataError, in_one_line
from cifar_sweeps.system.cores import available_cores

LAYOUT = "FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png, with the same classes in both"

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "TGA")
"""Pillow reads more, and some by running another program: a PostScript file, whatever its name, by Ghostscript."""

_CHUNK = 256  # images a task: threads that hand over each small image cost more than its decoding


class _File(NamedTuple):
    path: str
    label: int
    stamp: str
    """Changes when the file does."""


def load_image_folder(*, root: str | Path | None, cache: str | Path, image_size: int = 32) -> ImageData:
    """Decode the folder's images, or take them from the cache.

    Classes are the folders' names, sorted; images are in RGB (transparency is dropped), and are resized (bilinear,
    antialiased) where their size is not image_size × image_size pixels. Hidden files are passed over. A file that is
    added, removed or changed makes a new cache.
    Raises ConfigError if there is no root, DataError if the layout is another, or an image is damaged, a bomb, or has
    pixels of more than 8 bits.
    """
    if root is None:
        raise ConfigError(f"data.root=null: must be a folder of images; set data.root=FOLDER with {LAYOUT}")
    folder = Path(root).expanduser().resolve()
    request = f"{folder} {image_size}"
    held = load_if_unchanged(request)
    if held is not None:
        return held
    sides = {side: _classes(folder, side) for side in ("train", "test")}
    if sides["train"] != sides["test"]:
        odd = sorted(set(sides["train"]) ^ set(sides["test"]))
        raise DataError(f"data.root={root}: {', '.join(odd[:5])} is not in both train and test; expected {LAYOUT}")
    classes = sides["train"]
    files = {side: _files(folder / side, classes) for side in sides}

    def decode() -> DatasetBuilder:
        return _decode(files["train"], image_size), _decode(files["test"], image_size), classes

    listing = "\n".join(file.stamp for side in files.values() for file in side)
    name = "CIFAR-10 (JPEG copy)" if _is_jpeg_copy(classes, files["train"]) else folder.name
    key = f"{request}\n{listing}"
    return cached(Path(cache), name=name, key=key, original_order=False, make=decode, request=request)


def _classes(folder: Path, side: str) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"data.root={folder}: there is no such folder; expected {LAYOUT}")
    if not (folder / side).is_dir():
        raise DataError(f"data.root={folder}: has no folder {side!r}; expected {LAYOUT}")
    names = sorted(entry.name for entry in (folder / side).iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise DataError(f"{folder / side}: has no folders of classes; expected {LAYOUT}")
    return tuple(names)


def _files(folder: Path, classes: Sequence[str]) -> list[_File]:
    # Every job of a sweep does this: plain strings take half of os.scandir's time, and a twentieth of pathlib's.
    files: list[_File] = []
    for label, name in enumerate(classes):
        place = f"{folder / name}{os.sep}"
        own = sorted(file for file in os.listdir(place) if file[0] != ".")  # noqa: PTH208 (see above)
        if not own:
            raise DataError(f"{folder / name}: has no images; put some there, or remove the class")
        prefix = f"{folder.name}/{name}/"
        for file in own:
            path = place + file
            status = _status(path)
            files.append(_File(path, label, f"{prefix}{file} {status.st_size} {status.st_mtime_ns}"))
    return files


def _status(path: str) -> os.stat_result:
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path for each of 60,000 files takes longer than the rest)
    except FileNotFoundError:
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):  # passed over in silence, images would be missing
        raise DataError(f"{path}: is a folder, or a link to nothing; remove it, for images lie in {LAYOUT}")
    return status


def _is_jpeg_copy(classes: Sequence[str], files: Sequence[_File]) -> bool:
    """Say whether these are CIFAR-10's images as JPEG files, which must not be called CIFAR-10 itself."""
    return tuple(classes) == CIFAR10_CLASSES and len(files) == 50_000 and files[0].path.endswith(".jpg")


def _decode(files: Sequence[_File], size: int) -> LabelledImages:
    pixels = np.empty((len(files), size, size, 3), dtype=np.uint8)

    def fill(start: int) -> None:
        for place in range(start, min(start + _CHUNK, len(files))):
            pixels[place] = _pixels(files[place].path, size)

    with warnings.catch_warnings(), ThreadPoolExecutor(available_cores()) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Pillow decodes and resizes outside the interpreter's lock: photographs gain, 32×32 images lose nothing.
        for _ in pool.map(fill, range(0, len(files), _CHUNK)):
            pass
    labels = torch.tensor([file.label for file in files], dtype=torch.int64)
    return LabelledImages(torch.from_numpy(pixels).permute(0, 3, 1, 2), labels)


def _pixels(path: str, size: int) -> NDArray[np.uint8]:
    """Return an image as (size, size, 3)."""
    try:
        with Image.open(path, formats=FORMATS) as image:  # the header alone
            if image.mode[0] in "IF":  # Pillow would cut everything above 255 off, and leave a white image
                raise DataError(f"{path}: has pixels of more than 8 bits (Pillow's mode {image.mode}); save it with 8")
            rgb = image.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: is too large an image to be opened safely ({error}); shrink or remove it") from error
    except DataError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise DataError(
            f"{path}: is not an image that Pillow can read as {', '.join(FORMATS)} ({in_one_line(error)}); "
            "mend or remove it"
        ) from error
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)
