"""Finding a study's runs in the store, in a few calls however many they are."""

import datetime
from dataclasses import replace

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.studies.arms import arm_name, swept_values
from cifar_sweeps.studies.histories import add_derived_metrics, read_histories
from cifar_sweeps.studies.study import Study, StudyRun, SweepRun, disambiguate_arms, list_names
from cifar_sweeps.tracking.store import PREFIX, Store

_PAGE = 1000


def find_runs(what: str, store: Store) -> Study:
    """Return the runs of a study, by its name, or of one sweep, by its id or its parent's run id.

    Raises TrackingError, naming what there is, if nothing is called so or nothing was recorded in it.
    """
    client = store.client()
    experiment = client.get_experiment_by_name(what)
    if experiment is not None and experiment.lifecycle_stage == "active":
        name, records = what, _search(client, [str(experiment.experiment_id)])
    else:
        name, records = _one_sweep(client, what, store.uri)
    parents = {record.data.tags.get("mlflow.parentRunId") for record in records}
    sweeps = [record for record in records if _tag(record, "role") == "sweep" or record.info.run_id in parents]
    inner = {record.info.run_id for record in sweeps}
    # A run that repeats another gives the same figures again: it is compared when it is made, and is no arm of its own.
    runs = [_run(record) for record in records if record.info.run_id not in inner and not _tag(record, "reproduces")]
    if not runs:
        raise TrackingError(f"{what}: no run has been recorded in it yet")
    seconds = read_histories(client, [run.run_id for run in runs], ["epoch_seconds"])
    runs = [
        replace(run, metrics=add_derived_metrics(run.metrics, seconds.get(run.run_id, {}), run.finished))
        for run in runs
    ]
    return Study(name, tuple(disambiguate_arms(runs)), tuple(_sweep(record) for record in sweeps))


def _one_sweep(client: MlflowClient, what: str, uri: str) -> tuple[str, list[Run]]:
    experiments = {str(found.experiment_id): str(found.name) for found in client.search_experiments()}
    wanted = what.removeprefix("sweep ").strip()
    parents = _search(client, list(experiments), f"tags.`{PREFIX}role` = 'sweep'")
    for parent in parents:
        if wanted in (parent.info.run_id, _tag(parent, "sweep_id")):
            children = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
            home = str(parent.info.experiment_id)
            return experiments[home], [parent, *_search(client, [home], children)]
    studies = sorted(name for number, name in experiments.items() if number != "0")  # 0 is MLflow's own, Default
    newest = [str(_tag(parent, "sweep_id")) for parent in reversed(parents)]
    if (conf_folder() / "study" / f"{what}.yaml").is_file():
        raise TrackingError(f"{what}: has not been trained yet into {uri}; train it: cifar-train study={what}")
    known = f"the studies are {list_names(studies)}; the newest sweeps {list_names(newest)}"
    raise TrackingError(f"{what}: {uri} has no study and no sweep of this name; {known}")


def _search(client: MlflowClient, experiments: list[str], condition: str = "") -> list[Run]:
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            experiments, condition, ViewType.ACTIVE_ONLY, _PAGE, ["attributes.start_time ASC"], token
        )
        found += page
        token = page.token
        if not token:
            return found


def _run(record: Run) -> StudyRun:
    info, data = record.info, record.data
    name = str(info.run_name)
    swept = swept_values(data.tags, PREFIX, name)
    ended = info.end_time
    return StudyRun(
        str(info.run_id),
        name,
        str(info.status).lower(),
        swept,
        "",
        arm_name(swept, _lone_arm(record)),
        dict(data.metrics),
        dict(data.params),
        dict(data.tags),
        _time(info.start_time),
        None if ended is None else (ended - info.start_time) / 1000,
    )


def _lone_arm(record: Run) -> str:
    """Return the name of an arm of which nothing but the seed was swept."""
    if not record.data.tags.get("mlflow.parentRunId"):
        return str(record.info.run_name)
    typed = swept_values({f"{PREFIX}overrides": _tag(record, "overrides") or ""}, PREFIX, "")
    return typed.get("experiment", "one setting")


def _sweep(record: Run) -> SweepRun:
    sweep_id, overrides = _tag(record, "sweep_id") or str(record.info.run_name), _tag(record, "overrides") or ""
    return SweepRun(str(record.info.run_id), sweep_id, overrides, _time(record.info.start_time))


def _time(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, tz=datetime.timezone.utc)


def _tag(record: Run, key: str) -> str | None:
    found = record.data.tags.get(f"{PREFIX}{key}")
    return None if found is None else str(found)
