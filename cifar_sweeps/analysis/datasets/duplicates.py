"""Duplicates within and between splits: images with equal pixels, and images that are nearly the same."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cifar_sweeps.analysis.datasets.near_pairs import NearPairs, near_pairs

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two duplicates: positions in the joined images of all splits, ``first`` in the split that is named first.

    correlation, detail: of `near_pairs`; 1 for equal pixels.
    """

    first: int
    second: int
    exact: bool
    correlation: float
    detail: float


@dataclass(frozen=True)
class Overlap:
    """How many images of one split have a duplicate in another, or a second one in the same.

    exact: with equal pixels. near: nearly the same as one, and equal to none. exact_otherwise, near_otherwise: those of
    them that have such a duplicate with another label. pairs: for pictures, the exact ones first, then by correlation.
    """

    exact: int
    near: int
    exact_otherwise: int
    near_otherwise: int
    pairs: tuple[Pair, ...]

    @property
    def images(self) -> int:
        """How many have any duplicate."""
        return self.exact + self.near

    @property
    def otherwise(self) -> int:
        """How many have one with another label."""
        return self.exact_otherwise + self.near_otherwise


@dataclass(frozen=True)
class Duplicates:
    """All duplicates of a data set. group: (N,) a number for each image, equal for equal pixels.

    near: pairs of groups. split, labels: (N,) of each image.
    """

    group: Positions
    near: NearPairs
    split: Positions
    labels: Positions

    def overlap(self, one: int, other: int) -> Overlap:
        """Return the images of split ``one`` that have a duplicate in split ``other``, which may be the same."""
        members = self._members()
        exact: dict[int, bool] = {}  # an image's position, and whether some duplicate has another label
        nearly: dict[int, bool] = {}
        pairs: list[Pair] = []
        for images in members.values():
            of_one, of_other = (images[self.split[images] == split] for split in (one, other))
            if self._match(of_one, of_other, exact):
                pairs += self._example(of_one, of_other, True, 1.0, 1.0)
        for (first, second), correlation, detail in zip(
            self.near.pairs, self.near.correlation, self.near.detail, strict=True
        ):
            for a, b in ((first, second), (second, first)):
                of_one, of_other = members[a], members[b]
                of_one, of_other = of_one[self.split[of_one] == one], of_other[self.split[of_other] == other]
                if self._match(of_one, of_other, nearly) and (one != other or a == first):
                    pairs += self._example(of_one, of_other, False, float(correlation), float(detail))
        only_near = {image: torn for image, torn in nearly.items() if image not in exact}
        return Overlap(len(exact), len(only_near), sum(exact.values()), sum(only_near.values()), tuple(pairs))

    def all_pairs(self) -> list[Pair]:
        """Return every pair of duplicates: of equal images, the first with each other one."""
        members = self._members()
        pairs = [
            Pair(int(images[0]), int(image), True, 1.0, 1.0) for images in members.values() for image in images[1:]
        ]
        for (a, b), correlation, detail in zip(self.near.pairs, self.near.correlation, self.near.detail, strict=True):
            pairs.append(Pair(int(members[a][0]), int(members[b][0]), False, float(correlation), float(detail)))
        return pairs

    def _members(self) -> dict[int, Positions]:
        """Return the images of each group that has several, or is part of a pair."""
        concerned = np.flatnonzero(np.bincount(self.group) > 1)
        concerned = np.union1d(concerned, self.near.pairs.ravel())
        order = np.argsort(self.group, kind="stable")
        starts = np.searchsorted(self.group[order], [concerned, concerned + 1])
        return {int(g): order[low:high] for g, low, high in zip(concerned, *starts, strict=True)}

    def _match(self, of_one: Positions, of_other: Positions, found: dict[int, bool]) -> bool:
        """Note each image of one side that has another one on the other side; return whether there is any."""
        labels = set(self.labels[of_other].tolist())
        any_found = False
        for image in of_one.tolist():
            if len(of_other) - int(image in of_other) > 0:
                found[image] = found.get(image, False) or bool(labels - {int(self.labels[image])})
                any_found = True
        return any_found

    def _example(
        self, of_one: Positions, of_other: Positions, exact: bool, correlation: float, detail: float
    ) -> list[Pair]:
        """Return one pair of these images, of different labels if there are any."""
        choices = [(int(a), int(b)) for a in of_one[:20] for b in of_other[:20] if a != b]
        torn = [(a, b) for a, b in choices if self.labels[a] != self.labels[b]]
        return [Pair(*pair, exact, correlation, detail) for pair in (torn or choices)[:1]]


def find_duplicates(
    digests: Sequence[bytes],
    pixels: npt.NDArray[np.uint8],
    split: Positions,
    labels: Positions,
    progress: Callable[[int, int], None] | None = None,
) -> Duplicates:
    """Return the duplicates of images, which are joined from all splits.

    digests: of `pixel_digests`. pixels: as `near_pairs` takes them. They may be of the first images alone; those behind
    their end are compared for equality only.
    """
    numbers: Mapping[bytes, int] = defaultdict(lambda: len(numbers))
    group = np.array([numbers[digest] for digest in digests], np.int64)
    _, first = np.unique(group, return_index=True)  # groups are numbered in the order of their first image
    representatives = first[first < len(pixels)]
    distinct = pixels if len(representatives) == len(pixels) else pixels[representatives]
    return Duplicates(group, near_pairs(distinct, progress=progress), split, labels)


def pixel_digests(images: Tensor, indices: Tensor) -> list[bytes]:
    """Return a digest of each chosen image's pixels, equal for equal images. images: (N, 3, H, W) uint8."""
    pixels = images.permute(0, 2, 3, 1).numpy()
    return [hashlib.blake2b(pixels[i].tobytes(), digest_size=16).digest() for i in indices.tolist()]
