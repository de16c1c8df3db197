"""Load CIFAR-10 from its Python batches, downloading them with torchvision if they are missing."""

import pickle
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifar_sweeps.data.cache import DecodedDataset, cached_dataset
from cifar_sweeps.data.dataset import ImageData, LabelledImages, Progress
from cifar_sweeps.errors import DataError, NotDownloadedError
from cifar_sweeps.system.locks import file_lock

NAME = "CIFAR-10"
FOLDER = "cifar-10-batches-py"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILES = ("test_batch",)


def _alternatives(folder: Path) -> str:
    return (
        "fetch cifar-10-python.tar.gz (https://www.cs.toronto.edu/~kriz/cifar.html) on another machine, unpack it "
        f"in {folder.parent}, or use your own images (data=image_folder data.root=FOLDER) or synthetic "
        "ones (data=synthetic)"
    )


def load_cifar10(
    *, root: str | Path, cache: str | Path, download: bool = True, progress: Progress | None = None
) -> ImageData:
    """Load ``root/cifar-10-batches-py`` in its original order, downloading it first if it is missing.

    Batches that lie in ``root`` itself, or in a folder of it, are used as well, and a note says so. Existing batches
    are used as they are, without network access. progress: told when a download starts.
    Raises DataError if they are damaged, or if they are missing and cannot be downloaded; all of them in one error.
    """
    given = Path(root).expanduser().absolute()
    folder = _find_batches(given)
    notes: tuple[str, ...] = ()
    if folder is None:
        _check_other_data(given)
        # Where the batches' own folder was given, they belong there, not into a second one inside it.
        folder = given if given.name == FOLDER else given / FOLDER
        if not download:
            raise NotDownloadedError(
                f"{folder}: there is no such folder, and data.source.download=false; {_alternatives(folder)}"
            )
        _download(folder, progress)
    elif folder != given / FOLDER:
        notes = (f"data.root={root}: CIFAR-10's batches in {folder} are used",)
    paths = [folder / name for name in (*TRAIN_FILES, *TEST_FILES)]
    missing = [f"{path}: is missing from CIFAR-10's batches" for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{'; '.join(missing)}; {_repair_hint(folder)}")

    def decode() -> DecodedDataset:
        batches = _read_all(paths)
        train = _join(batches[: len(TRAIN_FILES)])
        return DecodedDataset(train, _join(batches[len(TRAIN_FILES) :]), CLASSES)

    # Files of one archive have the same size and time: the inode and the time of the last change tell them apart.
    stamps = "\n".join(
        f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        for path in paths
        for status in [path.stat()]
    )
    return cached_dataset(Path(cache), name=NAME, key=stamps, original_order=True, build=decode, notes=notes)


def _find_batches(root: Path) -> Path | None:
    """Return the folder of the batches: in ``root`` as it should be, ``root`` itself, or in a folder of ``root``."""
    if (root / FOLDER).is_dir():
        return root / FOLDER
    if not root.is_dir():
        return None
    if any((root / name).is_file() for name in (*TRAIN_FILES, *TEST_FILES)):
        return root
    inner = [entry / FOLDER for entry in sorted(root.iterdir()) if (entry / FOLDER).is_dir()]
    return inner[0] if len(inner) == 1 else None


def _check_other_data(root: Path) -> None:
    """Raise DataError if ``root`` holds data of another kind: nothing is downloaded into what was meant otherwise."""
    if root.exists() and not root.is_dir():
        unpack = "; unpack it, and give the folder that it is unpacked in" if root.suffix in (".gz", ".tgz") else ""
        raise DataError(f"data.root={root}: is a file{unpack}; data=cifar10 needs the folder that holds {FOLDER}")
    for name, what in (
        ("cifar-10-batches-bin", "CIFAR-10's binary version"),
        ("cifar-10-batches-mat", "CIFAR-10's Matlab version"),
        ("cifar-100-python", "CIFAR-100"),
    ):
        if (root / name).is_dir() or root.name == name:
            raise DataError(
                f"data.root={root}: holds {what}, and data=cifar10 reads the Python version ({FOLDER}); "
                "give another data.root, where that lies or may be downloaded to"
            )
    if any((root / name).is_dir() for name in ("train", "Train", "training", "test", "Test", "testing")):
        raise DataError(
            f"data.root={root}: holds image folders, not CIFAR-10's batches; use data=image_folder data.root={root}, "
            "or another data.root, where CIFAR-10 lies or may be downloaded to"
        )


def _repair_hint(folder: Path) -> str:
    return f"remove {folder} to download it again, or {_alternatives(folder)}"


def _download(folder: Path, progress: Progress | None) -> None:
    """Download, verify and unpack the archive with torchvision; ``folder`` appears complete, once for all processes."""
    # Slow to import, and needed only here.
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_and_extract_archive

    root = folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        with file_lock(root / ".cifar10.lock"):
            if (folder / TRAIN_FILES[0]).is_file():  # another process has downloaded it while this one waited
                return
            if progress is not None:
                has_archive = (root / CIFAR10.filename).is_file()
                what = "unpacking" if has_archive else "downloading 170 MB, and unpacking,"
                progress(f"{what} {CIFAR10.filename} in {root}", 0, 0)
            with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as unpacked:
                download_and_extract_archive(
                    CIFAR10.url, str(root), unpacked, filename=CIFAR10.filename, md5=CIFAR10.tgz_md5
                )
                if folder.is_dir():  # an empty one of that name: rename refuses any other
                    folder.rmdir()
                (Path(unpacked) / FOLDER).replace(folder)
    except (OSError, RuntimeError, HTTPException) as error:
        raise DataError(f"CIFAR-10 cannot be downloaded to {root} ({error}); {_alternatives(folder)}") from error


def _read_all(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read all batches. Raises DataError with all that are damaged."""
    batches: list[dict[str, Any]] = []
    damaged: list[str] = []
    for path in paths:
        try:
            batches.append(_read_batch(path))
        except Exception as error:  # noqa: BLE001 (a damaged pickle may raise anything)
            damaged.append(f"{path}: is damaged ({error})")
    if damaged:
        raise DataError(f"{'; '.join(damaged)}; {_repair_hint(paths[0].parent)}")
    return batches


def _join(batches: Sequence[dict[str, Any]]) -> LabelledImages:
    pixels = np.concatenate([batch["data"] for batch in batches])
    labels = [label for batch in batches for label in batch["labels"]]
    # Each row holds the 32×32 red values, then the green, then the blue.
    images = torch.from_numpy(pixels.reshape(-1, 3, 32, 32))
    return LabelledImages(images, torch.tensor(labels, dtype=torch.int64))


class _SafeUnpickler(pickle.Unpickler):
    """Unpickler for numpy arrays and plain values; refuses anything that could run code."""

    _ALLOWED = frozenset(
        {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
        | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    )

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (pickle's signature)
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which CIFAR-10's files do not")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _read_batch(path: Path) -> dict[str, Any]:
    """Read one file of images. Raises whatever a damaged pickle raises, or ValueError if it holds something else."""
    with path.open("rb") as file:
        batch: dict[str, Any] = _SafeUnpickler(file, encoding="latin1").load()
    count = len(batch["labels"])
    if batch["data"].shape != (count, 3072) or batch["data"].dtype != np.uint8:
        raise ValueError(f"{batch['data'].shape} {batch['data'].dtype} pixels for {count} labels")
    if count == 0 or not all(0 <= label < len(CLASSES) for label in batch["labels"]):
        raise ValueError("no labels, or labels beyond 9")
    return batch
