"""Read metrics by epoch for many runs at once, and derive metrics from them."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cifar_sweeps.tracking import mlflow_api

History = Mapping[str, Mapping[int, float]]
"""The metrics of one run: by name, then by epoch."""

_BY_EPOCH = ("train/", "val/", "test/", "test_augmented/", "lr", "epoch_seconds", "images_per_second")
TIMES = frozenset({"seconds_an_epoch", "epoch_seconds", "images_per_second"})
"""Metrics of time, which depend on the machine and on what else it does."""
PER_CLASS = ("test/precision/", "test/recall/", "test/f1/")
_GAPS = (("gap/accuracy", "train/accuracy", "val/accuracy"), ("gap/loss", "val/loss", "train/loss"))
_RUNS_PER_QUERY = 500  # SQLite takes a limited number of values in one query
_THREADS = 8
_NO_LIMIT = 2**62


def is_by_epoch(metric: str) -> bool:
    """Return whether a metric has one value per epoch, rather than one per run, as those of a class have."""
    return metric.startswith(_BY_EPOCH) and not metric.startswith(PER_CLASS)


def read_histories(
    client: "mlflow_api.MlflowClient", run_ids: Sequence[str], metrics: Iterable[str]
) -> dict[str, History]:
    """Return the histories of these metrics by run id; of a value written twice the last counts.

    A database is queried for many runs at once, a server run by run in a few threads.
    """
    histories: dict[str, dict[str, dict[int, float]]] = {run_id: {} for run_id in run_ids}
    for metric in metrics:
        for run_id, point in _points(client, run_ids, metric):
            histories[run_id].setdefault(metric, {})[int(point.step)] = float(point.value)
    return dict(histories)


def read_epoch_ends(client: "mlflow_api.MlflowClient", run_ids: Sequence[str]) -> dict[str, dict[int, float]]:
    """Return when each epoch of each run ended, in seconds since 1970, as the run's own record says."""
    ends: dict[str, dict[int, float]] = {run_id: {} for run_id in run_ids}
    for run_id, point in _points(client, run_ids, "epoch_seconds"):
        ends[run_id][int(point.step)] = point.timestamp / 1000
    return ends


def _points(client: "mlflow_api.MlflowClient", run_ids: Sequence[str], metric: str) -> Iterator[tuple[str, Any]]:
    """Yield each run's id with each of its points of a metric (MLflow's, untyped), in the order of their writing."""
    tracking = getattr(client, "_tracking_client", None)
    bulk = getattr(getattr(tracking, "store", None), "get_metric_history_bulk", None)
    if bulk is not None:
        for start in range(0, len(run_ids), _RUNS_PER_QUERY):
            for point in bulk(list(run_ids[start : start + _RUNS_PER_QUERY]), metric, _NO_LIMIT):
                yield point.run_id, point
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = pool.map(lambda run_id: client.get_metric_history(run_id, metric), run_ids)
        for run_id, points in zip(run_ids, answers, strict=True):
            for point in sorted(points, key=lambda point: point.timestamp):
                yield run_id, point


def add_derived_metrics(metrics: Mapping[str, float], history: History, finished: bool) -> dict[str, float]:
    """Return a run's last metrics with derived ones: the gaps, and the median seconds per epoch.

    An unfinished run has no gaps: its last validation may be of an earlier epoch than its last training.
    """
    derived = dict(metrics)
    for gap, upper, lower in _GAPS:
        above, below = derived.get(upper), derived.get(lower)
        if finished and above is not None and below is not None:
            derived[gap] = above - below
    seconds = list(history.get("epoch_seconds", {}).values())
    if seconds:
        # The median: the first epoch includes warm-up, and another job may slow one or two.
        derived["seconds_an_epoch"] = statistics.median(seconds)
    return derived


def metric_at_end(metrics: Mapping[str, float], name: str) -> float | None:
    """Return a run's last value of a metric; the objective of a run without a penalty is its loss."""
    value = metrics.get(name)
    return metrics.get(name.replace("/objective", "/loss")) if value is None else value


def metric_at(history: History, name: str, epoch: int) -> float | None:
    """Return a metric at an epoch, from 1; the objective of a run without a penalty is its loss."""
    points = history.get(name) or history.get(name.replace("/objective", "/loss"), {})
    return points.get(epoch)


def metric_at_epoch(metrics: Mapping[str, float], history: History, name: str, epoch: int | None) -> float | None:
    """Return a metric or a gap at an epoch, from 1; None: the last value."""
    if epoch is None:
        return metric_at_end(metrics, name)
    for gap, upper, lower in _GAPS:
        if name == gap:
            above, below = metric_at(history, upper, epoch), metric_at(history, lower, epoch)
            return None if above is None or below is None else above - below
    return metric_at(history, name, epoch)
