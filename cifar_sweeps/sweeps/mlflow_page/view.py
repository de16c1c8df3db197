"""The saved view of a sweep on MLflow's page: its columns and its charts, under one id however often it is resumed."""

import time
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from cifar_sweeps.studies.histories import PER_CLASS, is_by_epoch
from cifar_sweeps.sweeps.manifest import SweepManifest
from cifar_sweeps.tracking.page_links import filtered_page, view_page
from cifar_sweeps.tracking.recorded_run import EARLY_STOPPED, PREFIX, SWEPT, RecordedRun
from cifar_sweeps.tracking.store_calls import acceptable_name
from cifar_sweeps.tracking.ui import saved_view
from cifar_sweeps.tracking.ui.saved_view import Card, Section, column, view_id

_RESULTS = ("best/val_accuracy", "final/val_accuracy", "test/accuracy")
_SECONDS = "duration"  # the page always shows it, and the state beside the start
_BY_EPOCH_ALONE = "test/"  # tested once, unless trainer.test_at says otherwise
_MAX_AXES = 8
_MANY_JOBS = 40
"""Above which the charts show the page's first 20 runs, the best ones, and the others on demand."""
_PIXELS = 7
"""The width of a letter in a column's heading."""
_FIRST_MLFLOW = (3, 17)
"""The first release that the form of these views is known of."""


def sweep_page(experiment_id: str, sweep_id: str) -> str:
    """Return the address of a sweep's runs on MLflow's page, as its view arranges them."""
    if tuple(int(part) for part in version("mlflow").split(".")[:2]) < _FIRST_MLFLOW:
        return filtered_page(experiment_id, _condition(sweep_id))
    return view_page(experiment_id, view_id(sweep_id))


def sweep_view(manifest: SweepManifest, started: int, jobs: int, runs: Sequence[RecordedRun] = ()) -> dict[str, str]:
    """Return the experiment's tag that holds a sweep's view.

    started: the sweep, in milliseconds since 1970. jobs: how many it has. runs: those that it has trained; none at its
    start. A view that is longer than MLflow takes has no charts of single values, and then fewer swept keys.
    """
    keys = [key for key in manifest.swept if key != "seed"] or [*manifest.swept]
    keys = [*keys, *(key for key in manifest.swept if key not in keys)]
    now = int(time.time() * 1000)
    single = _single_values(runs)
    while True:
        state = _state(manifest, keys, jobs, runs, single)
        value = saved_view.encode(_name(manifest.swept, started), state, started, now)
        if len(value) <= saved_view.MAX_LENGTH:
            return {f"{saved_view.TAG}{view_id(manifest.sweep_id)}": value}
        keys = keys if single else keys[: len(keys) // 2]
        single = []


def _state(
    manifest: SweepManifest, keys: Sequence[str], jobs: int, runs: Sequence[RecordedRun], single: Sequence[str]
) -> dict[str, Any]:
    """Return a view's state. keys: the swept keys to show, the seed last. single: metrics with one value a run."""
    measure = _measure(runs)
    swept = [acceptable_name(f"{SWEPT}{key}") for key in keys]
    columns = [column("params", each) for each in swept]
    columns += [column("metrics", each) for each in _RESULTS]
    failure = [column("tags", f"{PREFIX}failure")] if any(run.tag("failure") for run in runs) else []
    failure += [column("tags", EARLY_STOPPED)] if any(run.state == "PAUSED" for run in runs) else []
    varied = [each for each, key in zip(swept, keys, strict=True) if key != "seed"]
    return {
        "searchFilter": _condition(manifest.sweep_id),
        "orderByKey": column("metrics", measure),
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*columns, *failure],
        "columnOrder": [*columns, _SECONDS, *failure],
        "columnWidths": {each: _width(each) for each in (*columns, _SECONDS, *failure)},
        "runsHiddenMode": "SHOW_ALL" if jobs <= _MANY_JOBS else "FIRST_20_RUNS",
        "groupBy": None,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "viewMaximized": False,
        "runListHidden": False,
        **saved_view.charts([*_sections(varied or swept, measure, single)]),
    }


def _sections(swept: Sequence[str], measure: str, single: Sequence[str]) -> Iterator[Section]:
    """Yield what a person wants first, open, and all else closed: what has one value a run, then what has more."""
    first = [saved_view.line_card(["val/accuracy"]), saved_view.line_card(["train/accuracy", "val/accuracy"])]
    yield Section(
        "This sweep", [*first, _against(swept, measure), saved_view.line_card(["train/loss", "val/loss"])], True, 2
    )
    for name in dict.fromkeys(_section_name(metric) for metric in (*_RESULTS, *single)):
        yield Section(name, [saved_view.bar_card(each) for each in single if _section_name(each) == name])
    for name in ("train", "val", "Model metrics"):  # the page's own, which it fills by itself
        yield Section(name, [])
    named = {_section_name(metric) for metric in single}
    for prefix in PER_CLASS:
        if prefix.rstrip("/") not in named:
            yield Section(prefix.rstrip("/"), [])


def _against(swept: Sequence[str], measure: str) -> Card:
    """Return the chart of accuracy against what was swept."""
    if len(swept) == 1:
        return saved_view.scatter_card(swept[0], measure)
    return saved_view.parallel_card(swept[:_MAX_AXES], [measure])


def _measure(runs: Sequence[RecordedRun]) -> str:
    """Return what the runs are sorted by: the test accuracy only where nothing was validated."""
    measured: Collection[str] = {metric for run in runs for metric in run.metrics}
    return "test/accuracy" if _RESULTS[0] not in measured and "test/accuracy" in measured else _RESULTS[0]


def _single_values(runs: Sequence[RecordedRun]) -> list[str]:
    """Return the metrics that have one value a run, which the page would draw as a line of one point.

    Those of the classes come last.
    """
    metrics = {acceptable_name(metric) for run in runs for metric in run.metrics if metric != "seconds_an_epoch"}
    found = [each for each in sorted(metrics) if each.startswith(_BY_EPOCH_ALONE) or not is_by_epoch(each)]
    return sorted(found, key=lambda metric: metric.startswith(PER_CLASS))


def _section_name(metric: str) -> str:
    return metric.rpartition("/")[0] or "Model metrics"


def _condition(sweep_id: str) -> str:
    sign = '"' if "'" in sweep_id else "'"
    return f"tags.`{PREFIX}sweep_id` = {sign}{sweep_id}{sign}"


def _name(swept: Sequence[str], started: int) -> str:
    """Return what the page's list of views shows: when the sweep began, which its runs share, and what it varied."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(started / 1000))
    keys = " × ".join(key.rpartition(".")[2] for key in swept)
    return f"{when} {keys}"[:100]


def _width(name: str) -> int:
    shown = name.partition("`")[2].rstrip("`")
    return int(min(260, max(80, len(shown) * _PIXELS + 36)))
