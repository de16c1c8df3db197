"""Find, download and read one of the published CIFAR archives, in their Python version."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from cifar_sweeps.data.cache import DecodedDataset, cached_dataset
from cifar_sweeps.data.cifar.pickle_files import read_class_names, read_images
from cifar_sweeps.data.dataset import ImageData, LabelledImages, Progress
from cifar_sweeps.data.folder_layout import is_litter
from cifar_sweeps.errors import DataError, NotDownloadedError
from cifar_sweeps.system.locks import file_lock

_T = TypeVar("_T")


@dataclass(frozen=True)
class Archive:
    """One of the archives. option: ``cifar10`` of ``data=cifar10``. folder: what the archive is unpacked to.

    other_files: what is read besides. general_names: other data may have files of these names, so that in a folder of
    another name only all of them together are taken for the archive's.
    """

    name: str
    option: str
    folder: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    other_files: tuple[str, ...] = ()
    general_names: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """All files that are read."""
        return (*self.train_files, *self.test_files, *self.other_files)


@dataclass(frozen=True)
class ClassNames:
    """The file that holds the names of the classes, under which key, and how many there are."""

    file: str
    key: str
    count: int


# What else a folder may hold: its name, what that is, and which option reads it.
_KNOWN_FOLDERS = (
    ("cifar-10-batches-py", "CIFAR-10", "cifar10"),
    ("cifar-10-batches-bin", "CIFAR-10's binary version", ""),
    ("cifar-10-batches-mat", "CIFAR-10's Matlab version", ""),
    ("cifar-100-python", "CIFAR-100", "cifar100"),
    ("cifar-100-binary", "CIFAR-100's binary version", ""),
    ("cifar-100-matlab", "CIFAR-100's Matlab version", ""),
)


def load_archive(
    archive: Archive,
    *,
    name: str,
    labels: str,
    classes: tuple[str, ...] | ClassNames,
    root: str | Path,
    cache: str | Path,
    download: bool,
    original_order: bool,
    progress: Progress | None,
) -> ImageData:
    """Load the files in ``root/FOLDER``, ``root`` itself or a folder of it; download them if there are none.

    name: of the data set. labels: the name under which each file has them. classes: their names, or where these are.
    original_order: see `ImageData`. The other arguments, and what is raised: see `load_cifar10`.
    """
    given = Path(root).expanduser().absolute()
    folder = _find(archive, given)
    notes: tuple[str, ...] = ()
    if folder is None:
        _check_other_data(archive, given)
        # Where the archive's own folder was given, the files belong there, not into a second one inside it.
        folder = given if given.name == archive.folder else given / archive.folder
        if not download:
            raise NotDownloadedError(
                f"{folder}: there is no such folder, and data.source.download=false; {_alternatives(archive, folder)}"
            )
        _download(archive, folder, progress)
    elif folder != given / archive.folder:
        notes = (f"data.root={root}: {archive.name}'s batches in {folder} are used",)
    paths = [folder / file for file in archive.files]
    missing = [f"{path}: is missing from {archive.name}'s batches" for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{'; '.join(missing)}; {_repair_hint(archive, folder)}")
    # Files of one archive have the same size and time: the inode and the time of the last change tell them apart.
    stamps = "\n".join(
        f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        for path in paths
        for status in [path.stat()]
    )
    return cached_dataset(
        Path(cache),
        name=name,
        key=stamps,
        original_order=original_order,
        build=lambda: _decode(archive, folder, labels, classes),
        notes=notes,
    )


def _decode(archive: Archive, folder: Path, labels: str, classes: tuple[str, ...] | ClassNames) -> DecodedDataset:
    """Read all files. Raises DataError with all that are damaged."""
    damaged: list[str] = []

    def read(files: Sequence[str], reader: Callable[[Path], _T]) -> list[_T]:
        found = []
        for path in (folder / file for file in files):
            try:
                found.append(reader(path))
            except Exception as error:  # noqa: BLE001 (a damaged pickle may raise anything)
                damaged.append(f"{path}: is damaged ({error})")
        return found

    count = classes.count if isinstance(classes, ClassNames) else len(classes)
    train, test = (
        read(files, lambda path: read_images(path, labels, count))
        for files in (archive.train_files, archive.test_files)
    )
    if isinstance(classes, ClassNames):
        names = read([classes.file], lambda path: read_class_names(path, classes.key, count))
    else:
        names = [classes]
    if damaged:
        raise DataError(f"{'; '.join(damaged)}; {_repair_hint(archive, folder)}")
    return DecodedDataset(_join(train), _join(test), names[0])


def _join(batches: Sequence[tuple[np.typing.NDArray[np.uint8], list[int]]]) -> LabelledImages:
    # Each row holds the 32×32 red values, then the green, then the blue.
    images = torch.from_numpy(np.concatenate([pixels for pixels, _ in batches]).reshape(-1, 3, 32, 32))
    return LabelledImages(images, torch.tensor([label for _, labels in batches for label in labels], dtype=torch.int64))


def _find(archive: Archive, root: Path) -> Path | None:
    """Return the folder of the files: in ``root`` as it should be, ``root`` itself, or in a folder of ``root``."""
    if (root / archive.folder).is_dir():
        return root / archive.folder
    if not root.is_dir():
        return None
    there = [(root / file).is_file() for file in archive.files]
    needs_all = archive.general_names and root.name != archive.folder
    if all(there) if needs_all else any(there):
        return root
    # What another process is unpacking, or was when it was killed, lies in a hidden folder.
    inner = [
        entry / archive.folder
        for entry in sorted(root.iterdir())
        if not is_litter(entry.name) and (entry / archive.folder).is_dir()
    ]
    return inner[0] if len(inner) == 1 else None


def _check_other_data(archive: Archive, root: Path) -> None:
    """Raise DataError if ``root`` holds data of another kind: nothing is downloaded into what was meant otherwise."""
    if root.exists() and not root.is_dir():
        unpack = "; unpack it, and give the folder that it is unpacked in" if root.suffix in (".gz", ".tgz") else ""
        raise DataError(
            f"data.root={root}: is a file{unpack}; data={archive.option} needs the folder that holds {archive.folder}"
        )
    for name, what, option in _KNOWN_FOLDERS:
        if name != archive.folder and ((root / name).is_dir() or root.name == name):
            instead = f"use data={option}, or give" if option else "give"
            raise DataError(
                f"data.root={root}: holds {what}, and data={archive.option} reads {archive.name}'s Python version "
                f"({archive.folder}); {instead} another data.root, where that lies or may be downloaded to"
            )
    if any((root / name).is_dir() for name in ("train", "Train", "training", "test", "Test", "testing")):
        raise DataError(
            f"data.root={root}: holds image folders, not {archive.name}'s batches; use data=image_folder "
            f"data.root={root}, or another data.root, where {archive.name} lies or may be downloaded to"
        )


def _alternatives(archive: Archive, folder: Path) -> str:
    # Its name is torchvision's, too, which is slow to import.
    return (
        f"fetch {archive.name.lower()}-python.tar.gz (https://www.cs.toronto.edu/~kriz/cifar.html) on another machine, "
        f"unpack it in {folder.parent}, or use your own images (data=image_folder data.root=FOLDER) or synthetic "
        "ones (data=synthetic)"
    )


def _repair_hint(archive: Archive, folder: Path) -> str:
    return f"remove {folder} to download it again, or {_alternatives(archive, folder)}"


def _published(archive: Archive) -> Any:  # noqa: ANN401 (torchvision has no types)
    """Return torchvision's class of the archive, with its address and checksum."""
    from torchvision import datasets  # slow to import, and needed for a download only

    return {"CIFAR-10": datasets.CIFAR10, "CIFAR-100": datasets.CIFAR100}[archive.name]


def _download(archive: Archive, folder: Path, progress: Progress | None) -> None:
    """Download, verify and unpack the archive with torchvision; ``folder`` appears complete, once for all processes."""
    from torchvision.datasets.utils import download_and_extract_archive

    published, root = _published(archive), folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        with file_lock(root / f".{archive.option}.lock"):
            if (folder / archive.train_files[0]).is_file():  # another process has downloaded it while this one waited
                return
            if progress is not None:
                has_archive = (root / published.filename).is_file()
                what = "unpacking" if has_archive else "downloading 170 MB, and unpacking,"
                progress(f"{what} {published.filename} in {root}", 0, 0)
            for leftover in root.glob(".unpacking-*"):  # of a process that was killed: nobody else holds the lock
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as unpacked:
                download_and_extract_archive(
                    published.url, str(root), unpacked, filename=published.filename, md5=published.tgz_md5
                )
                if folder.is_dir():  # an empty one of that name: rename refuses any other
                    folder.rmdir()
                (Path(unpacked) / archive.folder).replace(folder)
    except (OSError, RuntimeError, HTTPException) as error:
        raise DataError(
            f"{archive.name} cannot be downloaded to {root} ({error}); {_alternatives(archive, folder)}"
        ) from error
