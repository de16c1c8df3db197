"""Plot the final accuracy of the arms: against the swept value, arm by arm, or against training time."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.reports.curves import (
    COLOURS,
    HEIGHT,
    WIDTH,
    PlottedArm,
    add_legend,
    figure_with_legend_space,
)
from cifar_sweeps.studies.validity.never_learned import never_learned

_ALARM = "#c00000"
"""Colour of the crosses at runs that never learned."""


def plot_comparison(arms: Sequence[PlottedArm]) -> Figure:
    """Plot final accuracy against the swept value if one numeric key was swept, else one row per arm."""
    key = swept_numeric_key(arms)
    return _plot_against_value(arms, key) if key is not None else _plot_rows(arms)


def plot_cost(arms: Sequence[PlottedArm]) -> Figure:
    """Plot final validation accuracy against the seconds per epoch, each arm with its name."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    points: list[tuple[float, float, PlottedArm]] = []
    for arm in arms:
        seconds, accuracy = _mean(arm, "seconds_an_epoch"), _mean(arm, "val/accuracy")
        if seconds is not None and accuracy is not None:
            points.append((accuracy.mean, seconds.mean, arm))
            _plot_point(axes, arm, seconds.mean, accuracy, None)
    axes.margins(x=0.08)
    axes.set(xlabel="seconds per epoch (median)", ylabel="validation accuracy, last epoch")
    axes.set_xlim(0, axes.get_xlim()[1])
    axes.set_ylim(*_possible(axes.get_ylim()))
    _annotate_names(axes, points)
    axes.grid(alpha=0.3)
    return figure


def _possible(limits: tuple[float, float]) -> tuple[float, float]:
    """Return the limits of an axis of accuracies: a wide interval of two seeds goes on beyond what there can be."""
    return max(limits[0], -0.02), min(limits[1], 1.02)


def _plot_against_value(arms: Sequence[PlottedArm], key: str) -> Figure:
    figure, axes = figure_with_legend_space(2)
    by_value = sorted(((float(arm.runs[0].swept[key]), arm) for arm in arms), key=lambda pair: pair[0])
    for metric, name, colour, marker, line in (
        ("val/accuracy", "validation", COLOURS[0], "o", "-"),
        ("train/accuracy", "training", COLOURS[1], "s", "--"),
    ):
        estimates = [(value, mean) for value, arm in by_value if (mean := _mean(arm, metric)) is not None]
        if estimates:
            means = [mean.mean for _, mean in estimates]
            errors = [mean.half_width or 0 for _, mean in estimates]
            axes.errorbar(
                [value for value, _ in estimates], means, yerr=errors, fmt=marker + line, color=colour, capsize=3
            )
            axes.containers[-1].set_label(name)
    guessing = [
        (value, run.metrics.get("val/accuracy", float("nan")))
        for value, arm in by_value
        for run in arm.runs
        if never_learned(run)
    ]
    if guessing:
        axes.plot(*zip(*guessing, strict=True), "x", color=_ALARM, label="never learned")
    values = [value for value, _ in by_value]
    positive = [value for value in values if value > 0]
    if positive and max(positive) / min(positive) > 50:
        axes.set_xscale("log") if len(positive) == len(values) else axes.set_xscale("symlog", linthresh=min(positive))
    axes.set(xlabel=key, ylabel="accuracy, last epoch")
    axes.set_ylim(*_possible(axes.get_ylim()))
    axes.grid(alpha=0.3)
    add_legend(figure, axes)
    return figure


def _plot_rows(arms: Sequence[PlottedArm]) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.36 * len(arms) + 1.1), layout="constrained")
    axes = figure.subplots()
    for row, arm in enumerate(arms):
        accuracy = _mean(arm, "val/accuracy")
        if accuracy is not None:
            error = None if accuracy.half_width is None else [[accuracy.half_width], [accuracy.half_width]]
            axes.errorbar([accuracy.mean], [row], xerr=error, fmt=arm.marker, color=arm.colour, capsize=3, markersize=7)
            by_seed = [run.metrics.get("val/accuracy", float("nan")) for run in arm.runs]
            axes.plot(by_seed, [row] * len(by_seed), "|", color="#555555", markersize=9)
            guessing = [run.metrics.get("val/accuracy", float("nan")) for run in arm.runs if never_learned(run)]
            axes.plot(guessing, [row] * len(guessing), "x", color=_ALARM, markersize=9)
    axes.set_yticks(range(len(arms)), [arm.label for arm in arms], fontsize=9)
    axes.set_ylabel(arms[0].title, fontsize=9)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlim(*_possible(axes.get_xlim()))
    axes.set_xlabel("validation accuracy, last epoch")
    axes.grid(alpha=0.3)
    return figure


def swept_numeric_key(arms: Sequence[PlottedArm]) -> str | None:
    """Return the only key in which the arms differ, if its values are numbers and distinct, else None."""
    swept = [{key: value for key, value in arm.runs[0].swept.items() if key != "seed"} for arm in arms]
    varied = [
        key
        for key in dict.fromkeys(key for values in swept for key in values)
        if len({values.get(key) for values in swept}) > 1
    ]
    if len(varied) != 1 or any(arm.runs[0].setting or arm.runs[0].variant for arm in arms):
        return None
    try:
        return varied[0] if len({float(values.get(varied[0], "")) for values in swept}) == len(arms) else None
    except ValueError:
        return None


def _mean(arm: PlottedArm, metric: str) -> Estimate | None:
    return estimate(run.metrics.get(metric) for run in arm.runs)


def _plot_point(axes: Axes, arm: PlottedArm, x: float, y: Estimate, label: str | None) -> None:
    error = None if y.half_width is None else [[y.half_width], [y.half_width]]
    axes.errorbar([x], [y.mean], yerr=error, fmt=arm.marker, color=arm.colour, capsize=3, markersize=7, label=label)


def _annotate_names(axes: Axes, points: Sequence[tuple[float, float, PlottedArm]]) -> None:
    """Write the arms' names in a column on the right, where they cannot overlap, with lines to their points.

    Each as near to its point's height as the others allow: the lines are short, and cross little.
    """
    bottom, top = axes.get_ylim()
    ordered = sorted(points, key=lambda point: -point[0])
    heights = _spread([(y - bottom) / (top - bottom) for y, _, _ in ordered], 1 / max(len(points), 12))
    for height, (y, x, arm) in zip(heights, ordered, strict=True):
        axes.annotate(
            arm.label,
            xy=(x, y),
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": arm.colour, "linewidth": 0.7, "alpha": 0.8},
        )


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return heights in [0, 1], given from the highest, that lie at least ``gap`` apart and as near as that allows."""
    found: list[float] = []
    for height in heights:
        found.append(min(height, 1 - gap / 2, *(found[-1:] and [found[-1] - gap])))
    least = gap / 2
    for i in reversed(range(len(found))):
        found[i] = max(found[i], least)
        least = found[i] + gap
    return found
