"""Analysis of variance of runs over a grid of settings: main effects, two-way interactions, the others, the seeds.

Sums of squares are of type II: what an effect explains beyond all effects that do not contain it (Langsrud, Statistics
and Computing 13, 2003). Of a full grid with equally many runs in each cell they add up, and equal those of type I, III.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cifar_sweeps.errors import DataError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What one key, two keys together, or three and more together (``keys`` is empty) add to the explained variance."""

    keys: tuple[str, ...]
    freedom: int
    sum_of_squares: float


@dataclass(frozen=True)
class VarianceAnalysis:
    """Sums of squares around the mean of ``runs`` values in ``cells`` of a grid of ``possible`` cells.

    residual: what no effect explains. Of replicated runs (``is_replicated``) it is the spread within the cells, that of
    the seeds; else all interactions that are not among the effects are in it, too. aliased: the effects that these runs
    cannot tell from others, and that are therefore not among the effects.
    """

    effects: tuple[Effect, ...]
    residual: Effect
    total: float
    runs: int
    cells: int
    possible: int
    is_balanced: bool
    is_replicated: bool
    aliased: tuple[tuple[str, ...], ...] = ()


def analyse_variance(
    factors: Mapping[str, Sequence[str]], values: Sequence[float], within: Mapping[str, str] | None = None
) -> VarianceAnalysis:
    """Return the sums of squares of every key, of every two keys, of three and more together, and of the residual.

    factors: for each key, its level in each run. values: of the runs. within: for a key that has values only where
    another one has some of its own, that other key; its level is "" elsewhere, and its effect is that within the other.
    Raises DataError if there is nothing to divide: equal values, or as many cells as effects and a single run in each.
    """
    cells, counts, means = _cells(factors, values)
    centred = np.asarray(values) - np.mean(values)
    total, within_cells = float(centred @ centred), _within_cells(factors, values)
    # Rounding alone leaves some 1e-32 of the squares of equal values.
    if total <= 1e-24 * max(1.0, float(np.square(values).sum())):
        raise DataError("all runs have the same value of the metric: there is no variance to divide")
    is_replicated = len(values) > len(counts)
    names = {key: frozenset({key, *([within[key]] if within and key in within else [])}) for key in factors}
    mains = list(names.values())
    pairs = [names[one] | names[other] for one, other in itertools.combinations(factors, 2)]
    design = _Design(cells, np.sqrt(counts), means - np.average(means, weights=counts))
    terms = list(dict.fromkeys([*mains, *(pair for pair in pairs if pair not in mains)]))
    if not is_replicated and design.fit(terms)[1] >= len(counts):
        terms = mains  # a single run a cell: the interactions are what is left over
    unexplained, rank = design.fit(terms)
    if not is_replicated and rank >= len(counts):
        raise DataError(
            f"{len(counts)} runs, each of a setting of its own, and no two keys crossed: what a key does cannot be "
            "told from what the seed does; repeat them with other seeds (seed=0,1,2)"
        )
    found = [(term, design.effect(term, terms)) for term in terms]
    order = {key: number for number, key in enumerate(factors)}
    effects = [_named(term, names, order, *effect) for term, effect in found if effect[0] > 0]
    aliased = [_named(term, names, order, 0, 0.0).keys for term, effect in found if effect[0] == 0]
    if is_replicated and len(counts) > rank:
        effects.append(Effect((), len(counts) - rank, unexplained))
    residual = (
        Effect((), len(values) - len(counts), within_cells)
        if is_replicated
        else Effect((), len(counts) - rank, unexplained)
    )
    possible = _possible(factors, within or {})
    is_balanced = len(counts) == possible and len(set(counts.tolist())) == 1
    return VarianceAnalysis(
        tuple(effects),
        residual,
        total,
        len(values),
        len(counts),
        possible,
        is_balanced,
        is_replicated,
        tuple(aliased),
    )


def _possible(factors: Mapping[str, Sequence[str]], within: Mapping[str, str]) -> int:
    """Return how many cells the whole grid has: of keys within another one, the combinations that there are."""
    parents = {key: [key, *(other for other in factors if within.get(other) == key)] for key in factors}
    groups = [group for key, group in parents.items() if key not in within]
    return math.prod(len(set(zip(*(factors[key] for key in group), strict=True))) for group in groups)


class _Design:
    """Least squares of cell means, weighted by their numbers of runs, on the levels of sets of keys."""

    def __init__(self, cells: Mapping[str, npt.NDArray[np.int64]], weights: Floats, means: Floats) -> None:
        self._cells, self._weights, self._target = cells, weights, weights * means
        self._columns: dict[frozenset[str], Floats] = {}
        self._fits: dict[frozenset[frozenset[str]], tuple[float, int]] = {}

    def effect(self, term: frozenset[str], terms: Sequence[frozenset[str]]) -> tuple[int, float]:
        """Return the degrees of freedom and the sum of squares of a term, beyond all that do not contain it."""
        others = [other for other in terms if not term <= other]
        (before, rank_before), (after, rank) = self.fit(others), self.fit([*others, term])
        return rank - rank_before, max(0.0, before - after)

    def fit(self, terms: Sequence[frozenset[str]]) -> tuple[float, int]:
        """Return the residual sum of squares and the rank of a model with an intercept."""
        key = frozenset(terms)
        if key not in self._fits:
            matrix = np.hstack([self._weights[:, None], *(self._column(term) for term in terms)])
            solution, _, rank, _ = np.linalg.lstsq(matrix, self._target, rcond=None)
            left = self._target - matrix @ solution
            self._fits[key] = float(left @ left), int(rank)
        return self._fits[key]

    def _column(self, term: frozenset[str]) -> Floats:
        if term not in self._columns:
            levels = np.stack([self._cells[key] for key in sorted(term)], axis=1)
            _, codes = np.unique(levels, axis=0, return_inverse=True)
            self._columns[term] = self._weights[:, None] * np.eye(int(codes.max()) + 1)[codes.ravel()]
        return self._columns[term]


def _cells(
    factors: Mapping[str, Sequence[str]], values: Sequence[float]
) -> tuple[dict[str, npt.NDArray[np.int64]], Floats, Floats]:
    """Return the level of each key, the number of runs and the mean value of each cell that has runs."""
    groups = _by_cell(factors, values)
    codes = {
        key: np.unique([cell[i] for cell in groups], return_inverse=True)[1].astype(np.int64)
        for i, key in enumerate(factors)
    }
    counts = np.array([len(group) for group in groups.values()], dtype=np.float64)
    return codes, counts, np.array([np.mean(group) for group in groups.values()])


def _within_cells(factors: Mapping[str, Sequence[str]], values: Sequence[float]) -> float:
    return float(sum(np.square(np.array(group) - np.mean(group)).sum() for group in _by_cell(factors, values).values()))


def _by_cell(factors: Mapping[str, Sequence[str]], values: Sequence[float]) -> dict[tuple[str, ...], list[float]]:
    groups: dict[tuple[str, ...], list[float]] = {}
    for cell, value in zip(zip(*factors.values(), strict=True), values, strict=True):
        groups.setdefault(cell, []).append(value)
    return groups


def _named(
    term: frozenset[str], names: Mapping[str, frozenset[str]], order: Mapping[str, int], freedom: int, squares: float
) -> Effect:
    """Return an effect under its own keys, without those that one of them lies within."""
    keys = [key for key in term if not any(key in names[other] - {other} for other in term if other != key)]
    return Effect(tuple(sorted(keys, key=order.__getitem__)), freedom, squares)
