"""The space of a search: its dimensions, each a swept key with its values, and when it exists."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from cifar_sweeps.errors import ConfigError

_DIGITS = 4
"""Significant digits of a proposed number: names stay readable, and the value is the one that is typed again."""
_DIGITS_OF_STEPS = 12
"""Enough for any step, and too few for what floats add to it: 0.30000000000000004."""
_MAX_TRIED = 10_000
"""Combinations that are gone through one by one, at most."""


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
        rounded = float(f"{value:.{self._digits()}g}")
        return repr(min(max(rounded, self.low), self.high))

    def _digits(self) -> int:
        """Return how many significant digits tell its values apart; more where its bounds lie close together."""
        if self.step is not None:
            return _DIGITS_OF_STEPS
        largest = max(abs(self.low), abs(self.high))
        return _DIGITS + max(0, math.floor(math.log10(largest / (self.high - self.low))))

    def value(self, text: str) -> float | str | None:
        """Return a typed value as it was proposed; None if it is not of this dimension."""
        if self.choices:
            return text if text in self.choices else None
        try:
            number = float(text)
        except ValueError:
            return None
        return (round(number) if self.is_integer else number) if self.low <= number <= self.high else None

    def values(self) -> tuple[str, ...] | None:
        """Return all of its values as they are typed; None if there is any number between two of them, or too many."""
        if self.choices:
            return self.choices
        step = self.step or (1 if self.is_integer else None)
        if step is None or (self.high - self.low) / step >= _MAX_TRIED:
            return None
        return tuple(
            self.text(self.low + place * step) for place in range(math.floor((self.high - self.low) / step + 1e-9) + 1)
        )

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

    def combinations(self) -> Collection[Mapping[str, str]] | None:
        """Return all trials that differ in their values; None if they are too many to count."""
        values = [each.values() for each in self.dimensions]
        counts = [len(each) for each in values if each is not None]
        if len(counts) < len(values) or math.prod(counts) > _MAX_TRIED:
            return None
        found = (self._chosen(each) for each in product(*(each or () for each in values)))
        return {tuple(each.items()): each for each in found}.values()

    def _chosen(self, texts: Sequence[str]) -> dict[str, str]:
        """Return the trial with these values, one a dimension, without those of dimensions that do not exist."""
        values: dict[str, str] = {}
        for each, text in zip(self.dimensions, texts, strict=True):
            if self.has(each.key, values):
                values[each.key] = text
        return values

    def samples(self) -> list[dict[str, str]]:
        """Return trials in which each choice and each end occurs, as far as its condition lets it, and each key."""
        count = max((len(each.ends()) for each in self.dimensions), default=0)
        found = [self._sample([place] * len(self.dimensions)) for place in range(count)]
        for each in self.dimensions:
            if not any(each.key in sample for sample in found):
                found += self._samples_with(each.key)
        return found

    def _samples_with(self, key: str) -> list[dict[str, str]]:
        """Return a trial in which a key exists that does not in most; none where no combination of ends has it."""
        places = product(*(range(len(each.ends())) for each in self.dimensions))
        samples = (self._sample(each) for each in islice(places, _MAX_TRIED))
        return [*islice((sample for sample in samples if key in sample), 1)]

    def _sample(self, places: Sequence[int]) -> dict[str, str]:
        ends = [each.ends() for each in self.dimensions]
        return self._chosen([of_one[place % len(of_one)] for of_one, place in zip(ends, places, strict=True)])


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
