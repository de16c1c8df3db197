"""CIFAR-10 itself: torchvision's download with its checksums, or the Python batches that are there already."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

from cifar_sweeps.data.cache import Made, cached
from cifar_sweeps.data.images import ImageData, LabelledImages
from cifar_sweeps.errors import DataError

NAME = "CIFAR-10"
FOLDER = "cifar-10-batches-py"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILES = ("test_batch",)

_OTHERWISE = (
    "fetch cifar-10-python.tar.gz (https://www.cs.toronto.edu/~kriz/cifar.html) on another machine and unpack it there, "
    "or use images of your own (data=image_folder data.root=FOLDER), or drawn ones (data=synthetic)"
)


def load_cifar10(*, root: str | Path, cache: str | Path, download: bool = True) -> ImageData:
    """Read ``root/cifar-10-batches-py`` in its original order, downloading it first if it is not there.

    The batches that are there are used as they are, without any network. Raises DataError if they are damaged, or if
    they are missing and cannot be downloaded.
    """
    folder = Path(root).expanduser().absolute() / FOLDER
    if not folder.is_dir():
        if not download:
            raise DataError(f"{folder}: there is no such folder, and data.download=false; {_OTHERWISE}")
        _download(folder.parent)
    paths = [folder / name for name in (*TRAIN_FILES, *TEST_FILES)]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: missing from CIFAR-10's batches; remove {folder} to download it anew, or {_OTHERWISE}")

    def read() -> Made:
        return _side(folder, TRAIN_FILES), _side(folder, TEST_FILES), CLASSES

    stamps = "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)
    return cached(Path(cache), name=NAME, key=stamps, original_order=True, make=read)


def _download(root: Path) -> None:
    """Let torchvision fetch, check and unpack the archive."""
    from torchvision.datasets import CIFAR10  # slow to import, and only needed once

    try:
        root.mkdir(parents=True, exist_ok=True)
        CIFAR10(str(root), download=True)
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(f"CIFAR-10 cannot be downloaded to {root} ({error}); {_OTHERWISE}") from error


def _side(folder: Path, names: Sequence[str]) -> LabelledImages:
    batches = [_batch(folder / name) for name in names]
    pixels = np.concatenate([batch["data"] for batch in batches])
    labels = [label for batch in batches for label in batch["labels"]]
    # Each row holds the 32×32 red values, then the green, then the blue.
    images = torch.from_numpy(pixels.reshape(-1, 3, 32, 32))
    return LabelledImages(images, torch.tensor(labels, dtype=torch.int64))


class _Plain(pickle.Unpickler):
    """Reads numpy arrays and plain values, and nothing that could run code."""

    _ALLOWED = frozenset(
        {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
        | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    )

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (pickle's signature)
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which CIFAR-10's files do not")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _batch(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            batch: dict[str, Any] = _Plain(file, encoding="latin1").load()
        count = len(batch["labels"])
        if batch["data"].shape != (count, 3072) or batch["data"].dtype != np.uint8:
            raise ValueError(f"{batch['data'].shape} {batch['data'].dtype} pixels for {count} labels")
        if count == 0 or not all(0 <= label < len(CLASSES) for label in batch["labels"]):
            raise ValueError("no labels, or labels beyond 9")
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path}: is damaged ({error}); remove {path.parent} to download it anew, or {_OTHERWISE}"
        ) from error
    return batch
