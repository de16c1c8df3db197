"""Test predictions of one run as a small file, from which figures are computed without training again."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import atomic_write

FILE = "predictions.npz"
"""Of the test images."""
VALIDATION_FILE = "validation_predictions.npz"
"""Of the validation images, with ``analysis=full``."""


@dataclass(frozen=True)
class Predictions:
    """Predictions for N images in C classes.

    index: (N,) int64, of each image in its data set's test images. labels: (N,) int64.
    probabilities: (N, C) float32, the softmax of the logits; rows sum to 1. classes: C names.
    """

    index: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N,) int64: the most probable class, the first if several are equal."""
        return most_probable(self.probabilities)

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """(N,) float32: the probability of the predicted class."""
        return highest(self.probabilities)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether the predicted class is the label."""
        right: npt.NDArray[np.bool_] = self.predicted == self.labels
        return right

    @property
    def accuracy(self) -> float:
        """Fraction of the images that are classified as labelled."""
        return float(self.correct.mean())

    def save(self, path: Path) -> None:
        """Write a compressed NumPy archive, readable by ``np.load`` alone. Raises OSError."""
        with atomic_write(path) as file:
            np.savez_compressed(
                file,
                index=self.index.astype(np.int32),
                label=self.labels.astype(np.int32),
                probabilities=self.probabilities,
                classes=np.array(self.classes, dtype=np.str_),
            )


def most_probable(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the class of the highest of each image's probabilities (N, C), the first if several are equal: (N,)."""
    most: npt.NDArray[np.int64] = probabilities.argmax(axis=1)
    return most


def highest(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the highest of each image's probabilities (N, C): (N,)."""
    best: npt.NDArray[np.float32] = probabilities.max(axis=1)
    return best


def from_logits(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Predictions:
    """Return the predictions of a data set's images, in their order. logits: (N, C) float. labels: (N,) int64."""
    probabilities = logits.detach().cpu().float().softmax(dim=1).numpy()
    return Predictions(np.arange(len(labels)), labels.cpu().numpy(), probabilities, tuple(classes))


def load_predictions(path: Path) -> Predictions:
    """Read what `Predictions.save` wrote, without unpickling. Raises DataError if it is damaged or something else."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = Predictions(
                archive["index"].astype(np.int64),
                archive["label"].astype(np.int64),
                archive["probabilities"].astype(np.float32),
                tuple(str(name) for name in archive["classes"]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: is no file of predictions ({error}); train the run again, or choose another"
        ) from error
    count, number = len(found.labels), len(found.classes)
    if found.index.shape != (count,) or found.probabilities.shape != (count, number) or count == 0:
        raise DataError(
            f"{path}: {found.probabilities.shape} probabilities for {count} labels and {number} classes do not fit; "
            "train the run again, or choose another"
        )
    if found.labels.min() < 0 or found.labels.max() >= number or not np.isfinite(found.probabilities).all():
        raise DataError(f"{path}: labels or probabilities are out of their range; train the run again")
    return found
