"""The best value that a sweep has reached, against the epochs and the seconds that it has trained for it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainedEpoch:
    """One epoch of one run. ended: on a clock that all runs share; seconds: of training; value: None: not measured."""

    ended: float
    seconds: float
    value: float | None


@dataclass(frozen=True)
class BestSoFar:
    """After each epoch of any run, in the order in which they ended: epochs and seconds until then, and the best.

    best: NaN until the first value.
    """

    epochs: tuple[int, ...]
    seconds: tuple[float, ...]
    best: tuple[float, ...]


def best_so_far(trained: Iterable[TrainedEpoch], is_lower_better: bool) -> BestSoFar:
    """Return the best value after each epoch; seconds of runs that trained at once add up."""
    seconds, best = 0.0, math.nan
    rows = []
    for number, epoch in enumerate(sorted(trained, key=lambda epoch: epoch.ended), 1):
        seconds += epoch.seconds
        if epoch.value is not None and math.isfinite(epoch.value):
            is_better = epoch.value < best if is_lower_better else epoch.value > best
            best = epoch.value if is_better or math.isnan(best) else best
        rows.append((number, seconds, best))
    numbers, totals, values = zip(*rows, strict=True) if rows else ((), (), ())
    return BestSoFar(numbers, totals, values)
