"""The space of a search: its dimensions, each a swept key with its values, and when it exists."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cifar_sweeps.errors import ConfigError

_DIGITS = 4
"""Significant digits of a proposed number: names stay readable, and the value is the one that is typed again."""


@dataclass(frozen=True)
class Dimension:
    """A key that is searched.

    choices: its values as they are typed; empty for a number between ``low`` and ``high``, both included. is_log:
    proposed on a logarithmic scale. step: of a range of numbers; None: any between them.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_integer: bool = False
    step: float | None = None

    def text(self, value: float | str) -> str:
        """Return a proposed value as it is typed."""
        if isinstance(value, str):
            return value
        if self.is_integer:
            return str(round(value))
        rounded = float(f"{value:.{_DIGITS}g}")
        return repr(min(max(rounded, self.low), self.high))

    def value(self, text: str) -> float | str | None:
        """Return a typed value as it was proposed; None if it is not of this dimension."""
        if self.choices:
            return text if text in self.choices else None
        try:
            number = float(text)
        except ValueError:
            return None
        return (round(number) if self.is_integer else number) if self.low <= number <= self.high else None

    def ends(self) -> tuple[str, ...]:
        """Return values that are checked before the search starts: all choices, or both ends."""
        return self.choices or (self.text(self.low), self.text(self.high))


@dataclass(frozen=True)
class Space:
    """The dimensions of a search, those that a condition refers to before those that have it.

    exists: by key, whether a dimension exists beside the values of those before it; always, where it has no entry.
    """

    dimensions: tuple[Dimension, ...]
    exists: Mapping[str, Callable[[Mapping[str, str]], bool]]

    def has(self, key: str, values: Mapping[str, str]) -> bool:
        """Whether a dimension exists in a trial with these values of others."""
        return key not in self.exists or self.exists[key](values)

    def contains(self, values: Mapping[str, str]) -> bool:
        """Whether a trial's values are of this space: its dimensions, and each within its bounds."""
        there = {each.key for each in self.dimensions if self.has(each.key, values)}
        within = all(each.value(values[each.key]) is not None for each in self.dimensions if each.key in values)
        return there == set(values) and within

    def samples(self) -> list[dict[str, str]]:
        """Return trials in which each choice and each end occurs, as far as its condition lets it."""
        count = max((len(each.ends()) for each in self.dimensions), default=0)
        return [self._sample(place) for place in range(count)]

    def _sample(self, place: int) -> dict[str, str]:
        values: dict[str, str] = {}
        for each in self.dimensions:
            if self.has(each.key, values):
                values[each.key] = each.ends()[place % len(each.ends())]
        return values


def check_dimension(dimension: Dimension) -> None:
    """Raise ConfigError for bounds between which nothing can be proposed."""
    if dimension.choices:
        return
    shown = f"{dimension.key}=interval({dimension.low:g},{dimension.high:g})"
    if not (math.isfinite(dimension.low) and math.isfinite(dimension.high) and dimension.low < dimension.high):
        raise ConfigError(f"{shown}: must rise from one finite number to another, such as interval(0.1,0.5)")
    if dimension.is_log and dimension.low <= 0:
        raise ConfigError(f"{shown}: tag(log, …) needs numbers above 0; use e.g. tag(log, interval(1e-5,1e-1))")


def in_order(dimensions: Iterable[Dimension], needs: Mapping[str, Sequence[str]]) -> tuple[Dimension, ...]:
    """Return the dimensions so that each stands behind those that its condition refers to.

    needs: by key, which keys its condition compares. Raises ConfigError for a circle, or a key that is not searched.
    """
    left = {each.key: each for each in dimensions}
    unknown = [key for key in needs if key not in left]
    if unknown:
        raise ConfigError(
            f"hydra.sweeper.conditions: {', '.join(unknown)}: is not searched; searched are {', '.join(left)}"
        )
    missing = sorted({other for others in needs.values() for other in others if other not in left})
    if missing:
        raise ConfigError(
            f"hydra.sweeper.conditions: {', '.join(missing)}: is compared, and is not searched; "
            f"searched are {', '.join(left)}"
        )
    found: list[Dimension] = []
    while left:
        ready = [key for key in left if not any(other in left for other in needs.get(key, ()))]
        if not ready:
            raise ConfigError(f"hydra.sweeper.conditions: {', '.join(left)} depend on each other in a circle")
        found += [left.pop(key) for key in ready]
    return tuple(found)
