"""Find all pairs of images that are nearly the same: an exact search that 60,000 images take seconds for.

Two images are nearly the same if their correlation over all pixels and the correlation of their detail are high. The
correlation of two images is the cosine of their pixels with each channel's mean taken away, so brightness, contrast and
tint do not matter. Detail is an image without its own blur (the mean of 5×5 pixels): two plain skies correlate well,
but their detail does not. Larger images are compared at 32 pixels a side.

The search leaves no pair out: a projection of both vectors on the same orthonormal basis, together with the length of
what the projection lost, has at least their correlation (Cauchy and Schwarz), so only pairs that pass on 97 numbers are
compared pixel by pixel.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

CORRELATION = 0.9
"""Least correlation of the pixels of nearly equal images."""
DETAIL = 0.6
"""Least correlation of their detail."""
MOST_COMPARED = 2_000_000
"""Pairs that are compared pixel by pixel, at most: a film's frames all look alike."""
MOST_PAIRS = 200_000
"""Pairs that are kept, at most."""

_SIDE = 32  # pixels at which images are compared
_FREQUENCIES = 8  # of the cosine basis, in each direction
_COMPONENTS = 96
_SAMPLE = 4096  # images that choose them
_BLUR = 5
_BLOCK = 4096  # images against as many others at once
_CHUNK = 256  # pairs whose pixels fit the CPU's cache
_LEAST_DEVIATION = 2.0
"""Of the pixels of an image, of 255: what is fainter is noise on a plain colour, and is not compared."""
_SLACK = 1e-4  # what rounding may take from the projected correlation

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NearPairs:
    """pairs: (M, 2) int64 positions, the lower first, the best correlation first. correlation, detail: (M,) each.

    note: how far the search came, where it did not come to the end; else empty.
    """

    pairs: npt.NDArray[np.int64]
    correlation: Floats
    detail: Floats
    note: str = ""


def reduced_shape(images: Tensor) -> tuple[int, int]:
    """Return height and width at which images (N, 3, H, W) are compared: no side above 32 pixels."""
    height, width = images.shape[-2:]
    scale = min(1, _SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def reduce_into(small: npt.NDArray[np.uint8], images: Tensor, indices: Tensor) -> None:
    """Write the chosen images of (N, 3, H, W) uint8 into (n, h, w, 3) of `reduced_shape`: means over areas."""
    target = reduced_shape(images)
    for start in range(0, len(indices), _CHUNK):
        part = images[indices[start : start + _CHUNK]]
        if target != tuple(images.shape[-2:]):
            part = F.interpolate(part.float(), target, mode="area").round().to(torch.uint8)
        small[start : start + len(part)] = part.permute(0, 2, 3, 1).numpy()


def near_pairs(
    pixels: npt.NDArray[np.uint8],
    *,
    correlation: float = CORRELATION,
    detail: float = DETAIL,
    progress: Callable[[int, int], None] | None = None,
) -> NearPairs:
    """Return all pairs of nearly equal images. Those of the first images in the array are found first.

    pixels: (N, h, w, 3) uint8, of `reduce_into`. Images of nearly one colour are left out.
    progress: told how many images have been compared with all others, and of how many.
    """
    images = _Images(pixels)
    found: list[tuple[npt.NDArray[np.int64], Floats, Floats]] = []
    compared = number = 0
    note = ""
    for met, part in _candidates(images, correlation - _SLACK):
        compared += len(part)
        close = images.correlations(part)
        part, close = part[close >= correlation], close[close >= correlation]
        fine = images.detail_correlations(part)
        keep = fine >= detail
        found.append((part[keep], close[keep], fine[keep]))
        number += int(keep.sum())
        if progress is not None:
            progress(met, len(pixels))
        if compared > MOST_COMPARED or number > MOST_PAIRS:
            note = (
                f"the search for near duplicates ended after {number:,} pairs: too many images look alike; counts of "
                "near duplicates are lower bounds"
            )
            break
    if progress is not None:
        progress(len(pixels), len(pixels))
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(each[0] for each in found)])
    close, fine = (np.concatenate([np.empty(0, np.float32), *(each[n] for each in found)]) for n in (1, 2))
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -close))
    return NearPairs(pairs[order], close[order], fine[order], note)


class _Images:
    """Images with the means, lengths and projections that their correlations need.

    compared: positions of those that have more than one colour. vectors: (M, d) float32 of these, unit vectors whose
    dot product is at least the correlation.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        count, height, width, _ = pixels.shape
        self.pixels, self._flat, self.area = pixels, pixels.reshape(count, -1), height * width
        basis = self._main_basis(_cosine_basis(height, width))
        means = torch.eye(3).repeat(self.area, 1) / self.area
        projected = np.empty((count, basis.shape[1] + 3), np.float32)
        squares = np.empty(count, np.float32)
        for start in range(0, count, _CHUNK):
            part = self._flat[start : start + _CHUNK].astype(np.float32)
            projected[start : start + _CHUNK] = part @ torch.cat([means, basis], dim=1).numpy()
            squares[start : start + _CHUNK] = np.einsum("ij,ij->i", part, part)
        self.means = np.ascontiguousarray(projected[:, :3])
        self.norms = np.sqrt(np.maximum(squares - self.area * np.square(self.means).sum(axis=1), 0))
        self.compared = np.flatnonzero(self.norms >= _LEAST_DEVIATION * np.sqrt(3 * self.area))
        main = torch.from_numpy(projected[self.compared, 3:] / self.norms[self.compared, None])
        lost = (1 - main.square().sum(dim=1)).clamp_min(0).sqrt()
        self.vectors = torch.cat([main, lost[:, None]], dim=1)

    def _main_basis(self, basis: Tensor) -> Tensor:
        """Return the part of an orthonormal basis in which most of these images' differences lie."""
        sample = np.linspace(0, len(self._flat) - 1, min(len(self._flat), _SAMPLE)).astype(np.int64)
        projected = torch.from_numpy(self._flat[sample].astype(np.float32)) @ basis
        projected /= projected.norm(dim=1, keepdim=True).clamp_min(1e-6)
        main: Tensor = torch.linalg.eigh(projected.T @ projected).eigenvectors.flip(1)[:, :_COMPONENTS]
        return basis @ main

    def centred(self, positions: npt.NDArray[np.int64]) -> Floats:
        """Return (n, h, w, 3): the images without their channels' means."""
        centred: Floats = self.pixels[positions].astype(np.float32) - self.means[positions, None, None]
        return centred

    def correlations(self, pairs: npt.NDArray[np.int64]) -> Floats:
        first, second = pairs.T
        products = np.einsum("ij,ij->i", self._flat[first].astype(np.float32), self._flat[second].astype(np.float32))
        products -= self.area * (self.means[first] * self.means[second]).sum(axis=1)
        correlations: Floats = products / (self.norms[first] * self.norms[second])
        return correlations

    def detail_correlations(self, pairs: npt.NDArray[np.int64]) -> Floats:
        if not len(pairs) or min(self.pixels.shape[1:3]) < _BLUR:  # too small to have detail
            return np.ones(len(pairs), np.float32)
        first, second = (self._details(side) for side in pairs.T)
        products = (first * second).sum(dim=(1, 2, 3))
        norms = first.flatten(1).norm(dim=1) * second.flatten(1).norm(dim=1)
        correlations: Floats = (products / norms.clamp_min(1e-6)).numpy()
        return correlations

    def _details(self, positions: npt.NDArray[np.int64]) -> Tensor:
        images = torch.from_numpy(self.centred(positions)).permute(0, 3, 1, 2).contiguous()
        return images - F.avg_pool2d(F.pad(images, [_BLUR // 2] * 4, mode="reflect"), _BLUR, 1)


def _candidates(images: _Images, least: float) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield some pairs at a time whose correlation may be at least ``least``, and how many images have met all others.

    A block without such pairs yields none, so that progress is told of.
    """
    vectors = images.vectors
    for start in range(0, len(vectors), _BLOCK):
        rows, met = vectors[start : start + _BLOCK], int(images.compared[start])
        for other in range(start, len(vectors), _BLOCK):
            pairs = (rows @ vectors[other : other + _BLOCK].T >= least).nonzero()
            pairs += torch.tensor([start, other])
            for some in torch.split(pairs[pairs[:, 0] < pairs[:, 1]], _CHUNK):
                yield met, images.compared[some.numpy()]


def _cosine_basis(height: int, width: int) -> Tensor:
    """Return the lowest frequencies of the cosine basis of (h, w, 3) images, but the mean: (h·w·3, d) orthonormal."""
    down, across = _cosines(height), _cosines(width)
    grey = torch.einsum("hk,wl->hwkl", down, across).reshape(height * width, -1)[:, 1:]
    return torch.kron(grey, torch.eye(3))


def _cosines(length: int) -> Tensor:
    """Return (length, k): the lowest frequencies of the orthonormal cosine basis."""
    frequency, position = torch.arange(min(_FREQUENCIES, length)), torch.arange(length)[:, None] + 0.5
    basis: Tensor = torch.cos(torch.pi * frequency * position / length) * (2 / length) ** 0.5
    basis[:, 0] /= 2**0.5
    return basis
