"""Whether two settings differ, with the seed as the unit: paired by seed where both have it, else Welch's interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit

from cifar_sweeps.studies.intervals import CONFIDENCE, Estimate, estimate
from cifar_sweeps.studies.validity.significance import p_value

BySeed = Sequence[tuple[int | None, float]]
"""Values of one setting's runs, with their seeds; None where that is not recorded."""


@dataclass(frozen=True)
class SettingsDifference:
    """The first setting's mean minus the second's. p: two-sided, that it is zero; None where nothing is known of it.

    effect: with its 95% t interval, where there is one. method: ``paired`` by seed; ``welch``: two independent samples
    of perhaps unequal variance; ``none``: too few runs for an interval. seeds: those that pairs were made of; left_out:
    number of runs that have no partner.
    """

    effect: Estimate
    p: float | None
    method: Literal["paired", "welch", "none"]
    seeds: tuple[int, ...] = ()
    left_out: int = 0

    @property
    def is_decided(self) -> bool:
        """Whether the 95% interval does not hold zero."""
        return self.effect.half_width is not None and abs(self.effect.mean) > self.effect.half_width


def compare_settings(first: BySeed, second: BySeed) -> SettingsDifference | None:
    """Return the difference of two settings' values; None if one has no finite value.

    Two or more common seeds are paired, as a seed gives both the same split and order of the images. Of a seed that a
    setting has twice, the last value counts.
    """
    ones = [(seed, value) for seed, value in first if math.isfinite(value)]
    others = [(seed, value) for seed, value in second if math.isfinite(value)]
    if not ones or not others:
        return None
    by_seed, other_by_seed = dict(ones), dict(others)
    common = sorted(seed for seed in by_seed if seed is not None and seed in other_by_seed)
    if len(common) > 1:
        effect = estimate(by_seed[seed] - other_by_seed[seed] for seed in common)
        assert effect is not None
        left_out = len(ones) + len(others) - 2 * len(common)
        return SettingsDifference(effect, p_value(effect), "paired", tuple(common), left_out)
    return _welch([value for _, value in ones], [value for _, value in others])


def _welch(first: Sequence[float], second: Sequence[float]) -> SettingsDifference:
    mean, n = statistics.fmean(first) - statistics.fmean(second), min(len(first), len(second))
    if n < 2:
        return SettingsDifference(Estimate(mean, None, n), None, "none")
    errors = [statistics.variance(values) / len(values) for values in (first, second)]
    error = math.sqrt(sum(errors))
    if error == 0:
        return SettingsDifference(Estimate(mean, 0.0, n), 0.0 if mean else 1.0, "welch")
    parts = (square**2 / (len(values) - 1) for square, values in zip(errors, (first, second), strict=True))
    freedom = sum(errors) ** 2 / sum(parts)  # Welch and Satterthwaite
    half_width = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return SettingsDifference(Estimate(mean, half_width, n), float(2 * stdtr(freedom, -abs(mean) / error)), "welch")
