"""ZCA whitening, as Keras' ImageDataGenerator: fitted on the training images, cached, applied to all images."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cifar_sweeps.data.cache import read_or_build, write_tensors
from cifar_sweeps.data.dataset import ImageData, Progress

log = logging.getLogger(__name__)

_FORMAT = 1
_EXACT_BLOCK = 1024
"""Images whose products of centred pixels, at most 128² each, sum up to no more than the 2²⁴ that float32 holds."""


@dataclass(frozen=True)
class Whitening:
    """A ZCA whitening: each channel's mean is subtracted, and the pixels are multiplied by a symmetric matrix.

    mean: (3,) float32, of pixels in [0, 1]. matrix: (3·H·W, 3·H·W) float32, of pixels in the order (H, W, 3).
    images: how many it was fitted on. rank: in how many directions of 3·H·W these vary.
    """

    mean: Tensor
    matrix: Tensor
    images: int
    rank: int

    def __call__(self, images: Tensor) -> Tensor:
        """Whiten images (B, 3, H, W) float32 in [0, 1], in float32 also where autocast is on."""
        with torch.autocast(images.device.type, enabled=False):
            return whiten(images, self.mean, self.matrix)

    def to(self, device: torch.device) -> "Whitening":
        """Return it with its tensors on a device."""
        return Whitening(self.mean.to(device), self.matrix.to(device), self.images, self.rank)

    @property
    def notes(self) -> tuple[str, ...]:
        """A message for the user if the images do not vary in all directions."""
        directions = len(self.matrix)
        if self.rank == directions:
            return ()
        few = "; train on more images" if self.images <= directions else ""
        return (
            f"data.whitening=zca: the {self.images:,} training images vary in {self.rank:,} of {directions:,} "
            f"directions, and what other images have in the rest is lost{few}",
        )


def whiten(images: Tensor, mean: Tensor, matrix: Tensor) -> Tensor:
    """Return (images − mean) · matrix, with each image as one row of pixels: (B, 3, H, W) float32 to the same."""
    pixels = images.permute(0, 2, 3, 1) - mean
    return (pixels.flatten(1) @ matrix).view(pixels.shape).permute(0, 3, 1, 2)


def fit_whitening(images: Tensor, indices: Tensor, epsilon: float, progress: Progress | None = None) -> Whitening:
    """Fit on some of the images (N, 3, H, W) uint8, of which pixels/255 are whitened.

    As ``fit`` of Keras' ImageDataGenerator (since keras-preprocessing 1.1): with the singular value decomposition
    U·S·Vᵀ of the n images as columns, less their channels' means, the matrix is U·√n/(S + epsilon)·Uᵀ. Where S is 0 up
    to rounding, Keras divides by epsilon and rounding noise by it; here such directions become 0, see
    `Whitening.notes`. The result does not depend on the number of threads.
    """
    count, directions = len(indices), images[0].numel()
    what = f"fitting the whitening on {count:,} images"
    products = torch.zeros(directions, directions, dtype=torch.float64)
    sums = torch.zeros(directions, dtype=torch.float64)
    with _one_thread():
        for start in range(0, count, _EXACT_BLOCK):
            if progress is not None:
                progress(what, start, count)
            block = images[indices[start : start + _EXACT_BLOCK]].permute(0, 2, 3, 1).flatten(1).float() - 128
            products += block.T @ block
            sums += block.sum(dim=0)
        # Up to here all numbers are whole, and exact. The means of the channels are taken off afterwards.
        mean = (sums.view(-1, 3).mean(dim=0) / count).repeat(directions // 3)
        crossed = torch.outer(sums, mean)
        moments = (products - crossed - crossed.T + count * torch.outer(mean, mean)) / (count * 255.0**2)
        variances, axes = torch.linalg.eigh(moments)  # ascending; S = √(n · variance)
        least = variances[-1].clamp_min(0) * max(count, directions) * torch.finfo(torch.float64).eps
        varies = variances > least
        varies[: max(0, directions - count)] = False  # n images span at most n directions
        axes, deviations = axes[:, varies], variances[varies].sqrt()
        matrix = (axes / (deviations + epsilon / count**0.5)) @ axes.T
    if progress is not None:
        progress(what, count, count)
    return Whitening(((mean[:3] + 128) / 255).float(), matrix.float(), count, int(varies.sum()))


def cached_whitening(
    folder: Path, data: ImageData, indices: Tensor, epsilon: float, progress: Progress | None = None
) -> Whitening:
    """Return the whitening fitted on these training images of ``data``, from its file if it was fitted before.

    Processes that start at the same time wait for the one that fits it. Raises DataError if the folder cannot be
    written.
    """
    chosen = indices.sort().values.contiguous()
    digest = hashlib.sha256(f"{_FORMAT} {data.fingerprint} {epsilon!r}".encode())
    digest.update(chosen.numpy().data)
    path = folder / f"zca-{digest.hexdigest()[:16]}.pt"
    directions = data.train.images[0].numel()
    return read_or_build(
        path,
        read=lambda: _read(path, directions),
        build=lambda: write_tensors(path, vars(fit_whitening(data.train.images, chosen, epsilon, progress))),
        what="the whitening's matrix",
    )


def _read(path: Path, directions: int) -> Whitening | None:
    """Map the file into memory; None if it is missing or damaged."""
    if not path.exists():
        return None
    try:
        found = Whitening(**torch.load(path, mmap=True, weights_only=True))
        if found.mean.shape != (3,) or found.matrix.shape != (directions, directions):
            raise ValueError(f"its matrix is {tuple(found.matrix.shape)}")
    except Exception as error:  # noqa: BLE001 (a damaged archive may raise anything, and the file is then useless)
        log.warning("%s: damaged (%s); it is fitted again", path, error)
        return None
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: several split sums in other ways, and a run must repeat with any number of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
