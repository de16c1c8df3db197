"""What a model's logits say once they are held against the labels: figures for all classes and for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from cifar_sweeps.errors import ConfigError, DataError


@dataclass(frozen=True)
class EvaluationReport:
    """How N images in C classes were classified.

    loss: mean cross-entropy in nats. accuracy: fraction in [0, 1].
    predicted: (N,) int64, the class with the highest logit (the first of equals).
    probability: (N,) float32, the softmax of that class.
    confusion: (C, C) int64; rows are actual classes, columns predicted ones.
    by_class: scikit-learn's report as a dictionary: for each class, ``macro avg`` and ``weighted avg`` its
        ``precision``, ``recall``, ``f1-score`` and ``support`` (images), and ``accuracy``.
    text: the same as a table in plain text, with four decimals.
    """

    loss: float
    accuracy: float
    predicted: Tensor
    probability: Tensor
    confusion: npt.NDArray[np.int64]
    by_class: dict[str, Any]
    text: str


def evaluation_report(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> EvaluationReport:
    """Hold logits against labels.

    logits: (N, C) float. labels: (N,) int64 in [0, C). classes: C names in the order of the logits. A class that
    no label names, or that is never predicted, scores 0 where its figure is 0/0.
    Raises ConfigError if the model has other classes than the data, DataError if the labels do not fit.
    """
    _check(logits, labels, classes)
    logits, labels = logits.detach().cpu().float(), labels.cpu()
    probability, predicted = logits.softmax(dim=1).max(dim=1)
    by_class, text = _by_class(labels, predicted, classes)
    return EvaluationReport(
        loss=F.cross_entropy(logits, labels).item(),
        accuracy=(predicted == labels).double().mean().item(),
        predicted=predicted,
        probability=probability,
        confusion=confusion_matrix(labels, predicted, len(classes)),
        by_class=by_class,
        text=text,
    )


def confusion_matrix(labels: Tensor, predicted: Tensor, num_classes: int) -> npt.NDArray[np.int64]:
    """Count images by actual class (row) and predicted class (column): (C, C) int64 from two (N,) int64."""
    cells = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.view(num_classes, num_classes).numpy()


def _by_class(labels: Tensor, predicted: Tensor, classes: Sequence[str]) -> tuple[dict[str, Any], str]:
    # scikit-learn takes a second or two to import, which only a run that ends with a report should pay.
    from sklearn.metrics import classification_report

    form = {
        "y_true": labels.numpy(),
        "y_pred": predicted.numpy(),
        "labels": np.arange(len(classes)),
        "target_names": list(classes),
        "zero_division": 0,
    }
    return classification_report(**form, output_dict=True), classification_report(**form, digits=4)


def _check(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    if logits.ndim != 2 or logits.shape[1] != len(classes):
        raise ConfigError(
            f"model.num_classes: the model gives logits of shape {tuple(logits.shape)}, the data has {len(classes)} "
            f"classes, which takes (N, {len(classes)}); use model.num_classes={len(classes)}"
        )
    if labels.shape != logits.shape[:1] or len(labels) == 0:
        raise DataError(
            f"{tuple(labels.shape)} labels for {len(logits)} images: there must be one label for each, and one image "
            "at least; look at the data set's test side"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(
            f"labels from {labels.min().item()} to {labels.max().item()}: with {len(classes)} classes they must lie in "
            f"0 to {len(classes) - 1}; look at the data set's labels"
        )
