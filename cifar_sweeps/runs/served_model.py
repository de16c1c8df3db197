"""The model that MLflow serves, of a run that has finished without logging one: made from its checkpoint."""

import tempfile
from pathlib import Path

from cifar_sweeps.analysis import mlflow_model
from cifar_sweeps.runs.description import with_model
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.tracking import mlflow_inputs
from cifar_sweeps.tracking.page_links import MODEL_NAME, NOTE
from cifar_sweeps.tracking.store import Store


def save_served_model(run: TrainedRun, folder: Path) -> Path:
    """Save a run's network in MLflow's format in a new folder within ``folder``, and return it.

    Raises TrackingError if the weights were not kept, DataError if the images, of which two are its example, are not
    at hand.
    """
    path = folder / MODEL_NAME
    mlflow_model.save_model(run.servable, run.classes, run.images.test.images[:2].numpy(), path)
    return path


def log_served_model(run: TrainedRun, saved: Path) -> None:
    """Log a model from `save_served_model` into the run in its store, as one that the run had logged itself.

    Raises mlflow.exceptions.MlflowException if the store refuses.
    """
    client, run_id = run.store.client(), run.record.run_id
    mlflow_inputs.log_model(client, run_id, saved, name=MODEL_NAME, step=run.tested_epoch or 0)
    before = client.get_run(run_id).data.tags.get(NOTE, "")
    after = with_model(before, run_id)
    if after != before:
        client.set_tag(run_id, NOTE, after)


def has_served_model(run_id: str, store: Store) -> bool:
    """Return whether a run has its model in the store, whole."""
    return mlflow_inputs.find_model(store.client(), run_id) is not None


def give_served_model(run: TrainedRun) -> None:
    """Make and log a run's model. Raises as the functions above."""
    with tempfile.TemporaryDirectory() as folder:
        log_served_model(run, save_served_model(run, Path(folder)))
