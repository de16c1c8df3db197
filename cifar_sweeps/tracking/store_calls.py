"""Single calls to MLflow that a store may refuse: names made acceptable, what is refused for good set aside."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.page_links import EXPERIMENT, NOTE, PARENT, RUN, with_ids
from cifar_sweeps.tracking.store import MAX_TAG_LENGTH
from cifar_sweeps.tracking.store_errors import is_refusal

MAX_PARAM_LENGTH = 6000
_MAX_NAME_LENGTH = 250
_UNNAMEABLE = re.compile(r"[^\w.\- /]")  # a colon is refused on Windows
_T = TypeVar("_T", "mlflow_api.Metric", "mlflow_api.Param", "mlflow_api.RunTag")


def acceptable_name(name: str) -> str:
    """Return the name under which MLflow takes a parameter, metric or tag: another only where it must be.

    MLflow takes letters, digits, ``_.- /`` and no name that is a path elsewhere (``../x``, ``/x``, ``a//b``). A changed
    name ends in digits of its hash: it is the same in every call, and no other name becomes it.
    """
    parts = [part for part in _UNNAMEABLE.sub("_", name).split("/") if part.strip(". ")]
    changed = "/".join(parts)[:_MAX_NAME_LENGTH].rstrip("/")
    if changed == name and name:
        return name
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{changed[: _MAX_NAME_LENGTH - 7]}_{digits}"


@dataclass
class Told:
    """What of a journal was recorded otherwise than it stands there: names that were changed, and what was refused."""

    renamed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def log_params(client: "mlflow_api.MlflowClient", run_id: str, values: Mapping[str, str], at_once: int) -> Told:
    """Log parameters, ``at_once`` in a call, the values cut at what MLflow keeps."""
    params = [mlflow_api.Param(acceptable_name(key), value[:MAX_PARAM_LENGTH]) for key, value in sorted(values.items())]
    told = Told(_renamed("parameter", values))
    for start in range(0, len(params), at_once):
        some = params[start : start + at_once]
        told.refused += _log(some, lambda batch: client.log_batch(run_id, params=batch), "parameter")
    return told


def log_tags(client: "mlflow_api.MlflowClient", run_id: str, values: Mapping[str, str]) -> Told:
    """Log tags, the values cut at what MLflow keeps. A description gets the ids that its links need."""
    if "{" in values.get(NOTE, ""):
        values = {**values, NOTE: with_ids(values[NOTE], _ids(client, run_id))}
    tags = [mlflow_api.RunTag(acceptable_name(key), value[:MAX_TAG_LENGTH]) for key, value in sorted(values.items())]
    return Told(_renamed("tag", values), _log(tags, lambda batch: client.log_batch(run_id, tags=batch), "tag"))


def _ids(client: "mlflow_api.MlflowClient", run_id: str) -> dict[str, str]:
    run = client.get_run(run_id)
    parent = run.data.tags.get("mlflow.parentRunId", "")
    return {EXPERIMENT: str(run.info.experiment_id), RUN: run_id, PARENT: str(parent)}


def log_metrics(client: "mlflow_api.MlflowClient", run_id: str, metrics: "Sequence[mlflow_api.Metric]") -> Told:
    """Log metrics, in the order of their keys: a database locks their rows in the order in which they come."""
    named = [mlflow_api.Metric(acceptable_name(each.key), each.value, each.timestamp, each.step) for each in metrics]
    named.sort(key=lambda metric: (metric.key, metric.step))
    refused = _log(named, lambda batch: client.log_batch(run_id, metrics=batch), "metric")
    return Told(_renamed("metric", dict.fromkeys(metric.key for metric in metrics)), refused)


def _renamed(kind: str, names: Iterable[str]) -> list[str]:
    pairs = ((name, acceptable_name(name)) for name in names)
    return [f"{kind} {name!r} is {changed!r} in MLflow" for name, changed in pairs if name != changed]


def _log(entities: list[_T], send: Callable[[list[_T]], object], kind: str) -> list[str]:
    """Send in one call; if the store refuses that for good, each by itself, and return those that it refuses."""
    try:
        send(entities)
        return []
    except mlflow_api.MlflowException as error:
        if not is_refusal(error):
            raise
        if len(entities) == 1:
            return [f"{kind} {entities[0].key!r}: {in_one_line(error)}"]
    return [line for each in entities for line in _log([each], send, kind)]


def restore_run(client: "mlflow_api.MlflowClient", run_id: str) -> bool | None:
    """Take a run out of MLflow's trash. True: it was there; False: it is not deleted; None: there is no such run."""
    try:
        run = client.get_run(run_id)
    except mlflow_api.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    restored = False
    experiment = client.get_experiment(run.info.experiment_id)
    if experiment.lifecycle_stage == mlflow_api.LifecycleStage.DELETED:
        client.restore_experiment(experiment.experiment_id)
        restored = True
    if client.get_run(run_id).info.lifecycle_stage == mlflow_api.LifecycleStage.DELETED:
        client.restore_run(run_id)
        restored = True
    return restored
