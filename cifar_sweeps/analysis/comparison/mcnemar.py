"""Whether two classifiers differ on the same images: McNemar's exact test, and an interval of the paired difference."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, ndtri

from cifar_sweeps.errors import DataError

Z95 = float(ndtri(0.975))
"""The normal distribution's two-sided 95% quantile."""


@dataclass(frozen=True)
class PairedCounts:
    """How many of the same images each of two classifiers has right: both, only the first, only the second, neither."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def images(self) -> int:
        """Number of images."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def discordant(self) -> int:
        """Number of images that exactly one of the two has right: the only ones that tell them apart."""
        return self.only_first + self.only_second

    @property
    def difference(self) -> float:
        """The first accuracy minus the second."""
        return (self.only_first - self.only_second) / self.images

    @property
    def p_exact(self) -> float:
        """Two-sided p of McNemar's exact test.

        Of nets of equal accuracy, each discordant image is as likely right with the one as with the other: binomial
        with 1/2. Twice the smaller tail, at most 1; without a discordant image 1. Its error is never above its level.
        """
        return min(1.0, 2 * _lower_tail(min(self.only_first, self.only_second), self.discordant))

    @property
    def p_mid(self) -> float:
        """The same with half of the observed outcome's probability: less cautious where few images are discordant.

        Source: M. W. Fagerland and others, The McNemar test for binary matched-pairs data, 2013.
        """
        if self.discordant == 0:
            return 1.0
        if self.only_first == self.only_second:
            return 1.0 - 0.5 * _probability(self.only_first, self.discordant)
        least = min(self.only_first, self.only_second)
        return min(1.0, 2 * _lower_tail(least, self.discordant) - _probability(least, self.discordant))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the difference of accuracies on images of this kind: Tango's score interval.

        All differences that the score test of paired proportions does not reject; it is never empty, and stays within
        -1 and 1. Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design, 1998.
        """
        high = _score_limit(self.only_first, self.only_second, self.images)
        low = -_score_limit(self.only_second, self.only_first, self.images)
        return low, high


def count_pairs(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> PairedCounts:
    """Count the images by which of two classifiers has them right. first, second: (N,) bool, of the same images.

    Raises DataError if there are not equally many, or none.
    """
    if first.shape != second.shape or first.ndim != 1 or len(first) == 0:
        raise DataError(f"{first.shape} and {second.shape} predictions are not of the same images: none can be paired")
    both = int((first & second).sum())
    return PairedCounts(both, int(first.sum()) - both, int(second.sum()) - both, int((~first & ~second).sum()))


def _lower_tail(count: int, trials: int) -> float:
    """Return the probability of at most ``count`` heads of a fair coin."""
    return float(bdtr(count, trials, 0.5)) if trials else 1.0


def _probability(count: int, trials: int) -> float:
    """Return the probability of exactly ``count`` heads of a fair coin."""
    return _lower_tail(count, trials) - (_lower_tail(count - 1, trials) if count > 0 else 0.0)


def _score_limit(first: int, second: int, n: int) -> float:
    """Return the largest difference (first - second) / n that the score test does not reject, by bisection."""
    low, high = (first - second) / n, 1.0
    for _ in range(60):  # more halvings than a float has digits
        middle = (low + high) / 2
        if _score(first, second, n, middle) > -Z95:
            low = middle
        else:
            high = middle
    return high


def _score(first: int, second: int, n: int, difference: float) -> float:
    """Return the score statistic of a true difference, with the other probability at its most likely value."""
    b = (2 * n + second - first) * difference - first - second
    c = -second * difference * (1 - difference)
    only_second = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    variance = n * (2 * only_second + difference * (1 - difference))
    distance = first - second - n * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0
