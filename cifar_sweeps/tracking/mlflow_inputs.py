"""The data set that a run used and the model that it made, as MLflow keeps them."""

import json
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

_TRIES = 5


def log_input(
    client: MlflowClient,
    run_id: str,
    *,
    name: str,
    fingerprint: str,
    source: str,
    images: Mapping[str, int],
    classes: int,
) -> None:
    """Record as an input of the run which images it used; the images themselves are neither copied nor read.

    fingerprint: at most 36 characters, MLflow's digest. source: a folder or an http(s) address. images: how many the
    run used on each side, such as ``{"training": 45000}``: tags of the input, ``num_images.training``, for MLflow keeps
    one data set by name and digest in an experiment, with the profile of the first run that named it.
    """
    web = source.startswith(("http://", "https://"))
    dataset = Dataset(
        name=name,
        digest=fingerprint,
        source_type="http" if web else "local",
        source=json.dumps({"url" if web else "uri": source}),
        profile=json.dumps({"num_classes": classes}),
    )
    # One input: MLflow keeps a data set's first context alone.
    tags = [InputTag(MLFLOW_DATASET_CONTEXT, "training")]
    tags += [InputTag(f"num_images.{side}", str(count)) for side, count in images.items()]
    for attempt in range(_TRIES):
        try:
            client.log_inputs(run_id, [DatasetInput(dataset, tags)])
            return
        except MlflowException as error:
            # MLflow looks whether the data set is known and then adds it: of jobs that do so at once, one is refused,
            # and finds it known the next time.
            if "IntegrityError" not in str(error) or attempt == _TRIES - 1:
                raise


def log_model(client: MlflowClient, run_id: str, path: Path, *, name: str, step: int) -> str:
    """Hand a saved model to the store as the run's output, and return its address, ``models:/ID``.

    path: a folder in MLflow's format. step: the epoch of the weights. Called again, perhaps after a call that broke
    off, it finishes what that one began: the run has one model of this name.
    Raises mlflow.exceptions.MlflowException if the store refuses, and then leaves no model marked as ready.
    """
    run = client.get_run(run_id)
    experiment_id = run.info.experiment_id
    begun = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}' AND name = '{name}'")
    logged = begun[0] if begun else client.create_logged_model(experiment_id, name, source_run_id=run_id)
    if logged.status != LoggedModelStatus.READY:
        form = Model.load(str(path))
        form.run_id, form.model_id, form.artifact_path = run_id, logged.model_id, logged.artifact_location
        form.save(str(path / "MLmodel"))
        client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    known = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
    if logged.model_id not in known:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=step)])
    return f"models:/{logged.model_id}"
