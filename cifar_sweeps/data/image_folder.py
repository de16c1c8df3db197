"""Load images from a folder with ``train/CLASS/*`` and ``test/CLASS/*`` in the usual formats."""

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

from cifar_sweeps.data.cache import DecodedDataset, cached_dataset, load_if_unchanged
from cifar_sweeps.data.cifar10 import CLASSES as CIFAR10_CLASSES
from cifar_sweeps.data.dataset import ImageData, LabelledImages
from cifar_sweeps.errors import ConfigError, DataError, in_one_line
from cifar_sweeps.system.cores import available_cores

LAYOUT = "FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png, with the same classes in both"

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "TGA")
"""Formats to read. Pillow knows more, but runs other programs for some: Ghostscript for PostScript under any name."""

_CHUNK = 256  # images a task: handing each small image to a thread costs more than decoding it


class _ImageFile(NamedTuple):
    path: str
    label: int
    stamp: str
    """Name, size and modification time, which change when the file does."""


def load_image_folder(*, root: str | Path | None, cache: str | Path, image_size: int = 32) -> ImageData:
    """Load a folder of images, decoded or from the cache.

    Classes are the folders' names, sorted; images are in RGB (transparency is dropped), and are resized (bilinear,
    antialiased) where their size is not image_size × image_size pixels. Hidden files are ignored. Adding, removing or
    changing a file makes a new cache.
    Raises ConfigError if root is None, DataError if the folder has another layout, or if an image is damaged, a
    decompression bomb, or has more than 8 bits a channel.
    """
    if root is None:
        raise ConfigError(f"data.root=null: must be a folder of images; set data.root=FOLDER with {LAYOUT}")
    folder = Path(root).expanduser().resolve()
    request = f"{folder} {image_size}"
    verified = load_if_unchanged(request)
    if verified is not None:
        return verified
    sides = {side: _class_names(folder, side) for side in ("train", "test")}
    if sides["train"] != sides["test"]:
        unmatched = sorted(set(sides["train"]) ^ set(sides["test"]))
        raise DataError(
            f"data.root={root}: {', '.join(unmatched[:5])} is not in both train and test; expected {LAYOUT}"
        )
    classes = sides["train"]
    files = {side: _list_files(folder / side, classes) for side in sides}

    def decode() -> DecodedDataset:
        return _decode_images(files["train"], image_size), _decode_images(files["test"], image_size), classes

    listing = "\n".join(file.stamp for side in files.values() for file in side)
    name = "CIFAR-10 (JPEG copy)" if _is_jpeg_copy(classes, files["train"]) else folder.name
    key = f"{request}\n{listing}"
    return cached_dataset(Path(cache), name=name, key=key, original_order=False, build=decode, request=request)


def _class_names(folder: Path, side: str) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"data.root={folder}: there is no such folder; expected {LAYOUT}")
    if not (folder / side).is_dir():
        raise DataError(f"data.root={folder}: has no folder {side!r}; expected {LAYOUT}")
    names = sorted(entry.name for entry in (folder / side).iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise DataError(f"{folder / side}: has no class folders; expected {LAYOUT}")
    return tuple(names)


def _list_files(folder: Path, classes: Sequence[str]) -> list[_ImageFile]:
    # Every job of a sweep does this: plain strings take half the time of os.scandir, and a twentieth of pathlib's.
    files: list[_ImageFile] = []
    for label, name in enumerate(classes):
        class_folder = f"{folder / name}{os.sep}"
        filenames = sorted(file for file in os.listdir(class_folder) if file[0] != ".")  # noqa: PTH208 (see above)
        if not filenames:
            raise DataError(f"{folder / name}: has no images; add some, or remove the class")
        prefix = f"{folder.name}/{name}/"
        for file in filenames:
            path = class_folder + file
            status = _stat_file(path)
            files.append(_ImageFile(path, label, f"{prefix}{file} {status.st_size} {status.st_mtime_ns}"))
    return files


def _stat_file(path: str) -> os.stat_result:
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path for each of 60,000 files takes longer than the rest)
    except FileNotFoundError:
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):  # if it were ignored, images could be missing unnoticed
        raise DataError(f"{path}: is a folder or a broken link; remove it; expected {LAYOUT}")
    return status


def _is_jpeg_copy(classes: Sequence[str], files: Sequence[_ImageFile]) -> bool:
    """Return whether these are CIFAR-10's images as JPEG files, which must not be reported as CIFAR-10 itself."""
    return tuple(classes) == CIFAR10_CLASSES and len(files) == 50_000 and files[0].path.endswith(".jpg")


def _decode_images(files: Sequence[_ImageFile], size: int) -> LabelledImages:
    pixels = np.empty((len(files), size, size, 3), dtype=np.uint8)

    def fill(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(files))):
            pixels[index] = _read_image(files[index].path, size)

    with warnings.catch_warnings(), ThreadPoolExecutor(available_cores()) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Pillow releases the GIL while it decodes and resizes: photographs gain, 32×32 images lose nothing.
        for _ in pool.map(fill, range(0, len(files), _CHUNK)):
            pass
    labels = torch.tensor([file.label for file in files], dtype=torch.int64)
    return LabelledImages(torch.from_numpy(pixels).permute(0, 3, 1, 2), labels)


def _read_image(path: str, size: int) -> NDArray[np.uint8]:
    """Decode an image file to (size, size, 3)."""
    try:
        with Image.open(path, formats=FORMATS) as image:  # reads only the header
            if image.mode[0] in "IF":  # Pillow would clip at 255, and leave a white image
                raise DataError(
                    f"{path}: has pixels of more than 8 bits (Pillow's mode {image.mode}); convert it to 8 bits"
                )
            rgb = image.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: is too large an image to open safely ({error}); shrink or remove it") from error
    except DataError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise DataError(
            f"{path}: is not an image that Pillow can read as {', '.join(FORMATS)} ({in_one_line(error)}); "
            "repair or remove it"
        ) from error
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb)
