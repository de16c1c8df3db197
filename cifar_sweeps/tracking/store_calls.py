"""Single calls to MLflow that a store may refuse: names made acceptable, what is refused for good set aside."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.page_links import EXPERIMENT, NOTE, PARENT, RUN, with_ids
from cifar_sweeps.tracking.store import MAX_TAG_LENGTH
from cifar_sweeps.tracking.store_errors import is_refusal

MAX_AT_ONCE = 1000
"""Metrics, parameters and tags together that MLflow takes in one call; of parameters and tags 100 each."""
MAX_PARAMS, MAX_TAGS = 100, 100
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


def log_values(
    client: "mlflow_api.MlflowClient",
    run_id: str,
    *,
    params: Mapping[str, str] = MappingProxyType({}),
    tags: Mapping[str, str] = MappingProxyType({}),
    metrics: "Sequence[mlflow_api.Metric]" = (),
    run: "Callable[[], mlflow_api.Run] | None" = None,
) -> Told:
    """Log a run's values, in one call where they fit into one: most of what a call takes is the call itself.

    They are cut at what MLflow keeps. A description gets the ids that its links need. run: returns the run as it is in
    the store, where the caller knows it already; only a description needs it.
    """
    if "{" in tags.get(NOTE, ""):
        tags = {**tags, NOTE: with_ids(tags[NOTE], _ids(client.get_run(run_id) if run is None else run()))}
    of_params = [
        mlflow_api.Param(acceptable_name(key), text[:MAX_PARAM_LENGTH]) for key, text in sorted(params.items())
    ]
    of_tags = [mlflow_api.RunTag(acceptable_name(key), text[:MAX_TAG_LENGTH]) for key, text in sorted(tags.items())]
    named = [mlflow_api.Metric(acceptable_name(each.key), each.value, each.timestamp, each.step) for each in metrics]
    # In the order of their keys: a database locks their rows in the order in which they come.
    named.sort(key=lambda metric: (metric.key, metric.step))
    told = Told([*_renamed("parameter", params), *_renamed("tag", tags)])
    told.renamed += _renamed("metric", dict.fromkeys(metric.key for metric in metrics))
    first, rest = of_params[:MAX_PARAMS], of_params[MAX_PARAMS:]
    if not _log_at_once(client, run_id, named, first, of_tags):
        rest = of_params
        told.refused += _log(named, lambda batch: client.log_batch(run_id, metrics=batch), "metric")
        told.refused += _log(of_tags, lambda batch: client.log_batch(run_id, tags=batch), "tag")
    for start in range(0, len(rest), MAX_PARAMS):
        some = rest[start : start + MAX_PARAMS]
        told.refused += _log(some, lambda batch: client.log_batch(run_id, params=batch), "parameter")
    return told


def _log_at_once(
    client: "mlflow_api.MlflowClient",
    run_id: str,
    metrics: "list[mlflow_api.Metric]",
    params: "list[mlflow_api.Param]",
    tags: "list[mlflow_api.RunTag]",
) -> bool:
    """Log values in one call. Returns False if they are too many for one, or if the store refuses some for good."""
    if len(tags) > MAX_TAGS or len(metrics) + len(params) + len(tags) > MAX_AT_ONCE:
        return False
    try:
        client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
    except mlflow_api.MlflowException as error:
        if not is_refusal(error):
            raise
        return False
    return True


def _ids(run: "mlflow_api.Run") -> dict[str, str]:
    parent = run.data.tags.get("mlflow.parentRunId", "")
    return {EXPERIMENT: str(run.info.experiment_id), RUN: str(run.info.run_id), PARENT: str(parent)}


def _renamed(kind: str, names: Iterable[str]) -> list[str]:
    pairs = ((name, acceptable_name(name)) for name in names)
    return [f"{kind} {name!r} is {changed!r} in MLflow" for name, changed in pairs if name != changed]


def _log(entities: list[_T], send: Callable[[list[_T]], object], kind: str) -> list[str]:
    """Send in one call; if the store refuses that for good, each by itself, and return those that it refuses."""
    if not entities:
        return []
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
