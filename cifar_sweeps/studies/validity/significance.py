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


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p of several hypotheses: those of at most 5% can be rejected together with 95% confidence.

    Each ordered p is multiplied by the number of those that are no smaller, and is no less than the one before it.
    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def p_above(effect: Estimate, limit: float, is_inclusive: bool = False) -> float | None:
    """Return the one-sided p of a t test that decides that a mean lies above ``limit``; None for a single value.

    is_inclusive: of values without any spread, whether one that equals the limit decides it.
    """
    if effect.half_width is None:
        return None
    error = effect.half_width / _quantile(effect.n)
    distance = effect.mean - limit
    if error == 0:
        return 0.0 if distance > 0 or (distance == 0 and is_inclusive) else 1.0
    return float(stdtr(effect.n - 1, -distance / error))


def p_below(effect: Estimate, limit: float, is_inclusive: bool = False) -> float | None:
    """Return the one-sided p of a t test that decides that a mean lies below ``limit``, as `p_above` does."""
    return p_above(Estimate(-effect.mean, effect.half_width, effect.n), -limit, is_inclusive)


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
