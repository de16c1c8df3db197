"""Pictures of where the arms ended: against the swept value, beside each other, against their cost."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.reports.curves import COLOURS, HEIGHT, WIDTH, Arm, add_legend, add_margin, shortened


def comparison(arms: Sequence[Arm]) -> Figure:
    """Draw final accuracy against the swept value where one key of numbers was swept, else a row of dots an arm."""
    key = _swept_number(arms)
    return _against_value(arms, key) if key is not None else _dots(arms)


def cost(arms: Sequence[Arm]) -> Figure:
    """Draw final validation accuracy against the seconds that an epoch takes, each arm with its name."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    placed: list[tuple[float, float, Arm]] = []
    for arm in arms:
        seconds, accuracy = _mean(arm, "seconds_an_epoch"), _mean(arm, "val/accuracy")
        if seconds is not None and accuracy is not None:
            placed.append((accuracy.mean, seconds.mean, arm))
            _dot(axes, arm, seconds.mean, accuracy, None)
    _names_at_the_side(axes, placed)
    axes.set(xlabel="seconds an epoch (median)", ylabel="validation accuracy, last epoch")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    return figure


def _against_value(arms: Sequence[Arm], key: str) -> Figure:
    figure, axes = add_margin(2)
    placed = sorted(((float(arm.runs[0].swept[key]), arm) for arm in arms), key=lambda pair: pair[0])
    for metric, name, colour, marker, line in (
        ("val/accuracy", "validation", COLOURS[0], "o", "-"),
        ("train/accuracy", "training", COLOURS[1], "s", "--"),
    ):
        known = [(value, found) for value, arm in placed if (found := _mean(arm, metric)) is not None]
        if known:
            heights, halves = [found.mean for _, found in known], [found.half or 0 for _, found in known]
            axes.errorbar(
                [value for value, _ in known], heights, yerr=halves, fmt=marker + line, color=colour, capsize=3
            )
            axes.containers[-1].set_label(name)
    values = [value for value, _ in placed]
    positive = [value for value in values if value > 0]
    if positive and max(positive) / min(positive) > 50:
        axes.set_xscale("log") if len(positive) == len(values) else axes.set_xscale("symlog", linthresh=min(positive))
    axes.set(xlabel=key, ylabel="accuracy, last epoch")
    axes.grid(alpha=0.3)
    add_legend(figure, axes)
    return figure


def _dots(arms: Sequence[Arm]) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.36 * len(arms) + 1.1), layout="constrained")
    axes = figure.subplots()
    for row, arm in enumerate(arms):
        accuracy = _mean(arm, "val/accuracy")
        if accuracy is not None:
            half = None if accuracy.half is None else [[accuracy.half], [accuracy.half]]
            axes.errorbar([accuracy.mean], [row], xerr=half, fmt=arm.marker, color=arm.colour, capsize=3, markersize=7)
            each = [run.metrics.get("val/accuracy", float("nan")) for run in arm.runs]
            axes.plot(each, [row] * len(each), "|", color="#555555", markersize=9)
    axes.set_yticks(range(len(arms)), [shortened(arm.name) for arm in arms], fontsize=9)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel("validation accuracy, last epoch")
    axes.grid(alpha=0.3)
    return figure


def _swept_number(arms: Sequence[Arm]) -> str | None:
    """Return the key in which alone all arms differ, if its values are numbers and there are several."""
    swept = [{key: value for key, value in arm.runs[0].swept.items() if key != "seed"} for arm in arms]
    varied = [
        key for key in dict.fromkeys(key for own in swept for key in own) if len({own.get(key) for own in swept}) > 1
    ]
    if len(varied) != 1 or any(arm.runs[0].setting for arm in arms):
        return None
    try:
        return varied[0] if len({float(own.get(varied[0], "")) for own in swept}) == len(arms) else None
    except ValueError:
        return None


def _mean(arm: Arm, metric: str) -> Estimate | None:
    return estimate(run.metrics.get(metric) for run in arm.runs)


def _dot(axes: Axes, arm: Arm, x: float, y: Estimate, label: str | None) -> None:
    half = None if y.half is None else [[y.half], [y.half]]
    axes.errorbar([x], [y.mean], yerr=half, fmt=arm.marker, color=arm.colour, capsize=3, markersize=7, label=label)


def _names_at_the_side(axes: Axes, placed: Sequence[tuple[float, float, Arm]]) -> None:
    """Write the names in a column to the right, one under the other, so that they cannot overlap; lines lead there."""
    for row, (y, x, arm) in enumerate(sorted(placed, key=lambda point: -point[0])):
        height = 1 - (row + 0.5) / max(len(placed), 6)
        axes.annotate(
            shortened(arm.name, 30),
            xy=(x, y),
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": arm.colour, "linewidth": 0.7, "alpha": 0.8},
        )
