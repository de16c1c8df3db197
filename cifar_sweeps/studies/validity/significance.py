"""How far chance reaches: several claims judged together, and a single published run beside several measured ones."""

import math
from collections.abc import Sequence

from scipy.special import stdtr, stdtrit

from cifar_sweeps.studies.intervals import CONFIDENCE, Estimate


def p_value(effect: Estimate, limit: float = 0.0) -> float | None:
    """Return the two-sided p of a t test that an effect's mean is ``limit``; None for a single value."""
    if effect.half_width is None:
        return None
    error = effect.half_width / _quantile(effect.n)
    distance = abs(effect.mean - limit)
    if error == 0:
        return 0.0 if distance else 1.0
    return float(2 * stdtr(effect.n - 1, -distance / error))


def holm(p_values: Sequence[float]) -> list[bool]:
    """Return which of several hypotheses can be rejected together, so that all are right with 95% confidence.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > (1 - CONFIDENCE) / (len(order) - rank):
            break
        rejected[i] = True
    return rejected


def prediction_half_width(measured: Estimate) -> float | None:
    """Return how far a single further run of the same training would lie from the mean, in 95% of cases; None for one.

    A 95% prediction interval: run-to-run noise, which on a test set of a few thousand images is mostly that of
    its sampling (K. Jordan, arXiv 2304.01910).
    """
    return None if measured.half_width is None else measured.half_width * math.sqrt(measured.n + 1)


def sampling_error(accuracy: float, images: int) -> float:
    """Return half of the 95% interval of an accuracy that is due to which ``images`` were drawn for the test."""
    return 1.96 * math.sqrt(max(0.0, accuracy * (1 - accuracy)) / images)


def _quantile(n: int) -> float:
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
