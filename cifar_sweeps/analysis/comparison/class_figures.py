"""Precision, recall and F1 of each class from labels and predicted classes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FIGURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class ClassFigures:
    """Figures of C classes, each (C,) float64 in [0, 1]; 0 where a figure is 0/0. images: (C,) int64, of each class."""

    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]
    images: npt.NDArray[np.int64]

    def __getitem__(self, figure: str) -> npt.NDArray[np.float64]:
        """Return one of `FIGURES`."""
        values: npt.NDArray[np.float64] = {"precision": self.precision, "recall": self.recall, "f1": self.f1}[figure]
        return values


def class_figures(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int) -> ClassFigures:
    """Return the figures of each class. labels, predicted: (N,) int64 in [0, classes)."""
    right = np.bincount(labels[labels == predicted], minlength=classes)
    actual, named = np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes)
    return ClassFigures(
        right / np.maximum(named, 1), right / np.maximum(actual, 1), 2 * right / np.maximum(actual + named, 1), actual
    )
