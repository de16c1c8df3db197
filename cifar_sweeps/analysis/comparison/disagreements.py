"""Images that one of two sides has right and the other wrong. A side is one run, or several of one setting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cifar_sweeps.analysis.comparison.mcnemar import Z95
from cifar_sweeps.analysis.predictions import Predictions, highest, most_probable
from cifar_sweeps.errors import DataError


@dataclass(frozen=True)
class SidePredictions:
    """Predictions of one side for N images in C classes, over its runs.

    index: (N,) int64, of each image in its data set's test images. labels: (N,) int64. right: (N,) float64, the
    fraction of the runs that have the image right. probabilities: (N, C) float32, mean over the runs.
    """

    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    right: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]
    runs: int

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N,) int64: the class of the highest mean probability."""
        return most_probable(self.probabilities)

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """(N,) float32: the mean probability of the predicted class."""
        return highest(self.probabilities)

    @property
    def mostly_right(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether more than half of the runs have the image right."""
        right: npt.NDArray[np.bool_] = self.right > 0.5
        return right

    @property
    def mostly_wrong(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether more than half of the runs have the image wrong."""
        wrong: npt.NDArray[np.bool_] = self.right < 0.5
        return wrong

    def runs_right(self, at: int) -> int:
        """Return how many of the runs have an image right, by its position."""
        return round(float(self.right[at]) * self.runs)


def combine(predictions: Sequence[Predictions]) -> SidePredictions:
    """Return the predictions of a side's runs together. Raises DataError if they are not of the same images."""
    first = predictions[0]
    for other in predictions[1:]:
        if not _of_the_same_images(first, other):
            raise DataError("the runs' test predictions are not of the same images: they cannot be taken together")
    right = np.mean([each.correct for each in predictions], axis=0)
    mean = np.mean(np.stack([each.probabilities for each in predictions]), axis=0, dtype=np.float64)
    together: npt.NDArray[np.float32] = np.asarray(mean, dtype=np.float32)
    return SidePredictions(first.index, first.labels, right, together, first.classes, len(predictions))


@dataclass(frozen=True)
class Disagreements:
    """How many images each side has right in most of its runs, and which only one has.

    first_only, second_only: (n,) int64, positions in the predictions; those that most runs tell apart first, and among
    these those on which both sides are sure (the smaller of the two confidences). undecided: images that half of a
    side's runs have right.
    """

    both: int
    neither: int
    undecided: int
    first_only: npt.NDArray[np.int64]
    second_only: npt.NDArray[np.int64]


def disagreements(first: SidePredictions, second: SidePredictions) -> Disagreements:
    """Return the images that only one side has right. Raises DataError if they are of other images."""
    if not _of_the_same_images(first, second):
        raise DataError(
            "the two sides' test predictions are not of the same images: they cannot be compared one by one"
        )
    sure = np.minimum(first.confidence, second.confidence)

    def ordered(only: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        indices = np.flatnonzero(only)
        apart = np.abs(first.right - second.right)[indices]
        found: npt.NDArray[np.int64] = indices[np.lexsort((indices, -sure[indices], -apart))]
        return found

    both, neither = first.mostly_right & second.mostly_right, first.mostly_wrong & second.mostly_wrong
    first_only, second_only = first.mostly_right & second.mostly_wrong, first.mostly_wrong & second.mostly_right
    decided = both | neither | first_only | second_only
    return Disagreements(
        int(both.sum()), int(neither.sum()), int((~decided).sum()), ordered(first_only), ordered(second_only)
    )


def images_half_width(first: SidePredictions, second: SidePredictions) -> float | None:
    """Return half of the 95% interval of the difference of accuracies that is due to which images were drawn.

    From the spread over the N images of the difference of the two fractions of runs that have each right: both sides
    saw the same images, so that easy and hard ones do not count. It is a little too wide where runs are few, as each
    fraction has noise of its own. None for a single image.
    """
    apart = first.right - second.right
    return float(Z95 * apart.std(ddof=1) / math.sqrt(len(apart))) if len(apart) > 1 else None


def _of_the_same_images(one: Predictions | SidePredictions, other: Predictions | SidePredictions) -> bool:
    alike = np.array_equal(one.labels, other.labels) and np.array_equal(one.index, other.index)
    return alike and one.classes == other.classes
