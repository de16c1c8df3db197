"""Load images from a folder with ``train/CLASS/*`` and ``test/CLASS/*`` in the usual formats."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from cifar_sweeps.data.cache import DecodedDataset, cached_dataset, load_if_unchanged
from cifar_sweeps.data.cifar.cifar10 import CLASSES as CIFAR10_CLASSES
from cifar_sweeps.data.dataset import ImageData, LabelledImages, Progress
from cifar_sweeps.data.folder_layout import (
    LAYOUT,
    FolderLayout,
    ImageFile,
    Problem,
    common_classes,
    find_layout,
    list_files,
    same_but_for_case,
    show,
)
from cifar_sweeps.data.picture_files import Fit, Picture, Treatment, UnreadableError, parse_colour, read_picture
from cifar_sweeps.data.picture_notes import LoadedPictures, loading_notes
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.system.cores import available_cores

# Part of the cache key: increase it when images are read in another way.
_READING_VERSION = 2
_CHUNK = 256  # images a task: handing each small image to a thread costs more than decoding it
_NAMED_PROBLEMS = 10


def load_image_folder(
    *,
    root: str | Path | None,
    cache: str | Path,
    image_size: int | Sequence[int] = 32,
    fit: Fit = "squash",
    background: str = "white",
    split: Literal["stratified", "tail", "batch_1", "test", "folder"] = "stratified",
    progress: Progress | None = None,
) -> ImageData:
    """Load a folder of images, decoded or from the cache.

    Classes are the folders' names, sorted. Images are in RGB, as a viewer shows them: turned as EXIF says, transparency
    laid on ``background`` (a colour's name or #rrggbb), the first frame of an animation; and brought to image_size
    pixels (a side, or [height, width]) by ``fit``: squash, crop or pad, bilinear and antialiased. Hidden and system
    files are left out. What was changed is in the data's notes. Adding, removing or changing a file makes a new cache.
    split: ``folder`` also loads ``val/CLASS/*`` (or valid, validation); with another, a note says that it is not used.
    progress: told how many images have been read.
    Raises ConfigError if an argument is invalid, DataError if the folder has another layout, or if images are damaged,
    decompression bombs, or have more than 16 bits a channel: one error for all of them.
    """
    treatment = _treatment(image_size, fit, background)
    if root is None:
        raise ConfigError(f"data.root=null: must be a folder of images; set data.root=FOLDER with {LAYOUT}")
    given = Path(root).expanduser().resolve()
    request = f"{given} {tuple(treatment)} {split == 'folder'}"
    verified = load_if_unchanged(request)
    if verified is not None:
        return verified
    layout = find_layout(given)
    if split == "folder" and layout.val is None:
        raise DataError(
            f"data.split=folder: {show(layout.folder)} has no folder val, valid or validation; "
            "add one, or use data.split=stratified"
        )
    uses_val = split == "folder" and layout.val is not None
    folders = [layout.train, layout.test, *([layout.val] if uses_val and layout.val is not None else [])]
    names = common_classes(folders)
    problems: list[Problem] = []
    listed = [list_files(folder, names, problems) for folder in folders]
    files = [side for side, _ in listed]
    classes = _shown_classes(names)

    def decode() -> DecodedDataset:
        sides = _decode_sides(files, treatment, problems, progress, layout.folder)
        notes = loading_notes([found for _, found in sides], treatment, background, sum(n for _, n in listed))
        images = [side for side, _ in sides]
        return DecodedDataset(images[0], images[1], classes, images[2] if uses_val else None, notes)

    if problems:  # of the folder; those of the images come with them
        decode()
    listing = "\n".join(file.stamp for side in files for file in side)
    name = "CIFAR-10 (JPEG copy)" if _is_jpeg_copy(classes, files[0]) else show(layout.folder.name)
    key = f"{_READING_VERSION} {layout.folder} {tuple(treatment)} {uses_val}\n{listing}"
    notes = (*([layout.note] if layout.note else []), *_layout_notes(layout, names, uses_val))
    return cached_dataset(
        Path(cache), name=name, key=key, original_order=False, build=decode, request=request, notes=notes
    )


def list_image_files(root: str | Path, split: str) -> dict[str, list[ImageFile]]:
    """Return the image files of each side (``train``, ``test``, and ``val`` where it is loaded), as they are loaded.

    root, split: as of `load_image_folder`, whose data's i-th training image is that of the i-th file of ``train``.
    Raises DataError as it does.
    """
    layout = find_layout(Path(root).expanduser().resolve())
    folders = {"train": layout.train, "test": layout.test}
    if split == "folder" and layout.val is not None:
        folders["val"] = layout.val
    names, problems = common_classes(list(folders.values())), list[Problem]()
    files = {side: list_files(folder, names, problems)[0] for side, folder in folders.items()}
    if problems:
        raise DataError(_describe_problems(problems, sum(map(len, files.values())) + len(problems)))
    return files


def _treatment(image_size: int | Sequence[int], fit: Fit, background: str) -> Treatment:
    if fit not in ("squash", "crop", "pad"):
        raise ConfigError(f"data.fit={fit}: must be squash, crop or pad")
    try:
        colour = parse_colour(background)
    except ValueError:
        raise ConfigError(
            f"data.background={background}: must be a colour's name or '#rrggbb'; use e.g. white"
        ) from None
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return Treatment(height, width, fit, colour)


def _shown_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Return class names that can be printed and recorded, whatever bytes the folders' names have."""
    shown = tuple(show(name) for name in names)
    if len(set(shown)) < len(shown):
        twice = next(name for name in shown if shown.count(name) > 1)
        raise DataError(f"{twice}: is the name of two class folders, one with control characters; rename one")
    return shown


def _layout_notes(layout: FolderLayout, names: Sequence[str], uses_val: bool) -> list[str]:
    notes = [
        f"classes {show(one)} and {show(other)} differ in capital letters or spaces alone; rename one if they are one"
        for one, other in same_but_for_case(names)
    ]
    if layout.val is not None and not uses_val:
        notes.append(f"{show(layout.val)} is not used; data.split=folder validates on its images")
    return notes


def _is_jpeg_copy(classes: Sequence[str], files: Sequence[ImageFile]) -> bool:
    """Return whether these are CIFAR-10's images as JPEG files, which must not be reported as CIFAR-10 itself."""
    return tuple(classes) == CIFAR10_CLASSES and len(files) == 50_000 and files[0].path.endswith(".jpg")


def _decode_sides(
    files: Sequence[Sequence[ImageFile]],
    treatment: Treatment,
    problems: Sequence[Problem],
    progress: Progress | None,
    folder: Path,
) -> list[tuple[LabelledImages, LoadedPictures]]:
    """Decode all images. Raises one DataError with all problems, those of the listing included."""
    found, done, total = list(problems), 0, sum(map(len, files))

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(f"reading {total:,} images of {show(folder)}", done, total)

    sides = [_decode_images(side, treatment, found, advance) for side in files]
    if found:
        raise DataError(_describe_problems(found, total + len(problems)))
    return sides


def _describe_problems(problems: Sequence[Problem], total: int) -> str:
    named = [f"{show(problem.path)}: {problem.text}" for problem in problems[:_NAMED_PROBLEMS]]
    if len(problems) == 1:
        return named[0]
    more = len(problems) - len(named)
    lines = [*named, *([f"and {more:,} more"] if more else [])]
    return f"{len(problems):,} of {total:,} files and folders of images cannot be used:\n  " + "\n  ".join(lines)


def _decode_images(
    files: Sequence[ImageFile], treatment: Treatment, problems: list[Problem], advance: Callable[[int], None]
) -> tuple[LabelledImages, LoadedPictures]:
    """Decode the images of one side. problems: receives what cannot be. advance: told of images as they come."""
    pixels = np.empty((len(files), treatment.height, treatment.width, 3), dtype=np.uint8)
    found = LoadedPictures([file.label for file in files])

    def read(start: int) -> list[tuple[Picture, bytes] | Problem]:
        chunk: list[tuple[Picture, bytes] | Problem] = []
        for index, file in enumerate(files[start : start + _CHUNK], start):
            try:
                picture = read_picture(file.path, treatment)
            except UnreadableError as error:
                chunk.append(Problem(file.path, str(error)))
                continue
            pixels[index] = picture.pixels
            chunk.append((picture, hashlib.blake2b(pixels[index].data, digest_size=8).digest()))
        return chunk

    with warnings.catch_warnings(), ThreadPoolExecutor(available_cores()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, of what it repairs or finds unusual
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Pillow releases the GIL while it decodes and resizes: photographs gain, 32×32 images lose nothing.
        for chunk in pool.map(read, range(0, len(files), _CHUNK)):
            for entry in chunk:
                if isinstance(entry, Problem):
                    problems.append(entry)
                    continue
                picture, digest = entry
                found.sizes.append(picture.size)
                found.changes.append(picture.changes)
                found.digests.append(digest)
                found.flat.append(bool((picture.pixels == picture.pixels[0, 0]).all()))
            advance(len(chunk))
    labels = torch.tensor(found.labels, dtype=torch.int64)
    return LabelledImages(torch.from_numpy(pixels).permute(0, 3, 1, 2), labels), found
