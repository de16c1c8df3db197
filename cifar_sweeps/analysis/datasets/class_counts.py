"""Images of each class in each split, as a figure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from cifar_sweeps.analysis.mathtext import shortened
from cifar_sweeps.analysis.matplotlib_setup import BLUE, DPI, GREEN, VERMILLION

IMBALANCED = 1.2
"""A split whose largest class is more than this many times its smallest is called imbalanced."""
_MOST_NAMES = 60
_LENGTH = 24


def imbalance(counts: npt.NDArray[np.int64]) -> float:
    """Return how many times as many images the largest class has as the smallest; infinity if one has none."""
    return float(counts.max() / counts.min()) if counts.min() else float("inf")


def class_bars(counts: npt.NDArray[np.int64], splits: Sequence[str], classes: Sequence[str], title: str = "") -> Figure:
    """Plot a bar a class for each split, side by side, the largest class of the first split on top.

    counts: (S, C) of up to three splits. More than 60 classes are drawn without their names.
    """
    order = np.argsort(counts[0], kind="stable")
    figure = Figure(figsize=(9, min(1.4 + 0.28 * len(classes), 12)), layout="constrained", dpi=DPI)
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    for axes, of_split, name, colour in zip(panels, counts, splits, (BLUE, VERMILLION, GREEN), strict=False):
        axes.barh(range(len(classes)), of_split[order], color=colour)
        axes.set(xlabel=f"{name} images")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.locator_params(axis="x", nbins=4, integer=True)
    named = len(classes) <= _MOST_NAMES
    names = [shortened(classes[k], _LENGTH) for k in order] if named else []
    panels[0].set_yticks(range(len(classes)) if named else [], names, fontsize=9 if len(classes) <= 40 else 7)
    panels[0].set(ylabel="" if named else f"{len(classes):,} classes, the largest on top")
    if title:
        figure.suptitle(title, fontsize=10)
    return figure
