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
from cifar_sweeps.data.dataset import ImageData, LabelledImages
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


def load_cifar10(*, root: str | Path, cache: str | Path, download: bool = True) -> ImageData:
    """Load ``root/cifar-10-batches-py`` in its original order, downloading it first if it is missing.

    Existing batches are used as they are, without network access. Raises DataError if they are damaged, or if they are
    missing and cannot be downloaded.
    """
    folder = Path(root).expanduser().absolute() / FOLDER
    if not folder.is_dir():
        if not download:
            raise NotDownloadedError(
                f"{folder}: there is no such folder, and data.source.download=false; {_alternatives(folder)}"
            )
        _download(folder)
    paths = [folder / name for name in (*TRAIN_FILES, *TEST_FILES)]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: is missing from CIFAR-10's batches; {_repair_hint(folder)}")

    def decode() -> DecodedDataset:
        return _read_batches(folder, TRAIN_FILES), _read_batches(folder, TEST_FILES), CLASSES

    stamps = "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)
    return cached_dataset(Path(cache), name=NAME, key=stamps, original_order=True, build=decode)


def _repair_hint(folder: Path) -> str:
    return f"remove {folder} to download it again, or {_alternatives(folder)}"


def _download(folder: Path) -> None:
    """Download, verify and unpack the archive with torchvision; ``folder`` appears complete, once for all processes."""
    # Slow to import, and needed only here.
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_and_extract_archive

    root = folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        with file_lock(root / ".cifar10.lock"):
            if folder.is_dir():  # another process has downloaded it while this one waited
                return
            with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as unpacked:
                download_and_extract_archive(
                    CIFAR10.url, str(root), unpacked, filename=CIFAR10.filename, md5=CIFAR10.tgz_md5
                )
                (Path(unpacked) / FOLDER).replace(folder)
    except (OSError, RuntimeError, HTTPException) as error:
        raise DataError(f"CIFAR-10 cannot be downloaded to {root} ({error}); {_alternatives(folder)}") from error


def _read_batches(folder: Path, names: Sequence[str]) -> LabelledImages:
    batches = [_read_batch(folder / name) for name in names]
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
    try:
        with path.open("rb") as file:
            batch: dict[str, Any] = _SafeUnpickler(file, encoding="latin1").load()
        count = len(batch["labels"])
        if batch["data"].shape != (count, 3072) or batch["data"].dtype != np.uint8:
            raise ValueError(f"{batch['data'].shape} {batch['data'].dtype} pixels for {count} labels")
        if count == 0 or not all(0 <= label < len(CLASSES) for label in batch["labels"]):
            raise ValueError("no labels, or labels beyond 9")
    except Exception as error:
        raise DataError(f"{path}: is damaged ({error}); {_repair_hint(path.parent)}") from error
    return batch
