"""Log the model that MLflow serves into a run that has none, once it is checked on the whole test set."""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cifar_sweeps.analysis.agreement import Agreement, agreement
from cifar_sweeps.errors import TrackingError, in_one_line
from cifar_sweeps.inspection.export.exporting import in_batches, network_probabilities
from cifar_sweeps.runs.served_model import has_served_model, log_served_model, save_served_model
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.tracking.store_errors import store_errors


def export_to_mlflow(run: TrainedRun) -> Agreement | None:
    """Make a run's model, check it on the run's test images, and log it; return how far it agrees.

    Returns None where the run has its model in the store already. Raises DataError if the test images are not at hand,
    TrackingError if the weights were not kept, the model does not agree (see `Agreement.holds`), or the store cannot
    be written.
    """
    import mlflow.pyfunc

    if has_served_model(run.record.run_id, run.store):
        return None
    images = run.images.test
    with tempfile.TemporaryDirectory() as folder:
        saved = save_served_model(run, Path(folder))
        loaded = mlflow.pyfunc.load_model(str(saved))

        def predict(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            found: npt.NDArray[np.float32] = loaded.predict(pixels)
            return found

        found = agreement(
            in_batches(lambda pixels: network_probabilities(run, pixels), images), in_batches(predict, images)
        )
        if not found.holds:
            raise TrackingError(
                f"{run.label}: the model is refused, and was not logged: it does not predict as the run's network does "
                f"on its test images: {found}"
            )
        try:
            log_served_model(run, saved)
        except store_errors() as error:
            raise TrackingError(f"{run.store.uri}: the model cannot be logged: {in_one_line(error)}") from error
    return found
