"""A run's figures: learning curves, confusion matrix, calibration, figures by class.

Built without pyplot: no global state, and no display is needed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from cifar_sweeps.analysis.calibration import Calibration
from cifar_sweeps.analysis.image_sheets import Sheet
from cifar_sweeps.analysis.mathtext import shortened
from cifar_sweeps.analysis.matplotlib_setup import BLUE, DPI, GREEN, VERMILLION, missing_glyphs
from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import atomic_write

MAX_EPOCHS_WITH_MARKERS = 30
MAX_CLASSES_WITH_COUNTS = 25
MAX_NAME_LENGTH = 18

EpochRow = Mapping[str, float | None]


def learning_curves(history: Sequence[EpochRow], title: str = "") -> Figure:
    """Plot loss and accuracy by epoch for training and validation, with the best epoch marked.

    history: one mapping per epoch with ``epoch``, ``train/loss``, ``train/accuracy`` and, if present,
    ``val/loss``, ``val/accuracy``, ``train/objective``, ``val/objective`` (loss plus penalty; dashed). The best epoch
    is the first with the highest validation accuracy; without validation there is none.
    Raises DataError if history is empty.
    """
    if not history:
        raise DataError("no epoch to draw: learning curves need at least one; train with trainer.epochs=1 or more")
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for prefix, name, colour, marker in (("train", "training", BLUE, "o"), ("val", "validation", VERMILLION, "s")):
        _curve(loss, history, f"{prefix}/loss", name, colour, marker, "-")
        _curve(loss, history, f"{prefix}/objective", f"{name}, with penalty", colour, marker, "--")
        _curve(accuracy, history, f"{prefix}/accuracy", name, colour, marker, "-")
    loss.set_ylabel("cross-entropy (nats)")
    accuracy.set_ylabel("accuracy")
    best = _best_epoch(history)
    for axes in (loss, accuracy):
        if best is not None:
            epoch, value = best
            name = f"best: epoch {epoch:g}, accuracy {value:.4f}"
            axes.axvline(epoch, color=GREEN, linestyle=":", label=name, zorder=1)
        axes.set_xlabel("epoch")
        axes.margins(x=0.03 if len(history) > 1 else 1)  # a single epoch needs room for whole numbers beside it
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8.5)
    if title:
        figure.suptitle(title)
    return figure


def confusion_heatmap(confusion: npt.NDArray[np.int64], classes: Sequence[str], title: str = "") -> Figure:
    """Plot a confusion matrix.

    confusion: (C, C) counts, rows actual, columns predicted. Colour is the fraction of the row, so that classes of
    unequal size can be compared; cells show their counts and that fraction if there are at most 25 classes.
    """
    side = min(4 + 0.48 * len(classes), 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    fraction = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    is_large = len(classes) > MAX_CLASSES_WITH_COUNTS
    # Spread over many classes, confusions are a few hundredths each: by their square roots they show without counts.
    norm = PowerNorm(0.5 if is_large else 1, vmin=0, vmax=1)
    image = axes.imshow(fraction, cmap="Blues", norm=norm, interpolation="nearest")
    if is_large:
        figure.colorbar(image, ax=axes, label="fraction of the actual class", shrink=0.8)
    names, size = [_shortened(name) for name in classes], 5.5 if is_large else 10
    axes.set_xticks(range(len(classes)), names, fontsize=size, rotation=90 if is_large else 45)
    for label in axes.get_xticklabels():
        label.set(ha="right", va="center", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), names, fontsize=size)
    counted = "" if is_large else "\ncounts, and their fractions of the actual class"
    axes.set(xlabel=f"predicted{counted}", ylabel="actual", title=title)
    if not is_large:
        for (row, column), count in np.ndenumerate(confusion):
            colour = "white" if fraction[row, column] > 0.5 else "black"
            text = f"{count}\n{fraction[row, column]:.1%}" if count else "0"
            cell = axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
            cell.set_in_layout(False)  # a hundred texts that never leave the plot would be measured three times
    return figure


def reliability_diagram(measured: Calibration, title: str = "") -> Figure:
    """Plot accuracy against confidence by bin, with the diagonal of a perfect calibration, and the images of each."""
    figure = Figure(figsize=(6, 5.4), layout="constrained", dpi=DPI)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = measured.counts > 0
    middle, width = (measured.edges[:-1] + measured.edges[1:]) / 2, measured.edges[1]
    above.plot([0, 1], [0, 1], color="#555555", linestyle=":", label="perfect calibration")
    above.bar(middle[filled], measured.accuracy[filled], width * 0.92, color=BLUE, alpha=0.85, label="accuracy")
    above.plot(
        measured.confidence[filled],
        measured.accuracy[filled],
        color=VERMILLION,
        marker="o",
        markersize=4,
        linestyle="none",
        label="at the bin's mean confidence",
    )
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    above.legend(fontsize=8.5, loc="upper left")
    below.bar(middle, measured.counts, width * 0.92, color="#777777")
    below.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    heading = (
        f"expected calibration error {measured.ece:.3f} ({len(measured.counts)} bins), Brier score {measured.brier:.3f}"
    )
    figure.suptitle(f"{title}\n{heading}" if title else heading, fontsize=10)
    return figure


def class_figures(by_class: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Plot precision, recall and F1 of each class as points on a line a class, the lowest F1 at the bottom.

    by_class: for each class, its ``precision``, ``recall`` and ``f1-score``, as scikit-learn reports them.
    """
    names = sorted(by_class, key=lambda name: by_class[name]["f1-score"])
    figure = Figure(figsize=(7.5, 1.6 + 0.27 * len(names)), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    for metric, colour, marker in (("precision", BLUE, "o"), ("recall", VERMILLION, "s"), ("f1-score", GREEN, "D")):
        name = "F1" if metric == "f1-score" else metric
        values = [by_class[each][metric] for each in names]
        axes.plot(values, range(len(names)), color=colour, marker=marker, markersize=5, linestyle="none", label=name)
    axes.set_yticks(range(len(names)), [_shortened(name) for name in names], fontsize=9 if len(names) <= 40 else 6)
    axes.set(xlabel="fraction", title=title, ylim=(-0.8, len(names) - 0.2))
    axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def save(figure: Figure | Sheet, path: str | Path) -> set[str]:
    """Write the figure as a PNG to path, atomically, and return the letters that no font has. The folder must exist."""
    with missing_glyphs() as missing, atomic_write(Path(path)) as file:
        if isinstance(figure, Sheet):
            figure.image.save(file, format="png")
            return figure.missing
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]  # once; savefig lays the figure out and draws it twice
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        Image.fromarray(pixels).convert("RGB").save(file, format="png")
    return missing


def _curve(axes: Axes, history: Sequence[EpochRow], key: str, name: str, colour: str, marker: str, line: str) -> None:
    points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    if points:
        # Markers make a single epoch visible; on a long curve they would hide it.
        shape = marker if len(points) <= MAX_EPOCHS_WITH_MARKERS else None
        filling = "white" if line == "--" else colour
        (drawn,) = axes.plot(*zip(*points, strict=True), color=colour, linestyle=line, marker=shape, label=name)
        drawn.set(markersize=4, markerfacecolor=filling)


def _best_epoch(history: Sequence[EpochRow]) -> tuple[float, float] | None:
    scored = [(row["epoch"], row.get("val/accuracy")) for row in history]
    validated = [(epoch, value) for epoch, value in scored if epoch is not None and value is not None]
    return max(validated, key=lambda point: point[1], default=None)


def _shortened(name: str) -> str:
    return shortened(name, MAX_NAME_LENGTH)
