"""Means of a metric over the values of two keys, for a heat map."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CellMeans:
    """Means over the arms of each cell, (R, C) float, NaN where there is none, and the number of runs, (R, C) int."""

    row_key: str
    column_key: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    means: npt.NDArray[np.float64]
    runs: npt.NDArray[np.int64]


def cell_means(
    row_key: str,
    column_key: str,
    rows: Sequence[str],
    columns: Sequence[str],
    arms: Sequence[Hashable],
    values: Sequence[float],
) -> CellMeans:
    """Return the mean of each cell; every arm in it weighs the same, however many runs it has.

    rows, columns: the value of either key in each run; arms: what each run is a repetition of. Numbers are in their
    order, other values in that of their first run.
    """
    names = _ordered(rows), _ordered(columns)
    shape = len(names[0]), len(names[1])
    means, counts = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    for i, row in enumerate(names[0]):
        for j, column in enumerate(names[1]):
            by_arm: dict[Hashable, list[float]] = {}
            for at in range(len(values)):
                if (rows[at], columns[at]) == (row, column):
                    by_arm.setdefault(arms[at], []).append(values[at])
            counts[i, j] = sum(map(len, by_arm.values()))
            if by_arm:
                means[i, j] = np.mean([np.mean(group) for group in by_arm.values()])
    return CellMeans(row_key, column_key, *names, means, counts)


def _ordered(texts: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(texts))
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return names
