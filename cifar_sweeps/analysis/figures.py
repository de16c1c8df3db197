"""A run's figures: learning curves, confusion matrix, and test images with their predictions.

Built without pyplot: no global state, and no display is needed.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from cifar_sweeps.analysis.mathtext import escape_mathtext
from cifar_sweeps.analysis.matplotlib_setup import missing_glyphs
from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import atomic_write

# Three of Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"

MAX_EPOCHS_WITH_MARKERS = 30
MAX_CLASSES_WITH_COUNTS = 25
MAX_NAME_LENGTH = 18
GRID_COLUMNS = 5
DPI = 110

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
    unequal size can be compared; cells show their counts if there are at most 25 classes.
    """
    side = min(4 + 0.48 * len(classes), 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    fraction = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="fraction of the actual class", shrink=0.8)

    is_large = len(classes) > MAX_CLASSES_WITH_COUNTS
    names, size = [_shortened(name) for name in classes], 5.5 if is_large else 10
    axes.set_xticks(range(len(classes)), names, fontsize=size, rotation=90 if is_large else 45)
    for label in axes.get_xticklabels():
        label.set(ha="right", va="center", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="actual", title=title)
    if not is_large:
        for (row, column), count in np.ndenumerate(confusion):
            colour = "white" if fraction[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=8, color=colour)
    return figure


def prediction_grid(
    images: Tensor,
    labels: Tensor,
    predicted: Tensor,
    probability: Tensor,
    classes: Sequence[str],
    *,
    count: int = 25,
    seed: int = 0,
    title: str = "",
) -> Figure:
    """Plot test images with their actual class, the predicted one and its probability; ✗ and colour mark errors.

    images: (N, 3, H, W) uint8. labels, predicted: (N,) int64. probability: (N,) float in [0, 1], of the predicted
    class. The images are the first ``count`` of a permutation drawn from seed, as data may be sorted by class.
    Raises DataError if there is no image.
    """
    if len(images) == 0:
        raise DataError("no image to draw: a prediction grid needs at least one; check the data set's test split")
    shown = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    columns = min(GRID_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(1.9 * columns, 2.3 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, n in zip(grid, shown, strict=False):
        _prediction(axes, images[n], classes[int(labels[n])], classes[int(predicted[n])], float(probability[n]))
    figure.supxlabel("first line: actual class; second: predicted class, probability", fontsize=8.5)
    if title:
        figure.suptitle(title)
    return figure


def save(figure: Figure, path: str | Path) -> set[str]:
    """Write the figure as a PNG to path, atomically, and return the letters that no font has. The folder must exist."""
    with missing_glyphs() as missing, atomic_write(Path(path)) as file:
        figure.savefig(file, format="png", dpi=DPI)
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


def _prediction(axes: Axes, image: Tensor, actual: str, predicted: str, probability: float) -> None:
    right = actual == predicted
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=BLUE if right else VERMILLION, linewidth=1 if right else 3)
    text = f"{'✓' if right else '✗'} {_shortened(predicted)} {probability:.2f}"
    axes.set_title(f"{_shortened(actual)}\n{text}", fontsize=8.5, color="black" if right else VERMILLION)


def _shortened(name: str) -> str:
    # The middle is cut, as long class names often share their beginning.
    half = MAX_NAME_LENGTH // 2
    return escape_mathtext(name if len(name) <= MAX_NAME_LENGTH else f"{name[:half]}…{name[-half + 1 :]}")
