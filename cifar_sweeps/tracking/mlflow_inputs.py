"""Log a run's data set (its input) and its model (its output) to MLflow."""

import json
from collections.abc import Mapping
from pathlib import Path

from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.page_links import MODEL_NAME

_CONTEXT = "mlflow.data.context"
"""MLflow's tag of what a run used a data set for."""
_ATTEMPTS = 5


def log_input(
    client: "mlflow_api.MlflowClient",
    run_id: str,
    *,
    name: str,
    fingerprint: str,
    source: str,
    images: Mapping[str, int],
    classes: int,
) -> None:
    """Log the data set as an input of the run; the images are neither copied nor read.

    fingerprint: at most 36 characters, MLflow's digest. source: a folder or an http(s) URL. images: the number in
    each split, such as ``{"training": 45000}``. They are tags of the input (``num_images.training``), as MLflow keeps
    one data set per name and digest in an experiment, with the profile of the first run that logged it.
    """
    is_url = source.startswith(("http://", "https://"))
    dataset = mlflow_api.Dataset(
        name=name,
        digest=fingerprint,
        source_type="http" if is_url else "local",
        source=json.dumps({"url" if is_url else "uri": source}),
        profile=json.dumps({"num_classes": classes}),
    )
    # One input: MLflow keeps only a data set's first context.
    tags = [mlflow_api.InputTag(_CONTEXT, "training")]
    tags += [mlflow_api.InputTag(f"num_images.{name}", str(count)) for name, count in images.items()]
    for attempt in range(_ATTEMPTS):
        try:
            client.log_inputs(run_id, [mlflow_api.DatasetInput(dataset, tags)])
            return
        except mlflow_api.MlflowException as error:
            # MLflow looks the data set up and then adds it: of jobs that do so at once one fails, and finds it on the
            # next attempt.
            if "IntegrityError" not in str(error) or attempt == _ATTEMPTS - 1:
                raise


def find_model(client: "mlflow_api.MlflowClient", run_id: str) -> str | None:
    """Return the id of the model that a run has logged, whole; None if it has none."""
    experiment_id = client.get_run(run_id).info.experiment_id
    of_run = f"source_run_id = '{run_id}' AND name = '{MODEL_NAME}'"
    models = client.search_logged_models([experiment_id], of_run)
    return next((str(each.model_id) for each in models if each.status == mlflow_api.LoggedModelStatus.READY), None)


def log_model(client: "mlflow_api.MlflowClient", run_id: str, path: Path, *, name: str, step: int) -> str:
    """Log a saved model as the run's output, and return its URI, ``models:/ID``.

    path: a folder in MLflow's format. step: the epoch of the weights. A repeated call completes one that was cut
    short: the run has one model of this name.
    Raises mlflow.exceptions.MlflowException if the store refuses; no model is then marked as ready.
    """
    run = client.get_run(run_id)
    experiment_id = run.info.experiment_id
    existing = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}' AND name = '{name}'")
    logged = existing[0] if existing else client.create_logged_model(experiment_id, name, source_run_id=run_id)
    if logged.status != mlflow_api.LoggedModelStatus.READY:
        saved = mlflow_api.Model.load(str(path))
        saved.run_id, saved.model_id, saved.artifact_path = run_id, logged.model_id, logged.artifact_location
        saved.save(str(path / "MLmodel"))
        client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, mlflow_api.LoggedModelStatus.READY)
    output_ids = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
    if logged.model_id not in output_ids:
        client.log_outputs(run_id, [mlflow_api.LoggedModelOutput(logged.model_id, step=step)])
    return f"models:/{logged.model_id}"
