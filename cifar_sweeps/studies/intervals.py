"""Means over seeds, and how sure they are."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean of ``n`` values; the 95% t interval is ``mean`` ± ``half``. A single value has no interval."""

    mean: float
    half: float | None
    n: int

    @property
    def low(self) -> float | None:
        """The interval's lower end."""
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        """The interval's upper end."""
        return None if self.half is None else self.mean + self.half

    def text(self, digits: int = 4, sign: bool = False) -> str:
        """Return it as ``0.7390 ± 0.0042``."""
        mean = f"{self.mean:{'+' if sign else ''}.{digits}f}"
        return mean if self.half is None else f"{mean} ± {self.half:.{digits}f}"


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Return mean and 95% t interval, n - 1 degrees of freedom, of the values that are there; None if none is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None
    n = len(known)
    if n == 1:
        return Estimate(known[0], None, 1)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Estimate(statistics.fmean(known), quantile * statistics.stdev(known) / math.sqrt(n), n)
