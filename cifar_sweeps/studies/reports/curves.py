"""Plot the training curves of arms, each with its own colour, marker and line style. Without pyplot."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cifar_sweeps.analysis.mathtext import escape_mathtext
from cifar_sweeps.studies.histories import History
from cifar_sweeps.studies.reports.labels import arm_labels
from cifar_sweeps.studies.study import StudyRun

# Okabe and Ito's colours, which colour-blind readers can distinguish, without yellow, which prints badly.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
_LINES: tuple[str, ...] = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 6.4, 4.0
_LEGEND_ROW = 0.23
_MAX_LABEL_LENGTH = 40

MAX_ARMS = 12
"""More arms than this are not distinguishable in one figure."""


@dataclass(frozen=True)
class PlottedArm:
    """An arm and its plot style. ``histories``: one per seed; ``published``: published curves by metric.

    label: its name in legends, short; title: of what the labels of all arms are values.
    """

    name: str
    label: str
    title: str
    runs: Sequence[StudyRun]
    histories: Sequence[History]
    published: Mapping[str, Mapping[int, float]]
    colour: str
    marker: str
    line: str

    @property
    def parts(self) -> int:
        """Number of epochs in one pass over the training images."""
        return self.runs[0].parts


def style_arms(
    names: Sequence[str],
    runs: Sequence[StudyRun],
    histories: Mapping[str, History],
    published: Mapping[str, Mapping[str, Mapping[int, float]]],
) -> list[PlottedArm]:
    """Return the first `MAX_ARMS` of the named arms, each with one colour, marker and line for all figures."""
    shown = names[:MAX_ARMS]
    labels = arm_labels([run for name in shown for run in runs if run.arm == name])
    short = labels.cut(_MAX_LABEL_LENGTH)
    styles = zip(shown, cycle(COLOURS), cycle(_MARKERS), cycle(_LINES), strict=False)
    arms = []
    for name, colour, marker, line in styles:
        arm_runs = [run for run in runs if run.arm == name]
        histories_of_arm = [histories.get(run.run_id, {}) for run in arm_runs]
        of_arm = published.get(name, {})
        label = escape_mathtext(short[name])
        title = escape_mathtext(labels.title)
        arms.append(PlottedArm(name, label, title, arm_runs, histories_of_arm, of_arm, colour, marker, line))
    return arms


def plot_curves(arms: Sequence[PlottedArm], metric: str, label: str) -> Figure:
    """Plot a metric by epoch, or by pass over the training images if the arms differ in their parts.

    Mean over seeds; the band is from the lowest to the highest seed. Published curves are dotted.
    """
    figure, axes = figure_with_legend_space(len(arms) + bool(arms[0].title))
    by_pass = len({arm.parts for arm in arms}) > 1
    for arm in arms:
        scale = arm.parts if by_pass else 1
        points = _values_by_epoch(arm, metric)
        if points:
            epochs = [epoch / scale for epoch in points]
            low, high = [min(values) for values in points.values()], [max(values) for values in points.values()]
            means = [statistics.fmean(values) for values in points.values()]
            axes.fill_between(epochs, low, high, color=arm.colour, alpha=0.15, linewidth=0)
            _plot_line(axes, arm, epochs, means, arm.label)
        published = arm.published.get(metric)
        if published:
            epochs = [epoch / scale for epoch in published]
            axes.plot(
                epochs,
                list(published.values()),
                color=arm.colour,
                linestyle=(0, (1, 2)),
                marker=arm.marker,
                markersize=3,
            )
            axes.lines[-1].set(markerfacecolor="white", label=f"{arm.label}, as published")
    _format_epoch_axis(axes, by_pass)
    axes.set_ylabel(label)
    add_legend(figure, axes, arms[0].title)
    return figure


def plot_gaps(arms: Sequence[PlottedArm]) -> Figure:
    """Plot training and validation accuracy, one panel per arm: the distance between the lines is the gap."""
    columns = min(2, len(arms))
    rows = -(-len(arms) // columns)
    figure = Figure(figsize=(WIDTH, 1.9 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=False, sharey=True, squeeze=False).ravel()
    by_pass = len({arm.parts for arm in arms}) > 1
    for axes, arm in zip(panels, arms, strict=False):
        scale = arm.parts if by_pass else 1
        for metric, name, line, fill in (
            ("train/accuracy", "training", "--", "white"),
            ("val/accuracy", "validation", "-", COLOURS[0]),
        ):
            points = _values_by_epoch(arm, metric)
            means = [statistics.fmean(values) for values in points.values()]
            every = max(1, len(points) // 8)
            (drawn,) = axes.plot([epoch / scale for epoch in points], means, line, marker="o", markevery=every)
            drawn.set(color=COLOURS[0], markerfacecolor=fill, markersize=4, label=name)
        axes.set_title(arm.label, fontsize=9)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=6))
    for axes in panels[len(arms) :]:
        axes.set_axis_off()
    figure.supxlabel("passes over the training images" if by_pass else "epoch", fontsize=10)
    figure.supylabel("accuracy (fraction of images)", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    return figure


def _values_by_epoch(arm: PlottedArm, metric: str) -> dict[int, list[float]]:
    epochs = sorted({epoch for history in arm.histories for epoch in history.get(metric, {})})
    histories = [history.get(metric, {}) for history in arm.histories]
    return {epoch: [points[epoch] for points in histories if epoch in points] for epoch in epochs}


def figure_with_legend_space(rows: int) -> tuple[Figure, Axes]:
    """Return a figure and its axes, with space below for a legend of ``rows`` rows."""
    figure = Figure(figsize=(WIDTH, HEIGHT - 0.4 + _LEGEND_ROW * rows), layout="constrained")
    return figure, figure.subplots()


def _plot_line(axes: Axes, arm: PlottedArm, xs: Sequence[float], ys: Sequence[float], label: str) -> None:
    every = max(1, len(xs) // 10)  # a marker at every epoch would hide a long curve
    (drawn,) = axes.plot(xs, ys, linestyle=arm.line, marker=arm.marker, color=arm.colour, markevery=every)
    drawn.set(markersize=4.5, linewidth=1.5, label=label)


def _format_epoch_axis(axes: Axes, by_pass: bool) -> None:
    axes.set_xlabel("passes over the training images" if by_pass else "epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def add_legend(figure: Figure, axes: Axes, title: str = "") -> None:
    """Add a legend below the axes, where it covers no data. title: what its labels are values of."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if labels and max(map(len, labels)) <= 24 else 1
    legend = figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=9, frameon=False)
    if title:
        legend.set_title(title)
        legend.get_title().set_fontsize(9)
        legend.set_alignment("left")
