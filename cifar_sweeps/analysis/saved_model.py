"""The model and the data set as MLflow keeps them: a network that serves raw pixels, and what it learned from.

The network is stored as an exported graph (torch.export), not as a pickle: it loads where cifar_sweeps is not
installed, and where ``MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false`` forbids pickles.
"""

import copy
import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import mlflow.pytorch
import numpy as np
import numpy.typing as npt
import torch
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from torch import Tensor, nn

MODEL_NAME = "model"
_TRIES = 5


class ServableClassifier(nn.Module):
    """A trained network that takes raw pixels and returns probabilities; a copy, in float32 on the CPU.

    net: (N, 3, H, W) float32 to logits (N, C); it is left as it is. mean, std: by channel, on pixels in [0, 1], as
    in training; None if it did not standardise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
        self.register_buffer("mean", torch.tensor(mean or [0.0] * 3).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std or [1.0] * 3).view(3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return softmax probabilities (N, C) float32 for pixels (N, 3, H, W), uint8 or float, in 0 to 255."""
        images = (pixels.float() / 255 - self.mean) / self.std
        logits: Tensor = self.net(images)
        return logits.softmax(dim=1)


def log_model(
    client: MlflowClient,
    run_id: str,
    model: ServableClassifier,
    classes: Sequence[str],
    example_images: npt.NDArray[np.uint8],
    *,
    step: int = 0,
) -> str:
    """Store model as the run's output named ``model`` and return its address, ``models:/ID``.

    ``mlflow.pyfunc.load_model`` takes that address, or ``runs:/RUN_ID/model``; its ``predict`` maps (N, 3, H, W) uint8
    to (N, C) float32 probabilities, for any N. The names of the classes, in the order of the columns, are its
    ``metadata.metadata["classes"]``.
    example_images: (N, 3, H, W) uint8, at least two of them; the first two are stored as input example. step: the
    epoch of the weights.
    Raises mlflow.exceptions.MlflowException if the store refuses, and then leaves no model marked as ready.
    """
    # A batch of one would be frozen into the graph; two are enough to leave its size open.
    example = np.ascontiguousarray(example_images[:2])
    form = Model(run_id=run_id, metadata={"classes": list(classes)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, MODEL_NAME)
        _save(model, form, example, len(classes), path)
        logged = client.create_logged_model(client.get_run(run_id).info.experiment_id, MODEL_NAME, source_run_id=run_id)
        form.model_id, form.artifact_path = logged.model_id, logged.artifact_location
        # An exported graph stays on its device; by default MLflow would ask for it on a GPU where there is one.
        form.flavors["python_function"]["config"] = {"device": "cpu"}
        form.save(path / "MLmodel")
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=step)])
    return f"models:/{logged.model_id}"


def warm_up() -> None:
    """Save a small network and throw it away: what torch and MLflow then look up once takes longer than a real one.

    Starts no thread: a process that is forked afterwards saves its model in a quarter of the time.
    """
    net = nn.Sequential(
        *(
            nn.Conv2d(3, 2, 1),
            nn.BatchNorm2d(2),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.LeakyReLU(0.1, inplace=True),
        ),
        *(nn.Flatten(), nn.Linear(8, 2)),
    )
    with tempfile.TemporaryDirectory() as folder:
        example = np.zeros((2, 3, 4, 4), dtype=np.uint8)
        _save(ServableClassifier(net, None, None), Model(), example, 2, Path(folder, MODEL_NAME))


def _save(model: ServableClassifier, form: Model, example: npt.NDArray[np.uint8], num_classes: int, path: Path) -> None:
    mlflow.pytorch.save_model(
        model,
        path,
        mlflow_model=form,
        signature=_signature(example.shape[1:], num_classes),
        input_example=example,
        pip_requirements=_requirements(),
        serialization_format="pt2",
    )


def log_dataset(
    client: MlflowClient,
    run_id: str,
    *,
    name: str,
    fingerprint: str,
    source: str,
    images: Mapping[str, int],
    num_classes: int,
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
        profile=json.dumps({"num_classes": num_classes}),
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


def _signature(image_shape: tuple[int, ...], num_classes: int) -> ModelSignature:
    pixels = TensorSpec(np.dtype(np.uint8), (-1, *image_shape), name=None)
    probabilities = TensorSpec(np.dtype(np.float32), (-1, num_classes), name=None)
    return ModelSignature(inputs=Schema([pixels]), outputs=Schema([probabilities]))


def _requirements() -> list[str]:
    # MLflow would infer these by loading the model in a new process, which takes 13 s. What follows a + names a build
    # (2.14.1+cpu) that package indexes do not have.
    return [f"{package}=={version(package).split('+')[0]}" for package in ("mlflow", "torch", "numpy")]
