"""Save a trained network as an MLflow model that predicts on raw pixels.

It is stored as an exported graph (torch.export), not as a pickle: it loads without cifar_sweeps, and where
``MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false`` forbids pickles.
"""

import copy
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cifar_sweeps.data.whitening import Whitening, whiten
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.page_links import MODEL_NAME

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


class ServableClassifier(nn.Module):
    """A copy of a trained network, in float32 on the CPU, that maps raw pixels to probabilities.

    net: (N, 3, H, W) float32 to logits (N, C); it is not changed. mean, std: per channel, of pixels in [0, 1], as in
    training; None without standardization. whitening: as in training; None without, and it takes the place of both.
    """

    mean: Tensor
    std: Tensor
    whitening_matrix: Tensor | None

    def __init__(
        self,
        net: nn.Module,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)
        self.register_buffer("mean", torch.tensor(mean or [0.0] * 3).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std or [1.0] * 3).view(3, 1, 1))
        self.register_buffer("whitening_matrix", None)
        if whitening is not None:
            self.mean, self.whitening_matrix = whitening.mean.cpu().clone(), whitening.matrix.cpu().clone()
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return softmax probabilities (N, C) float32 for pixels (N, 3, H, W), uint8 or float, in 0 to 255."""
        images = pixels.float() / 255
        if self.whitening_matrix is None:
            images = (images - self.mean) / self.std
        else:
            images = whiten(images, self.mean, self.whitening_matrix)
        logits: Tensor = self.net(images)
        return logits.softmax(dim=1)


def save_model(
    model: ServableClassifier,
    classes: Sequence[str],
    example_images: npt.NDArray[np.uint8],
    path: Path,
) -> None:
    """Save the model in MLflow's format in the folder ``path``, which must not exist.

    ``mlflow.pyfunc.load_model`` loads it, from there or from a store that it was logged to; its ``predict`` maps
    (N, 3, H, W) uint8 to (N, C) float32 probabilities, for any N. The class names, in the order of the columns, are
    its ``metadata.metadata["classes"]``.
    example_images: (N, 3, H, W) uint8, at least two; the first two are stored as the input example.
    """
    mlflow_api.load()
    import mlflow.pytorch  # here: MLflow takes a second or two, and a job that saves no model can do without
    from mlflow.models import Model

    # A batch of one would be fixed in the graph; two keep the batch size dynamic.
    example = np.ascontiguousarray(example_images[:2])
    mlflow_model = Model(metadata={"classes": list(classes)})
    mlflow.pytorch.save_model(
        model,
        path,
        mlflow_model=mlflow_model,
        signature=_signature(example.shape[1:], len(classes)),
        input_example=example,
        pip_requirements=_requirements(),
        serialization_format="pt2",
    )
    # An exported graph stays on its device; by default MLflow would load it on a GPU if there is one.
    mlflow_model.flavors["python_function"]["config"] = {"device": "cpu"}
    mlflow_model.save(path / "MLmodel")


def warm_up_export() -> None:
    """Save a small network and delete it, so that torch and MLflow do their slow one-time set-up.

    Starts no thread: a process forked afterwards saves its model in a quarter of the time.
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
        images = np.zeros((2, 3, 4, 4), dtype=np.uint8)
        save_model(ServableClassifier(net, None, None), ("a", "b"), images, Path(folder, MODEL_NAME))


def _signature(image_shape: tuple[int, ...], num_classes: int) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    pixels = TensorSpec(np.dtype(np.uint8), (-1, *image_shape), name=None)
    probabilities = TensorSpec(np.dtype(np.float32), (-1, num_classes), name=None)
    return ModelSignature(inputs=Schema([pixels]), outputs=Schema([probabilities]))


def _requirements() -> list[str]:
    # MLflow would infer these by loading the model in a new process, which takes 13 s. The part after a + names a
    # build (2.14.1+cpu) that package indexes do not have.
    return [f"{package}=={version(package).split('+')[0]}" for package in ("mlflow", "torch", "numpy")]
