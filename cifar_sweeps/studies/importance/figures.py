"""Figures of what mattered, for the command's page and the study's report."""

from collections.abc import Callable, Sequence

from cifar_sweeps.analysis.importance.best_so_far import BestSoFar, TrainedEpoch, best_so_far
from cifar_sweeps.analysis.importance.plots import Bar, plot_best_so_far, plot_cell_means, plot_shares
from cifar_sweeps.analysis.pages.html_page import PageFigure
from cifar_sweeps.studies.columns import quantity
from cifar_sweeps.studies.histories import History, metric_at_epoch, read_epoch_ends, read_histories
from cifar_sweeps.studies.importance.choice import is_lower_better
from cifar_sweeps.studies.importance.importance import Importance
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.tracking import mlflow_api


def share_figures(found: Importance) -> list[PageFigure]:
    """Return the shares as bars, and the means over the two keys that matter most."""
    label = "importance (%)" if found.measure == "PED-ANOVA" else f"share of the variance of {found.metric} (%)"
    bars = [Bar(part.name, part.value, part.low, part.high, part.is_rest) for part in found.parts]
    interval = "" if all(bar.low is None for bar in bars) else " Lines: 95% intervals."
    figures = [PageFigure("What mattered", f"{label[0].upper()}{label[1:]}.{interval}", plot_shares(bars, label))]
    cells = found.cells
    if cells is not None:
        others = [key for key in found.keys if key not in (cells.row_key, cells.column_key)]
        over = f", over all values of {', '.join(others)} (each arm weighs the same)" if others else ""
        missing = " Hatched: no run." if (cells.runs == 0).any() else ""
        figures.append(
            PageFigure(
                f"{cells.row_key} against {cells.column_key}",
                f"Mean {found.metric} of each pair of values{over}; n: the number of runs.{missing}",
                plot_cell_means(cells, found.metric, _text(found.metric)),
            )
        )
    return figures


def progress_figures(runs: Sequence[StudyRun], metric: str, client: "mlflow_api.MlflowClient") -> list[PageFigure]:
    """Return the best so far against epochs and against seconds; none if no epoch of any run has the metric.

    runs: all of the sweep, those that failed or were stopped included: their epochs were trained, too.
    """
    name = by_epoch(metric.partition(" at epoch ")[0])
    curve = trained_so_far(runs, name, client)
    if all(value != value for value in curve.best):
        return []
    which = "lowest" if is_lower_better(name) else "highest"
    what = (
        f"The {which} {name} of any single run after any epoch so far, in the order in which epochs ended. All "
        f"{len(runs):,} runs count, also failed and stopped ones; an epoch that was trained again after an "
        "interruption counts once."
    )
    seconds = "Seconds of training as each run recorded them, without validation, set-up and pictures."
    text = _text(name)
    return [
        PageFigure("Best so far against epochs", what, plot_best_so_far(curve, name, "epochs", text)),
        PageFigure(
            "Best so far against time",
            f"The same. {seconds} Those of jobs that trained at once add up.",
            plot_best_so_far(curve, name, "seconds", text),
        ),
    ]


def read_by_epoch(runs: Sequence[StudyRun], metric: str, client: "mlflow_api.MlflowClient") -> dict[str, History]:
    """Return the histories of a metric, of what it is derived from, and of the seconds, by run id."""
    needed = dict.fromkeys([metric, "epoch_seconds", *_SOURCES.get(metric, ())])
    return read_histories(client, [run.run_id for run in runs], needed)


def by_epoch(metric: str) -> str:
    """Return the metric by epoch of which one of a whole run is the best; any other as it is."""
    return {"best/val_accuracy": "val/accuracy"}.get(metric, metric)


def trained_so_far(runs: Sequence[StudyRun], metric: str, client: "mlflow_api.MlflowClient") -> BestSoFar:
    """Return the best value of a metric by epoch after each epoch that any of the runs has trained."""
    histories, ends = read_by_epoch(runs, metric, client), read_epoch_ends(client, [run.run_id for run in runs])
    trained = [
        TrainedEpoch(ends[run.run_id][epoch], seconds, metric_at_epoch(run.metrics, history, metric, epoch))
        for run in runs
        for history in [histories[run.run_id]]
        for epoch, seconds in history.get("epoch_seconds", {}).items()
    ]
    return best_so_far(trained, is_lower_better(metric))


_SOURCES = {
    "gap/accuracy": ("train/accuracy", "val/accuracy"),
    "gap/loss": ("train/loss", "val/loss"),
    "val/objective": ("val/loss",),
    "train/objective": ("train/loss",),
}


def _text(metric: str) -> Callable[[float], str]:
    return quantity(metric.partition(" at epoch ")[0]).text
