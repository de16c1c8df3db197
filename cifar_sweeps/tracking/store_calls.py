"""Single calls to MLflow that a store may refuse: names made acceptable, what is refused for good set aside."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.tracking.store import MAX_TAG_LENGTH, is_busy

MAX_PARAM_LENGTH = 6000
_MAX_NAME_LENGTH = 250
_UNNAMEABLE = re.compile(r"[^\w.\- /]")  # a colon is refused on Windows
_T = TypeVar("_T", Metric, Param, RunTag)


def acceptable_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each name of a parameter, metric or tag one that MLflow takes: another only where it must be.

    MLflow takes letters, digits, ``_.- /`` and no name that is a path elsewhere (``../x``, ``/x``, ``a//b``). Two names
    that would become one are numbered.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names, key=lambda each: (_acceptable(each) != each, each)):  # those that stay keep their names
        base = changed = _acceptable(name)
        number = 2
        while changed in taken:
            changed = f"{base[: _MAX_NAME_LENGTH - 6]}_{number}"
            number += 1
        taken.add(changed)
        found[name] = changed
    return found


def _acceptable(name: str) -> str:
    parts = [part for part in _UNNAMEABLE.sub("_", name).split("/") if part.strip(". ")]
    return "/".join(parts)[:_MAX_NAME_LENGTH].rstrip("/") or "_"


def log_params(client: MlflowClient, run_id: str, values: Mapping[str, str], at_once: int) -> list[str]:
    """Log parameters, the values cut at what MLflow keeps; return what was refused for good, with the reason."""
    names = acceptable_names(values)
    params = [Param(names[key], value[:MAX_PARAM_LENGTH]) for key, value in values.items()]
    refused = []
    for start in range(0, len(params), at_once):
        some = params[start : start + at_once]
        refused += _log(some, lambda batch: client.log_batch(run_id, params=batch), "parameter")
    return refused


def log_tags(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> list[str]:
    """Log tags as `log_params` does parameters."""
    names = acceptable_names(values)
    tags = [RunTag(names[key], value[:MAX_TAG_LENGTH]) for key, value in values.items()]
    return _log(tags, lambda batch: client.log_batch(run_id, tags=batch), "tag")


def log_metrics(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> list[str]:
    """Log metrics as `log_params` does parameters."""
    names = acceptable_names({metric.key for metric in metrics})
    named = [Metric(names[each.key], each.value, each.timestamp, each.step) for each in metrics]
    return _log(named, lambda batch: client.log_batch(run_id, metrics=batch), "metric")


def _log(entities: list[_T], send: Callable[[list[_T]], object], kind: str) -> list[str]:
    """Send in one call; if the store refuses that for good, each by itself, and return those that it refuses."""
    try:
        send(entities)
        return []
    except MlflowException as error:
        if not is_refusal(error):
            raise
        if len(entities) == 1:
            return [f"{kind} {entities[0].key!r}: {in_one_line(error)}"]
    return [line for each in entities for line in _log([each], send, kind)]


def is_refusal(error: BaseException) -> bool:
    """Return whether the store will refuse the same call again: it did answer, and the run is there to be written."""
    if not isinstance(error, MlflowException) or is_busy(error) or is_gone(error):
        return False
    return error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")


def is_gone(error: BaseException) -> bool:
    """Return whether a call failed because its run was deleted in MLflow, into the trash or for good."""
    if not isinstance(error, MlflowException):
        return False
    text = str(error)
    return "must be in the 'active' state" in text or (
        error.error_code == "RESOURCE_DOES_NOT_EXIST" and ("Run" in text or "run" in text)
    )


def restore_run(client: MlflowClient, run_id: str) -> bool | None:
    """Take a run out of MLflow's trash. True: it was there; False: it is not deleted; None: there is no such run."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    restored = False
    experiment = client.get_experiment(run.info.experiment_id)
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(experiment.experiment_id)
        restored = True
    if client.get_run(run_id).info.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_run(run_id)
        restored = True
    return restored
