"""What a search found: its Pareto front as a table and as figures."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from cifar_sweeps.analysis.pages.html_page import PageFigure
from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.search.pareto import pareto_front
from cifar_sweeps.search.trials import OBJECTIVES, format_objective
from cifar_sweeps.studies.columns import MISSING
from cifar_sweeps.studies.reports.curves import COLOURS, HEIGHT, WIDTH
from cifar_sweeps.studies.study import Study, StudyRun


def objectives_of(study: Study) -> dict[str, str]:
    """Return the objectives of a search with their metrics; empty if it is none, or several that differ in them."""
    found = [sweep.objectives for sweep in study.sweeps]
    return dict(found[0]) if found and all(each == found[0] for each in found) else {}


def front_runs(runs: Sequence[StudyRun], objectives: Mapping[str, str]) -> tuple[list[StudyRun], list[StudyRun]]:
    """Return the runs on the front, by the first objective, and all runs that have a value of each."""
    compared = [run for run in runs if run.finished and all(metric in run.metrics for metric in objectives.values())]
    points = [[run.metrics[metric] for metric in objectives.values()] for run in compared]
    front = [compared[place] for place in pareto_front(points, [OBJECTIVES[each] for each in objectives])]
    first, *_ = objectives.items()
    return sorted(front, key=lambda run: run.metrics[first[1]], reverse=OBJECTIVES[first[0]]), compared


def front_table(runs: Sequence[StudyRun], objectives: Mapping[str, str]) -> TextTable | None:
    """Return the trials on the Pareto front of several objectives; None for fewer objectives, or runs."""
    if len(objectives) < 2:
        return None
    front, compared = front_runs(runs, objectives)
    if not compared:
        return None
    columns = (Column("arm"), Column("trial", is_number=True), *(Column(each, is_number=True) for each in objectives))
    rows = tuple(
        (
            run.arm,
            run.tag("job") or MISSING,
            *(format_objective(each, run.metrics[metric]) for each, metric in objectives.items()),
        )
        for run in front
    )
    note = (
        f"{len(front)} of {len(compared)} finished trials: no other is as good in all of "
        f"{', '.join(f'{each} ({_better(each)})' for each in objectives)}, and better in one."
    )
    return TextTable("Pareto front", columns, rows, note=note)


def front_figures(runs: Sequence[StudyRun], objectives: Mapping[str, str]) -> list[PageFigure]:
    """Return the first objective against each other one, with the front; none for a single objective."""
    if len(objectives) < 2:
        return []
    front, compared = front_runs(runs, objectives)
    if not compared:
        return []
    first, *others = objectives
    what = "no other is as good in all objectives, and better in one"
    return [
        PageFigure(
            f"{first} against {other}",
            f"Each finished trial; filled, with their numbers: the Pareto front ({what}).",
            _plot_front(front, compared, (first, objectives[first]), (other, objectives[other])),
        )
        for other in others
    ]


def _plot_front(
    front: Sequence[StudyRun], compared: Sequence[StudyRun], y: tuple[str, str], x: tuple[str, str]
) -> Figure:
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    axes = figure.subplots()
    others = [run for run in compared if run not in front]
    for runs, fill, label in ((others, "white", "other trials"), (front, COLOURS[0], "Pareto front")):
        points = [(run.metrics[x[1]], run.metrics[y[1]]) for run in runs]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, "o", color=COLOURS[0], markerfacecolor=fill, markersize=6, label=label)
    for run in front:
        at = (run.metrics[x[1]], run.metrics[y[1]])
        axes.annotate(run.tag("job") or "", at, xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.margins(0.08)
    axes.set(xlabel=f"{x[0]} ({_better(x[0])})", ylabel=f"{y[0]} ({_better(y[0])})")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    return figure


def _better(objective: str) -> str:
    return "higher is better" if OBJECTIVES[objective] else "lower is better"
