"""Register the model that a run logged in MLflow's model registry, with what it was trained on and how to repeat it."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from cifar_sweeps.errors import ConfigError, TrackingError, in_one_line
from cifar_sweeps.tracking.address import with_password
from cifar_sweeps.tracking.mlflow_inputs import find_model
from cifar_sweeps.tracking.page_links import code, link, run_page
from cifar_sweeps.tracking.recorded_run import PREFIX, RecordedRun, finish_command
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_errors import is_busy, store_errors

_ALIAS = re.compile(r"[\w-]+")
_NO_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)  # MLflow keeps these for itself
_MAX_LENGTH = 250
_MAX_DESCRIPTION = 5000  # the column's size in databases that enforce one
_TAGS = (
    "study",
    "sweep_id",
    "data",
    "data_fingerprint",
    "validated_on",
    "budget",
    "config_hash",
    "git_commit",
    "repeat",
)
"""Tags of the run that its model gets, too."""
_METRICS = ("test/accuracy", "best/val_accuracy")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model. is_new: whether it was not there before."""

    name: str
    version: str
    is_new: bool


def register_model(run: RecordedRun, name: str, aliases: Sequence[str], store: Store) -> RegisteredVersion:
    """Register the model of a recorded run under a name, and give it these aliases; return its version.

    A run that is registered under the name already keeps the version that it has. Raises ConfigError for a name or
    alias that MLflow does not take, and TrackingError if the run has no model, or the store no registry.
    """
    check_names(name, aliases)
    client = store.client()
    try:
        recorded = client.get_run(run.run_id)
        model_id = _logged_model(client, run)
        found = _registered(client, name, run.run_id)
        with _default_store(store):
            version = found or _create(client, name, recorded, model_id)
        for alias in aliases:
            client.set_registered_model_alias(name, alias, str(version.version))
    except store_errors() as error:
        if is_busy(error):
            raise TrackingError(f"{store.uri}: the store does not answer; try again later") from error
        raise TrackingError(
            f"{store.uri}: cannot register {name}: {in_one_line(error)}; a registry needs MLflow's database (the "
            "outputs' own has one) or a server with a database"
        ) from error
    return RegisteredVersion(name, str(version.version), found is None)


@contextlib.contextmanager
def _default_store(store: Store) -> Iterator[None]:
    """Make a store MLflow's own default: its database looks there for the model to register, not where it lies."""
    is_set = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    before: Any = mlflow.get_tracking_uri() if is_set else None  # None unsets it, which MLflow's types do not say
    mlflow.set_tracking_uri(with_password(store.uri))
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def check_names(name: str, aliases: Sequence[str]) -> None:
    """Raise ConfigError for names that MLflow does not take, with all that is wrong."""
    wrong = []
    if not name.strip() or len(name) > _MAX_LENGTH or set("/:") & set(name) or not name.strip(". "):
        wrong.append(f"--name={name}: is no name of a model: 1 to {_MAX_LENGTH} characters, without / and :")
    for alias in aliases:
        if not _ALIAS.fullmatch(alias) or _NO_ALIAS.fullmatch(alias) or len(alias) > _MAX_LENGTH:
            wrong.append(
                f"--alias={alias}: is no alias: letters, digits, _ and -, but neither latest nor v1, v2, …; "
                "for example champion"
            )
    if wrong:
        raise ConfigError(wrong)


def _logged_model(client: MlflowClient, run: RecordedRun) -> str:
    """Return the id of the model that a run logged. Raises TrackingError, with what to do, if it has none."""
    found = find_model(client, run.run_id)
    if found is not None:
        return found
    shown = f"{run.run_id[:8]} ({run.name})"
    if run.state != "FINISHED":
        command = finish_command(run.run_id, run.tags)
        raise TrackingError(f"{shown}: is {run.state_text}, and a model is logged at the end; finish it: {command}")
    raise TrackingError(
        f"{shown}: has no model in the store; make it: cifar-sweeps export {run.run_id[:8]} --format mlflow"
    )


def _registered(client: MlflowClient, name: str, run_id: str) -> ModelVersion | None:
    """Return the version of this name that a run's model is already; the newest of several."""
    versions = [each for each in client.search_model_versions(f"run_id = '{run_id}'") if each.name == name]
    return max(versions, key=lambda each: int(each.version), default=None)


def _create(client: MlflowClient, name: str, recorded: Run, model_id: str) -> ModelVersion:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {key: recorded.data.tags[key] for each in _TAGS if (key := f"{PREFIX}{each}") in recorded.data.tags}
    metrics = {each: recorded.data.metrics[each] for each in _METRICS if each in recorded.data.metrics}
    tags |= {f"{PREFIX}{key.replace('/', '_')}": f"{value:.4f}" for key, value in metrics.items()}
    about = "\n\n".join(_about(recorded))[:_MAX_DESCRIPTION]
    run_id = recorded.info.run_id
    return client.create_model_version(name, f"models:/{model_id}", run_id, tags, description=about, model_id=model_id)


def _about(recorded: Run) -> Iterator[str]:
    """Yield the paragraphs of a version's description."""
    info, data = recorded.info, recorded.data
    tags = {key.removeprefix(PREFIX): str(value) for key, value in data.tags.items()}
    yield f"**Model of** {link(str(info.run_name), run_page(info.experiment_id, info.run_id))}"
    images = f", {tags['train_images']} images" if "train_images" in tags else ""
    yield f"**Trained on** {code(tags.get('data', 'unknown data'))}{images}"
    figures = [f"{key} {data.metrics[key]:.4f}" for key in _METRICS if key in data.metrics]
    if tags.get("validated_on") == "test":
        figures.append("validated on the test set, so that neither figure is independent of it")
    yield f"**Accuracy**: {', '.join(figures) or 'none recorded'}"
    yield "**Takes** pixels (N, 3, height, width) from 0 to 255; gives probabilities (N, classes)"
    if tags.get("repeat"):
        yield f"**Repeat it**: {code(tags['repeat'])}"
