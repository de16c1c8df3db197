"""Find the runs of a study or a sweep in the store, in a few queries."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import replace

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import TrackingError, did_you_mean
from cifar_sweeps.search.trials import OBJECTIVES
from cifar_sweeps.studies.arms import arm_name, swept_values
from cifar_sweeps.studies.histories import add_derived_metrics, read_histories
from cifar_sweeps.studies.pooling import name_arms
from cifar_sweeps.studies.study import Study, StudyRun, SweepRun, list_names
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.many_runs import StoredRun, search_runs
from cifar_sweeps.tracking.names import Candidate, choose
from cifar_sweeps.tracking.recorded_run import PREFIX, SWEPT, run_state
from cifar_sweeps.tracking.store import Store


def find_runs(what: str, store: Store) -> Study:
    """Return the runs of a study, by its name, or of one sweep, by its id, its run id, or the beginning of one.

    Raises TrackingError, with the existing names, if there is none of this name or it has no runs.
    """
    client = store.client()
    experiment = client.get_experiment_by_name(what)
    if experiment is not None and experiment.lifecycle_stage == "active":
        name, records = what, search_runs(client, [str(experiment.experiment_id)])
    else:
        name, records = _find_sweep(client, what, store.uri)
    parents = {record.data.tags.get("mlflow.parentRunId") for record in records}
    sweeps = [record for record in records if _tag(record, "role") == "sweep" or record.info.run_id in parents]
    sweep_run_ids = {record.info.run_id for record in sweeps}
    # A run that reproduces another repeats its metrics: it is compared when it ends, and is not an arm.
    runs = [
        _to_study_run(record)
        for record in records
        if record.info.run_id not in sweep_run_ids and not _tag(record, "reproduces")
    ]
    if not runs:
        raise TrackingError(f"{what}: no run has been recorded in it yet")
    runs = _with_derived_metrics(client, runs)
    return Study(name, tuple(name_arms(runs)), tuple(_to_sweep_run(record) for record in sweeps))


def to_study_run(record: "StoredRun | mlflow_api.Run", client: "mlflow_api.MlflowClient") -> StudyRun:
    """Return a single record of the store as a run to compare, under the name of its arm among no others."""
    return _with_derived_metrics(client, [_to_study_run(record)])[0]


def _with_derived_metrics(client: "mlflow_api.MlflowClient", runs: Sequence[StudyRun]) -> list[StudyRun]:
    seconds = read_histories(client, [run.run_id for run in runs], ["epoch_seconds"])
    return [
        replace(run, metrics=add_derived_metrics(run.metrics, seconds.get(run.run_id, {}), run.finished))
        for run in runs
    ]


def _find_sweep(
    client: "mlflow_api.MlflowClient", what: str, uri: str
) -> "tuple[str, Sequence[StoredRun | mlflow_api.Run]]":
    experiments = {str(experiment.experiment_id): str(experiment.name) for experiment in client.search_experiments()}
    sweep_name = what.removeprefix("sweep ").strip()
    records = search_runs(client, list(experiments), (f"{PREFIX}role", "sweep"))
    studies = sorted(name for key, name in experiments.items() if key != "0")  # 0: MLflow's Default
    sweeps = [_candidate(_to_sweep_run(record), record) for record in reversed(records)]
    try:
        parent = choose(sweep_name, sweeps, "sweep", uri)
    except TrackingError as error:
        if (conf_folder() / "study" / f"{what}.yaml").is_file():
            raise TrackingError(
                f"{what}: {uri} has no runs of this study yet; train it: cifar-train study={what}"
            ) from error
        study = _study_of_run(client, experiments, what)
        if study:
            raise TrackingError(
                f"{what}: is a run, of the study {study}; its row is among those of: cifar-sweeps results {study}"
            ) from error
        raise TrackingError(f"{error}; studies: {list_names(studies)}{did_you_mean(what, studies)}") from error
    children = ("mlflow.parentRunId", str(parent.info.run_id))
    experiment_id = str(parent.info.experiment_id)
    return experiments[experiment_id], [parent, *search_runs(client, [experiment_id], children)]


def _study_of_run(client: "mlflow_api.MlflowClient", experiments: dict[str, str], name: str) -> str:
    """Return the study of a run of this name; empty if there is none."""
    if "'" in name or '"' in name:
        return ""
    found = client.search_runs(list(experiments), f"attributes.run_name = '{name}'", max_results=1)
    return experiments[str(found[0].info.experiment_id)] if found else ""


def _candidate(sweep: SweepRun, record: "StoredRun | mlflow_api.Run") -> "Candidate[StoredRun | mlflow_api.Run]":
    ids = (sweep.run_id, sweep.sweep_id, str(record.info.run_name))
    return Candidate(record, ids, "", f"{sweep.sweep_id} ({sweep.run_id[:8]})")


def _to_study_run(record: "StoredRun | mlflow_api.Run") -> StudyRun:
    info, data = record.info, record.data
    name = str(info.run_name)
    swept = swept_values(data.tags, PREFIX, name)
    end = info.end_time
    return StudyRun(
        str(info.run_id),
        name,
        run_state(str(info.status), data.tags).lower(),
        swept,
        "",
        arm_name(swept, _default_arm_name(record)),
        dict(data.metrics),
        {key: value for key, value in data.params.items() if not key.startswith(SWEPT)},
        dict(data.tags),
        _time(info.start_time),
        None if end is None else (end - info.start_time) / 1000,
    )


def _default_arm_name(record: "StoredRun | mlflow_api.Run") -> str:
    """Return the name of an arm of which only the seed was swept."""
    if not record.data.tags.get("mlflow.parentRunId"):
        return str(record.info.run_name)
    overrides = swept_values({f"{PREFIX}overrides": _tag(record, "overrides") or ""}, PREFIX, "")
    return overrides.get("experiment", "one setting")


def _to_sweep_run(record: "StoredRun | mlflow_api.Run") -> SweepRun:
    sweep_id, overrides = _tag(record, "sweep_id") or str(record.info.run_name), _tag(record, "overrides") or ""
    return SweepRun(
        str(record.info.run_id),
        sweep_id,
        overrides,
        _time(record.info.start_time),
        _tag(record, "config_dir"),
        _tag(record, "command"),
        _objectives(_tag(record, "objectives")),
    )


def _objectives(tag: str | None) -> dict[str, str]:
    """Return the objectives of a search with their metrics; none of a store's that are not ours."""
    try:
        content = json.loads(tag or "{}")
    except ValueError:
        return {}
    content = content if isinstance(content, dict) else {}
    return {key: metric for key, metric in content.items() if key in OBJECTIVES and isinstance(metric, str)}


def _time(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, tz=datetime.timezone.utc)


def _tag(record: "StoredRun | mlflow_api.Run", key: str) -> str | None:
    value = record.data.tags.get(f"{PREFIX}{key}")
    return None if value is None else str(value)
