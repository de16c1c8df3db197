"""Means over seeds with 95% confidence intervals."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean of ``n`` values; the 95% t interval is ``mean`` ± ``half_width``. A single value has no interval."""

    mean: float
    half_width: float | None
    n: int

    @property
    def low(self) -> float | None:
        """The interval's lower end."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The interval's upper end."""
        return None if self.half_width is None else self.mean + self.half_width

    def text(self, digits: int = 4, sign: bool = False) -> str:
        """Return it as ``0.7390 ± 0.0042``."""
        mean = f"{self.mean:{'+' if sign else ''}.{digits}f}"
        return mean if self.half_width is None else f"{mean} ± {self.half_width:.{digits}f}"


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Return mean and 95% t interval (n - 1 degrees of freedom) of the finite values; None if there are none."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return None
    n = len(finite)
    if n == 1:
        return Estimate(finite[0], None, 1)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Estimate(statistics.fmean(finite), quantile * statistics.stdev(finite) / math.sqrt(n), n)
