"""What a frozen backbone makes of the images: computed once, then read by every epoch and every job of a sweep."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import atomic_write

log = logging.getLogger(__name__)

_FORMAT = 1
_SECONDS_BETWEEN_NEWS = 10.0


@dataclass(frozen=True)
class LabelledFeatures:
    """The features of one side's images, in place of the images.

    features: (n, F). rows: (N,) int64, where in ``features`` each image of the side is; -1 where it is not.
    labels: (N,) int64.
    """

    features: Tensor
    rows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Extractor:
    """How features are made. Equal ``identity``, equal features of an image.

    apply: images (B, 3, H, W) float32 to features (B, width). dtype: what they are kept as; that of the product which
    reads them first loses nothing.
    """

    name: str
    identity: str
    width: int
    dtype: torch.dtype
    apply: Callable[[Tensor], Tensor]


def cached_features(
    folder: Path,
    extractor: Extractor,
    *,
    key: str,
    labels: Tensor,
    used: Tensor,
    batches: Callable[[Tensor], Iterable[tuple[Tensor, Tensor]]],
) -> LabelledFeatures:
    """Return the features of one side of a data set, from their file where there is a sound one.

    key: the data's fingerprint and side, and whatever else is done to the images. labels: (N,) of the whole side.
    used: (n,) int64, the images that this run reads. As a rule all of the side pass through, so that other splits
    share the file; if fewer than half are read, these alone, as a quick look should not wait for the rest.
    batches: images (B, 3, H, W) and labels of the indices that it is given, in their order.
    Processes that start at once wait for the one that makes the file. They map it, and so share its memory.
    Raises DataError if the folder cannot be written.
    """
    # Not the whole side's file where there is one already: other batches round otherwise, and a run must repeat bit for
    # bit whatever has been made before it.
    chosen = torch.unique(used) if 2 * len(used) < len(labels) else torch.arange(len(labels))
    path, shape = _place(folder, extractor, key, chosen)
    found = _read(path, shape, extractor.dtype)
    try:
        if found is None:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                found = _read(path, shape, extractor.dtype)  # another process may have made it in the meantime
                if found is None:
                    _write(path, extractor, batches(chosen), len(chosen))
                    found = _read(path, shape, extractor.dtype)
    except OSError as error:
        gigabytes = shape[0] * shape[1] * extractor.dtype.itemsize / 1e9
        raise DataError(
            f"{folder}: {gigabytes:.1f} GB of features cannot be written ({error.strerror or error}); "
            "make room there, or set outputs=FOLDER to another folder"
        ) from error
    if found is None:
        raise DataError(f"{path}: was written and cannot be read back; look at the disk")
    rows = torch.full((len(labels),), -1, dtype=torch.int64)
    rows[chosen] = torch.arange(len(chosen))
    return LabelledFeatures(found, rows, labels)


def _place(folder: Path, extractor: Extractor, key: str, chosen: Tensor) -> tuple[Path, tuple[int, int]]:
    """Return the file of the chosen images' features, and its shape."""
    digest = hashlib.sha256(f"{_FORMAT} {extractor.identity} {extractor.dtype} {key}".encode())
    digest.update(chosen.numpy().data)
    return folder / f"{extractor.name}-{digest.hexdigest()[:16]}.bin", (len(chosen), extractor.width)


def _write(path: Path, extractor: Extractor, batches: Iterable[tuple[Tensor, Tensor]], count: int) -> None:
    log.info("features of %s: %d images pass the frozen layers once, into %s", extractor.name, count, path)
    done, started = 0, time.perf_counter()
    told = started
    with atomic_write(path) as file:
        for images, _ in batches:
            with torch.inference_mode():
                features = extractor.apply(images).to("cpu", extractor.dtype).contiguous()
            file.write(features.view(torch.uint8).numpy().data)
            done += len(features)
            now = time.perf_counter()
            if done == count or now - told >= _SECONDS_BETWEEN_NEWS:
                log.info(
                    "features of %s: %d of %d images, %.0f img/s", extractor.name, done, count, done / (now - started)
                )
                told = now


def _read(path: Path, shape: tuple[int, int], dtype: torch.dtype) -> Tensor | None:
    """Map the file into memory; None if there is none, or one of another size."""
    if not path.exists():
        return None
    size = shape[0] * shape[1]
    if path.stat().st_size != size * dtype.itemsize:
        log.warning("%s: damaged (%d bytes); it is made anew", path, path.stat().st_size)
        return None
    return torch.from_file(str(path), shared=False, size=size, dtype=dtype).view(shape)
