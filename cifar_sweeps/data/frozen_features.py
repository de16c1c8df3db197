"""Cache of a frozen backbone's features: computed once, then read by every epoch and every job of a sweep."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cifar_sweeps.data.cache import read_or_build
from cifar_sweeps.system.files import atomic_write

log = logging.getLogger(__name__)

_FORMAT = 1
_LOG_INTERVAL_SECONDS = 10.0


@dataclass(frozen=True)
class LabelledFeatures:
    """Features and labels of the training or test images, used in place of the images.

    features: (n, F). rows: (N,) int64, the row of ``features`` for each of the N images; -1 if it has none.
    labels: (N,) int64.
    """

    features: Tensor
    rows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Extractor:
    """A function that computes features; equal ``identity`` means equal features of an image.

    apply: images (B, 3, H, W) float32 to features (B, width). dtype: of the stored features; the dtype in which the
    first layer of the head computes loses nothing.
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
    """Return the features of all training or all test images, computing and caching them if the file is missing.

    key: the data's fingerprint, train or test, and the preprocessing of the images. labels: (N,) of all N images.
    used: (n,) int64, indices of the images that this run reads. Usually features are computed for all N images, so that
    other splits share the file; if fewer than half are read, only for these, so that a quick trial need not wait.
    batches: yields images (B, 3, H, W) and labels for the given indices, in their order.
    Processes that start at the same time wait for the one that computes the features, then share its mapped file.
    Raises DataError if the folder cannot be written.
    """
    # An existing file of all N images is not used for a few: other batches round differently, and a run must repeat bit
    # for bit whatever has been cached before it.
    indices = torch.unique(used) if 2 * len(used) < len(labels) else torch.arange(len(labels))
    path, shape = _cache_file(folder, extractor, key, indices)
    gigabytes = shape[0] * shape[1] * extractor.dtype.itemsize / 1e9
    features = read_or_build(
        path,
        read=lambda: _read(path, shape, extractor.dtype),
        build=lambda: _write(path, extractor, batches(indices), len(indices)),
        what=f"{gigabytes:.1f} GB of features",
    )
    rows = torch.full((len(labels),), -1, dtype=torch.int64)
    rows[indices] = torch.arange(len(indices))
    return LabelledFeatures(features, rows, labels)


def _cache_file(folder: Path, extractor: Extractor, key: str, indices: Tensor) -> tuple[Path, tuple[int, int]]:
    """Return the path and shape of the feature file of the images with these indices."""
    digest = hashlib.sha256(f"{_FORMAT} {extractor.identity} {extractor.dtype} {key}".encode())
    digest.update(indices.numpy().data)
    return folder / f"{extractor.name}-{digest.hexdigest()[:16]}.bin", (len(indices), extractor.width)


def _write(path: Path, extractor: Extractor, batches: Iterable[tuple[Tensor, Tensor]], count: int) -> None:
    log.info("features of %s: %d images pass through the frozen layers once; cached in %s", extractor.name, count, path)
    done, started = 0, time.perf_counter()
    last_logged = started
    with atomic_write(path) as file:
        for images, _ in batches:
            with torch.inference_mode():
                features = extractor.apply(images).to("cpu", extractor.dtype).contiguous()
            file.write(features.view(torch.uint8).numpy().data)
            done += len(features)
            now = time.perf_counter()
            if done == count or now - last_logged >= _LOG_INTERVAL_SECONDS:
                log.info(
                    "features of %s: %d of %d images, %.0f img/s", extractor.name, done, count, done / (now - started)
                )
                last_logged = now


def _read(path: Path, shape: tuple[int, int], dtype: torch.dtype) -> Tensor | None:
    """Map the file into memory; None if it is missing or has another size."""
    if not path.exists():
        return None
    size = shape[0] * shape[1]
    if path.stat().st_size != size * dtype.itemsize:
        log.warning("%s: damaged (%d bytes); it is computed again", path, path.stat().st_size)
        return None
    return torch.from_file(str(path), shared=False, size=size, dtype=dtype).view(shape)
