"""Results of a study as pandas tables: one row per run, or one row per run and epoch.

In a notebook: ``from cifar_sweeps.studies import results; results.load_results("regularization")``.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.studies import columns as selection
from cifar_sweeps.studies.arms import swept_values
from cifar_sweeps.studies.histories import is_by_epoch, read_histories
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.tracking.recorded_run import PREFIX
from cifar_sweeps.tracking.store import Store, default_store

_TAGS = ("budget", "data", "data_fingerprint", "validated_on", "failure")
_FIRST_COLUMNS = (
    ("best/val_accuracy", "best/val_accuracy"),
    ("best/epoch", "best/epoch"),
    ("val/accuracy", "val/accuracy"),
    ("val/loss", "val/loss"),
    ("train/accuracy", "train/accuracy"),
    ("train/loss", "train/loss"),
    ("test/accuracy", "test/accuracy"),
    ("test/loss", "test/loss"),
    ("gap/accuracy", "gap/accuracy"),
    ("gap/loss", "gap/loss"),
    ("seconds_an_epoch", "seconds_an_epoch"),
    ("model/parameters", "parameters"),
    ("model/multiply_adds", "multiply_adds"),
)
_GROUPS = {
    "optimizer": "optimizer._target_",
    "lr_schedule": "lr_schedule._target_",
    "augmentation": "augmentation._target_",
    "data": "data.source._target_",
}
"""Config groups whose options differ in their class."""
_EXCLUDED = {"epoch_seconds"}  # the last epoch's; the median is in seconds_an_epoch


def load_results(what: str, store: Store | None = None) -> pd.DataFrame:
    """Return one row per run of a study (by its name) or a sweep (by its id, or its parent's run id).

    Columns: run_id, name, sweep_id, arm (the swept values but the seed), state, seed, one per swept key, the last
    value of every metric by its name, ``gap/accuracy`` (train − val), ``gap/loss`` (val − train),
    ``seconds_an_epoch`` (median), parameters, multiply_adds, budget, data, data_fingerprint, validated_on, failure,
    started (UTC), duration (seconds). Values that a run lacks are missing.
    Raises TrackingError if there is none of this name, or it has no runs.
    """
    return runs_frame(find_runs(what, store or default_store()))


def runs_frame(study: Study) -> pd.DataFrame:
    """Return one row per run, as `load_results` does."""
    swept = dict.fromkeys(key for run in study.runs for key in run.swept if key != "seed")
    recorded = dict.fromkeys(metric for run in study.runs for metric in run.metrics)
    first = [(metric, column) for metric, column in _FIRST_COLUMNS if metric in recorded]
    excluded = _EXCLUDED | {metric for metric, _ in first}
    metrics = [*first, *((metric, metric) for metric in recorded if metric not in excluded)]
    table = pd.DataFrame([_row(run, list(swept), metrics) for run in study.runs])
    table["seed"] = table["seed"].astype("Int64")  # a nullable integer
    return table


def load_history(what: str, store: Store | None = None) -> pd.DataFrame:
    """Return one row per run and epoch: run_id, arm, seed, epoch (from 1), and one column per metric.

    ``what`` is as for `load_results`. Metrics that an epoch lacks are missing.
    Raises TrackingError as `load_results` does.
    """
    store = store or default_store()
    return history_frame(find_runs(what, store), store)


def history_frame(study: Study, store: Store) -> pd.DataFrame:
    """Return one row per run and epoch, as `load_history` does."""
    metrics = list(dict.fromkeys(metric for run in study.runs for metric in run.metrics if is_by_epoch(metric)))
    histories = read_histories(store.client(), [run.run_id for run in study.runs], metrics)
    rows: list[dict[str, Any]] = []
    for run in study.runs:
        history = histories[run.run_id]
        for epoch in sorted({epoch for points in history.values() for epoch in points}):
            values = {metric: history.get(metric, {}).get(epoch) for metric in metrics}
            rows.append({"run_id": run.run_id, "arm": run.arm, "seed": run.seed, "epoch": epoch, **values})
    table = pd.DataFrame(rows, columns=["run_id", "arm", "seed", "epoch", *metrics])
    return table.astype({"seed": "Int64", "epoch": "int64", **dict.fromkeys(metrics, "float64")})


def with_all_columns(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a table with a column for everything else that is known of its runs.

    Those of `runs_frame` that it lacks, the overrides that the runs were started with, and their whole config by key.
    table: has the column run_id.
    """
    more = {
        run.run_id: {**run.params, **swept_values({f"{PREFIX}overrides": run.tag("overrides") or ""}, PREFIX, "")}
        for run in study.runs
    }
    config = pd.DataFrame.from_dict(more, orient="index").rename_axis("run_id").reset_index()
    for other in (runs_frame(study), config):
        missing = [column for column in other if column not in table]
        table = table.merge(other[["run_id", *missing]], on="run_id", how="left")
    for group, target in _GROUPS.items():
        if target in table:  # the option's name, where it was not typed
            options = table[target].map(_options(group, target.removeprefix(f"{group}.")))
            table[group] = table[group].fillna(options) if group in table else options
    return table


def _options(group: str, key: str) -> dict[str, str]:
    """Return the options of a config group by the class that each names."""
    options: dict[str, str] = {}
    for path in sorted((conf_folder() / group).glob("*.yaml")):
        found = re.search(rf"^ *{key.split('.')[-1]}: *(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            options.setdefault(found[1], path.stem)
    return options


@dataclass(frozen=True)
class Selection:
    """Rows that a user chose, in their order. keys: the columns to show or write; notes: what was left out.

    sorted_by: the column that the user sorted by.
    """

    table: pd.DataFrame
    keys: list[str]
    notes: list[str]
    sorted_by: str | None = None


def select_results(
    what: str,
    epochs: bool = False,
    arms: bool = False,
    where: Sequence[str] = (),
    sort: str | None = None,
    columns: Sequence[str] = (),
    store: Store | None = None,
) -> Selection:
    """Return the rows of `load_results`, or of `load_history`, or means of them over seeds.

    where, sort, columns: as `studies.columns` reads them; of all that is known of the runs. Raises TrackingError as
    `load_results` does, and ConfigError for a column that does not exist.
    """
    store = store or default_store()
    study = find_runs(what, store)
    table = history_frame(study, store) if epochs else runs_frame(study)
    keys = [str(key) for key in table]
    table, notes = selection.where(with_all_columns(table, study), where)
    if list(columns) == ["all"]:
        keys = list(map(str, table))
    elif columns:
        keys = [
            selection.find_column(name, list(map(str, table))) for name in columns if not (arms and name == "seeds")
        ]
    if arms:
        counted = {run.run_id for run in study.deduplicated()}
        left_out = table["run_id"].nunique() - table[table["run_id"].isin(counted)]["run_id"].nunique()
        if left_out:
            paused = sum(run.state == "paused" for run in study.runs)
            also = f", {paused} of them paused by early stopping" if paused else ""
            which = "1 run is" if left_out == 1 else f"{left_out} runs are"
            notes.append(f"{which} in no mean: unfinished{also}, or repeats of the same arm and seed.")
        table = table[table["run_id"].isin(counted)]
        measured = [key for key in keys if selection.is_measured(key, table[key])]
        texts = [key for key in keys if columns and key not in measured]
        by = list(dict.fromkeys(["arm", *(["epoch"] if epochs else []), *texts]))
        table = selection.means(table, by, [key for key in measured if key not in by])
        keys = list(map(str, table))
    if sort or not epochs:
        default = "val/accuracy" if "val/accuracy" in table else "test/accuracy" if "test/accuracy" in table else "arm"
        table = selection.sort(table, sort or default)
    sorted_by = selection.find_column(sort.lstrip("+-"), list(map(str, table.columns))) if sort else None
    if sorted_by is not None and sorted_by not in keys and not columns:
        keys = [*keys, sorted_by]
    return Selection(table, keys, notes, sorted_by)


def as_json(table: pd.DataFrame) -> str:
    """Return a table as a JSON list of objects; missing values are null, and whole floats are integers."""
    rows = [
        {str(key): None if pd.isna(value) else _json_value(value) for key, value in row.items()}
        for row in table.to_dict("records")
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def _json_value(value: Any) -> Any:  # noqa: ANN401 (any value of a frame)
    if isinstance(value, float) and value.is_integer() and abs(value) >= 1:
        return int(value)
    return value if isinstance(value, str | int | float | bool) else str(value)


def _row(run: StudyRun, swept: list[str], metrics: list[tuple[str, str]]) -> dict[str, Any]:
    tags = {key: run.tag(key) for key in _TAGS}
    return {
        "run_id": run.run_id,
        "name": run.name,
        "sweep_id": run.tag("sweep_id"),
        "arm": run.arm,
        "state": run.state_text,
        "seed": run.seed,
        **{key: run.swept.get(key) for key in swept},
        **{column: run.metrics.get(metric) for metric, column in metrics},
        **tags,
        "started": run.started,
        "duration": run.seconds,
    }
