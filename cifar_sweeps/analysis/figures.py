"""A run's charts: learning curves, calibration, figures by class."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cifar_sweeps.analysis.calibration import Calibration
from cifar_sweeps.analysis.charts import Bars, Line, Marker, Panel, VerticalLine, draw_chart
from cifar_sweeps.analysis.matplotlib_setup import BLUE, DPI, GREEN, VERMILLION, missing_glyphs
from cifar_sweeps.analysis.picture_text import without_middle
from cifar_sweeps.analysis.sheet import Sheet
from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_EPOCHS_WITH_MARKERS = 30
MAX_NAME_LENGTH = 18
_MOST_COLOURS = 65_536
"""Of a chart, the smoothed edges of letters and lines among them."""
_COMPRESSION = 3
"""Zlib's level: 6, the default, takes half as long again for files that are a fifth smaller."""
_SPLITS: tuple[tuple[str, str, str, Marker], ...] = (
    ("train", "training", BLUE, "circle"),
    ("val", "validation", VERMILLION, "square"),
)

EpochRow = Mapping[str, float | None]


def learning_curves(history: Sequence[EpochRow], title: str = "") -> Sheet:
    """Plot loss and accuracy by epoch for training and validation, with the best epoch marked.

    history: as of `curve_panels`. Raises DataError if it is empty.
    """
    return draw_chart([curve_panels(history)], (1210, 484), title)


def curve_panels(history: Sequence[EpochRow]) -> tuple[Panel, Panel]:
    """Return the panels of loss and accuracy by epoch.

    history: one mapping per epoch with ``epoch``, ``train/loss``, ``train/accuracy`` and, if present,
    ``val/loss``, ``val/accuracy``, ``train/objective``, ``val/objective`` (loss plus penalty; dashed). The best epoch
    is the first with the highest validation accuracy; without validation there is none.
    Raises DataError if history is empty.
    """
    if not history:
        raise DataError("no epoch to draw: learning curves need at least one; train with trainer.epochs=1 or more")
    best = _best_epoch(history)
    marks = [VerticalLine(best[0], GREEN, f"best: epoch {best[0]:g}, accuracy {best[1]:.4f}")] if best else []
    loss, accuracy = (
        Panel((*_curves(history, figures), *marks), "epoch", label, whole_x=True, has_legend=True)
        for figures, label in ((("loss", "objective"), "cross-entropy (nats)"), (("accuracy",), "accuracy"))
    )
    return loss, accuracy


def reliability_diagram(measured: Calibration, title: str = "") -> Sheet:
    """Plot accuracy against confidence by bin, with the diagonal of a perfect calibration, and the images of each."""
    heading = (
        f"expected calibration error {measured.ece:.3f} ({len(measured.counts)} bins), Brier score {measured.brier:.3f}"
    )
    above, below = reliability_panels(measured)
    title = f"{title}\n{heading}" if title else heading
    return draw_chart([[above], [below]], (660, 594), title, title_size=15, heights=(3, 1))


def reliability_panels(measured: Calibration) -> tuple[Panel, Panel]:
    """Return the panels of accuracy, and of the number of images, by confidence."""
    filled = measured.counts > 0
    middle, width = (measured.edges[:-1] + measured.edges[1:]) / 2, float(measured.edges[1]) * 0.92
    parts = (
        Bars(middle[filled].tolist(), measured.accuracy[filled].tolist(), width, "#268bbf", "accuracy"),
        Line((0, 1), (0, 1), "#555555", "perfect calibration", dash="dotted"),
        Line(
            measured.confidence[filled].tolist(),
            measured.accuracy[filled].tolist(),
            VERMILLION,
            "at the bin's mean confidence",
            dash="none",
            marker="circle",
        ),
    )
    above = Panel(parts, "", "accuracy", x_limits=(0, 1), y_limits=(0, 1), has_x_numbers=False, has_legend=True)
    counts = Bars(middle.tolist(), measured.counts.tolist(), width, "#777777")
    label = "confidence: probability of the predicted class"
    return above, Panel((counts,), label, "images", x_limits=(0, 1))


def class_figures(by_class: Mapping[str, Mapping[str, float]], title: str = "") -> Sheet:
    """Plot precision, recall and F1 of each class as points on a line a class, the lowest F1 at the bottom.

    by_class: for each class, its ``precision``, ``recall`` and ``f1-score``, as scikit-learn reports them.
    """
    panel = class_panel(by_class)
    return draw_chart([[panel]], (825, 175 + 30 * len(panel.y_names)), title)


def class_panel(by_class: Mapping[str, Mapping[str, float]]) -> Panel:
    """Return the panel of `class_figures`."""
    names = sorted(by_class, key=lambda name: by_class[name]["f1-score"])
    markers: tuple[tuple[str, str, Marker], ...] = (
        ("precision", BLUE, "circle"),
        ("recall", VERMILLION, "square"),
        ("f1-score", GREEN, "diamond"),
    )
    parts = tuple(
        Line(
            [by_class[each][figure] for each in names],
            range(len(names)),
            colour,
            "F1" if figure == "f1-score" else figure,
            dash="none",
            marker=marker,
        )
        for figure, colour, marker in markers
    )
    shown = [without_middle(name, MAX_NAME_LENGTH) for name in names]
    # Room for the legend above the best class.
    return Panel(parts, "fraction", y_limits=(-0.8, len(names) + 2), y_names=shown, has_legend=True)


def save(picture: "Sheet | Figure", path: str | Path) -> set[str]:
    """Write a picture as a PNG to path, atomically, and return the letters that no font has. The folder must exist."""
    with missing_glyphs() as missing, atomic_write(Path(path)) as file:
        if isinstance(picture, Sheet):
            image = with_palette(picture.image) if picture.is_chart else picture.image
            image.save(file, format="png", compress_level=_COMPRESSION)
            return picture.missing
        # Imported here: pictures of a run need nothing of it.
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        picture.set_dpi(DPI)
        canvas = FigureCanvasAgg(picture)
        canvas.draw()  # type: ignore[no-untyped-call]  # once; savefig lays the figure out and draws it twice
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        Image.fromarray(pixels).convert("RGB").save(file, format="png")
    return missing


def with_palette(image: Image.Image) -> Image.Image:
    """Return a chart with 256 colours: a PNG of a third of the size, in half the time.

    The most frequent ones, white and those of lines, stay what they are; others differ by a few levels of 256.
    """
    counted = image.getcolors(_MOST_COLOURS)
    if counted is None:
        return image
    # One in each cell of Pillow's search, so that the most frequent one is what it finds there.
    colours = np.array([colour for _, colour in sorted(counted, reverse=True)])
    cells = colours >> 3
    _, firsts = np.unique(cells @ (1 << 10, 1 << 5, 1), return_index=True)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours[np.sort(firsts)[:256]].ravel().tolist())
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def _curves(history: Sequence[EpochRow], figures: Sequence[str]) -> Iterator[Line]:
    for prefix, name, colour, marker in _SPLITS:
        for figure in figures:
            points = [(row["epoch"], row[key]) for row in history if row.get(key := f"{prefix}/{figure}") is not None]
            if points:
                is_penalised = figure == "objective"
                x, y = zip(*points, strict=True)
                yield Line(
                    x,
                    y,
                    colour,
                    f"{name}, with penalty" if is_penalised else name,
                    dash="dashed" if is_penalised else "solid",
                    # Markers make a single epoch visible; on a long curve they would hide it.
                    marker=marker if len(points) <= MAX_EPOCHS_WITH_MARKERS else "",
                    is_hollow=is_penalised,
                )


def _best_epoch(history: Sequence[EpochRow]) -> tuple[float, float] | None:
    scored = [(row["epoch"], row.get("val/accuracy")) for row in history]
    validated = [(epoch, value) for epoch, value in scored if epoch is not None and value is not None]
    return max(validated, key=lambda point: point[1], default=None)
