"""Figures of what mattered: shares as bars with their intervals, the best so far, and a heat map of means."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cifar_sweeps.analysis.importance.best_so_far import BestSoFar
from cifar_sweeps.analysis.importance.cell_means import CellMeans
from cifar_sweeps.analysis.mathtext import escape_mathtext, shortened
from cifar_sweeps.analysis.matplotlib_setup import BLUE
from cifar_sweeps.errors import DataError

_WIDTH, _HEIGHT = 6.4, 4.0
_LONGEST_NAME, _LONGEST_VALUE = 40, 22
_REST = "#777777"


@dataclass(frozen=True)
class Bar:
    """A bar of `plot_shares`. is_rest: of the seeds, or of what no key explains."""

    name: str
    value: float
    low: float | None
    high: float | None
    is_rest: bool = False


def plot_shares(bars: Sequence[Bar], label: str) -> Figure:
    """Plot shares in percent as horizontal bars, the first at the top, with their intervals."""
    figure = Figure(figsize=(_WIDTH, 0.34 * len(bars) + 1.0), layout="constrained")
    axes = figure.subplots()
    for row, bar in enumerate(bars):
        width = 100 * max(0.0, bar.value)
        axes.barh(row, width, color=_REST if bar.is_rest else BLUE, height=0.62, alpha=0.85)
        if bar.low is not None and bar.high is not None:
            axes.plot(
                [100 * bar.low, 100 * bar.high], [row, row], color="black", linewidth=1.3, marker="|", markersize=8
            )
    axes.set_yticks(range(len(bars)), [shortened(bar.name, _LONGEST_NAME) for bar in bars], fontsize=9)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, max(1.0, *(100 * max(bar.value, bar.high or 0.0) * 1.03 for bar in bars)))
    axes.set_xlabel(escape_mathtext(label))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    return figure


def plot_best_so_far(
    curve: BestSoFar, label: str, against: Literal["epochs", "seconds"], text: Callable[[float], str]
) -> Figure:
    """Plot the best value so far against the epochs or the seconds of all runs together. text: how values are written.

    Raises DataError if no epoch has a value.
    """
    if all(map(math.isnan, curve.best)):
        raise DataError(f"no epoch has a value of {label}: there is no best so far to draw")
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    scale, unit = (1.0, "epochs trained, of all runs") if against == "epochs" else _unit(curve.seconds[-1])
    places = [number / scale for number in (curve.epochs if against == "epochs" else curve.seconds)]
    axes.step(places, curve.best, where="post", color=BLUE)
    last = curve.best.index(curve.best[-1])
    axes.plot([places[last]], [curve.best[last]], "o", color=BLUE, markersize=6)
    side = "right" if places[last] > 0.6 * places[-1] else "left"
    reached = f"{text(curve.best[last])} after {100 * places[last] / places[-1]:.0f}%"
    first = next(value for value in curve.best if not math.isnan(value))
    is_rising = curve.best[last] >= first  # beyond the best value, and only there, is no line
    offset = (-8 if side == "right" else 8, 7 if is_rising else -15)
    axes.annotate(reached, (places[last], curve.best[last]), offset, textcoords="offset points", ha=side, fontsize=9)
    axes.set(xlabel=unit, ylabel=escape_mathtext(label))
    axes.set_xlim(0, places[-1] * 1.02)
    axes.margins(y=0.12)
    axes.grid(alpha=0.3)
    return figure


def plot_cell_means(cells: CellMeans, label: str, text: Callable[[float], str]) -> Figure:
    """Plot means as colours with their numbers and n; a cell without runs is hatched. text: how means are written."""
    rows, columns = cells.means.shape
    names = [shortened(name or "none", _LONGEST_VALUE) for name in cells.columns]
    is_small = rows * columns <= 100
    longest = max(map(len, names))
    figure = Figure(figsize=(2.6 + max(0.75 * columns, 2.0), 1.5 + max(0.5 * rows, 1.2)), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#e4e4e4")
    image = axes.imshow(np.ma.masked_invalid(cells.means), cmap="viridis", aspect="auto", interpolation="nearest")
    turned = 45 if longest > 7 or columns > 8 else 0
    axes.set_xticks(range(columns), names, fontsize=9, rotation=turned, ha="right" if turned else "center")
    axes.set_yticks(range(rows), [shortened(name or "none", _LONGEST_VALUE) for name in cells.rows], fontsize=9)
    axes.set(xlabel=escape_mathtext(cells.column_key), ylabel=escape_mathtext(cells.row_key))
    low, high = np.nanmin(cells.means), np.nanmax(cells.means)
    for (row, column), mean in np.ndenumerate(cells.means):
        if np.isnan(mean):
            _hatch(axes, row, column)
        elif is_small:
            dark = high == low or (mean - low) / (high - low) < 0.6
            written = f"{text(float(mean))}\nn={cells.runs[row, column]}"
            axes.text(column, row, written, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
    figure.colorbar(image, ax=axes, label=escape_mathtext(label))
    return figure


def _hatch(axes: Axes, row: int, column: int) -> None:
    patch = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="///", edgecolor="#999999", linewidth=0)
    axes.add_patch(patch)


def _unit(seconds: float) -> tuple[float, str]:
    """Return how many seconds the unit of an axis has, and its name."""
    for scale, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * scale:
            return scale, f"{name} of training, summed over all runs"
    return 1.0, "seconds of training, summed over all runs"
