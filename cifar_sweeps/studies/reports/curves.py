"""How arms are drawn, and their curves: told apart by marker and line as well as by colour, and without pyplot."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cifar_sweeps.analysis.mathtext import escape_mathtext
from cifar_sweeps.studies.histories import History
from cifar_sweeps.studies.study import StudyRun

# Okabe and Ito's colours, which stay apart for colour-blind readers, without the yellow that paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")
_LINES: tuple[str, ...] = ("-", "--", "-.", ":")
WIDTH, HEIGHT = 6.4, 4.0
_LEGEND_ROW = 0.23
_LONGEST_NAME = 44

MOST_ARMS = 12
"""More arms than this cannot be told apart in one picture."""


@dataclass(frozen=True)
class Arm:
    """One arm as it is drawn. ``histories``: one a seed; ``published``: printed curves by metric."""

    name: str
    runs: Sequence[StudyRun]
    histories: Sequence[History]
    published: Mapping[str, Sequence[float]]
    colour: str
    marker: str
    line: str

    @property
    def parts(self) -> int:
        """How many epochs one pass over the training images takes."""
        return self.runs[0].parts


def arms_of(
    names: Sequence[str],
    runs: Sequence[StudyRun],
    histories: Mapping[str, History],
    published: Mapping[str, Mapping[str, Sequence[float]]],
) -> list[Arm]:
    """Return the first `MOST_ARMS` of the named arms, each with its colour, marker and line in every picture."""
    shown = names[:MOST_ARMS]
    styles = zip(shown, cycle(COLOURS), cycle(_MARKERS), cycle(_LINES), strict=False)
    arms = []
    for name, colour, marker, line in styles:
        ours = [run for run in runs if run.arm == name]
        histories_of_arm = [histories.get(run.run_id, {}) for run in ours]
        arms.append(Arm(name, ours, histories_of_arm, published.get(name, {}), colour, marker, line))
    return arms


def curves(arms: Sequence[Arm], metric: str, label: str) -> Figure:
    """Draw a metric by epoch, or by pass over the training images where arms differ in their parts.

    Mean over seeds; the band reaches from the lowest to the highest seed. A published curve is dotted.
    """
    figure, axes = add_margin(len(arms))
    by_pass = len({arm.parts for arm in arms}) > 1
    for arm in arms:
        scale = arm.parts if by_pass else 1
        points = _by_epoch(arm, metric)
        if points:
            epochs = [epoch / scale for epoch in points]
            low, high = [min(values) for values in points.values()], [max(values) for values in points.values()]
            means = [statistics.fmean(values) for values in points.values()]
            axes.fill_between(epochs, low, high, color=arm.colour, alpha=0.15, linewidth=0)
            _line(axes, arm, epochs, means, shortened(arm.name))
        printed = arm.published.get(metric)
        if printed:
            epochs = [epoch / scale for epoch in range(1, len(printed) + 1)]
            axes.plot(epochs, printed, color=arm.colour, linestyle=(0, (1, 2)), marker=arm.marker, markersize=3)
            axes.lines[-1].set(markerfacecolor="white", label=f"{shortened(arm.name)}, as published")
    _epoch_axis(axes, by_pass)
    axes.set_ylabel(label)
    add_legend(figure, axes)
    return figure


def gaps(arms: Sequence[Arm]) -> Figure:
    """Draw training against validation accuracy, a panel an arm: the distance between the lines is the overfitting."""
    columns = min(2, len(arms))
    rows = -(-len(arms) // columns)
    figure = Figure(figsize=(WIDTH, 1.9 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=False, sharey=True, squeeze=False).ravel()
    by_pass = len({arm.parts for arm in arms}) > 1
    for axes, arm in zip(panels, arms, strict=False):
        scale = arm.parts if by_pass else 1
        for metric, name, line, filling in (
            ("train/accuracy", "training", "--", "white"),
            ("val/accuracy", "validation", "-", COLOURS[0]),
        ):
            points = _by_epoch(arm, metric)
            means = [statistics.fmean(values) for values in points.values()]
            every = max(1, len(points) // 8)
            (drawn,) = axes.plot([epoch / scale for epoch in points], means, line, marker="o", markevery=every)
            drawn.set(color=COLOURS[0], markerfacecolor=filling, markersize=4, label=name)
        axes.set_title(shortened(arm.name, 32), fontsize=9)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=6))
    for axes in panels[len(arms) :]:
        axes.set_axis_off()
    figure.supxlabel("passes over the training images" if by_pass else "epoch", fontsize=10)
    figure.supylabel("accuracy (fraction of images)", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    return figure


def _by_epoch(arm: Arm, metric: str) -> dict[int, list[float]]:
    epochs = sorted({epoch for history in arm.histories for epoch in history.get(metric, {})})
    of_metric = [history.get(metric, {}) for history in arm.histories]
    return {epoch: [points[epoch] for points in of_metric if epoch in points] for epoch in epochs}


def add_margin(names: int) -> tuple[Figure, Axes]:
    """Return a figure with one set of axes, and room for a legend of so many rows below."""
    figure = Figure(figsize=(WIDTH, HEIGHT - 0.4 + _LEGEND_ROW * names), layout="constrained")
    return figure, figure.subplots()


def _line(axes: Axes, arm: Arm, xs: Sequence[float], ys: Sequence[float], label: str) -> None:
    every = max(1, len(xs) // 10)  # a marker an epoch would hide a long curve
    (drawn,) = axes.plot(xs, ys, linestyle=arm.line, marker=arm.marker, color=arm.colour, markevery=every)
    drawn.set(markersize=4.5, linewidth=1.5, label=label)


def _epoch_axis(axes: Axes, by_pass: bool) -> None:
    axes.set_xlabel("passes over the training images" if by_pass else "epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def add_legend(figure: Figure, axes: Axes) -> None:
    """Write the legend below the axes, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if labels and max(map(len, labels)) <= 24 else 1
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=9, frameon=False)


def shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name that fits; what stands between dollars is no formula."""
    # The middle goes: names of arms often share their beginning, and differ at their end.
    half = longest // 2
    return escape_mathtext(name if len(name) <= longest else f"{name[: half - 1]}…{name[-half:]}")
