"""Rungs: the epochs at which runs are compared, and how many of those that have arrived go on from there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Rule = Literal["asha", "median"]
MIN_FOR_MEDIAN = 4
"""Arms that must have arrived at a rung before any is held back by the median: fewer say little."""


class Ladder(Protocol):
    """The rungs of a rule, and how many of the arms at one go on."""

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs at which a run that is ``epochs`` long pauses, rising; its last epoch is none of them."""

    def places(self, ranked: Sequence[float]) -> int:
        """Return how many of the arms at a rung may go on from it. ranked: their values, the best first."""


@dataclass(frozen=True)
class SuccessiveHalving:
    """Rungs at grace, grace·eta, grace·eta², … epochs; of n arms at a rung the best ⌊n / eta⌋ go on.

    Li, Jamieson, Rostamizadeh et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (ASHA,
    Algorithm 2), without brackets.
    """

    eta: int = 4
    grace: int = 4

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs at which a run pauses."""
        found, rung = list[int](), self.grace
        while rung < epochs:
            found.append(rung)
            rung *= self.eta
        return tuple(found)

    def places(self, ranked: Sequence[float]) -> int:
        """Return ⌊n / eta⌋."""
        return len(ranked) // self.eta


@dataclass(frozen=True)
class MedianRule:
    """Rungs at every ``grace`` epochs; an arm goes on while its value is not worse than the median of those there.

    After the median stopping rule of Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017,
    with the values at the rung instead of running means. With fewer than `MIN_FOR_MEDIAN` arms at a rung all go on.
    """

    grace: int = 4

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Return the epochs at which a run pauses."""
        return tuple(range(self.grace, epochs, self.grace))

    def places(self, ranked: Sequence[float]) -> int:
        """Return the number of arms that are not worse than the median."""
        if len(ranked) < MIN_FOR_MEDIAN:
            return len(ranked)
        # The upper half, and whoever equals its last: with an even number the median lies below the upper half.
        last = ranked[math.ceil(len(ranked) / 2) - 1]
        return len(ranked) - ranked[::-1].index(last)


def make_ladder(rule: Rule, *, eta: int, grace_epochs: int) -> Ladder:
    """Return the rungs of a rule. eta: of ASHA alone."""
    return SuccessiveHalving(eta, grace_epochs) if rule == "asha" else MedianRule(grace_epochs)


def who_goes_on(rule: Rule, eta: int) -> str:
    """Return in words which arms go on from a rung. eta: of ASHA alone."""
    if rule == "asha":
        return f"the best 1 in {eta} of the arms that have come so far goes on"
    return (
        "arms that are not worse than the median of those that have come so far go on "
        f"(all, while fewer than {MIN_FOR_MEDIAN} have come)"
    )
