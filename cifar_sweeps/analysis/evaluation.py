"""Classification metrics from logits and labels: overall, per class, and a confusion matrix."""

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
    """Metrics of N classified images in C classes.

    loss: mean cross-entropy in nats. accuracy: fraction in [0, 1].
    predicted: (N,) int64, the class with the highest logit (the first if several are equal).
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

    def metrics_by_class(self) -> dict[str, float]:
        """Return precision, recall and F1 of each class as metrics of the test images: ``test/recall/cat``."""
        averages = ("accuracy", "micro avg", "macro avg", "weighted avg")
        return {
            f"test/{'f1' if figure == 'f1-score' else figure}/{name}": float(values[figure])
            for name, values in self.by_class.items()
            if name not in averages
            for figure in ("precision", "recall", "f1-score")
        }


def evaluation_report(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> EvaluationReport:
    """Compute the metrics of logits against labels.

    logits: (N, C) float. labels: (N,) int64 in [0, C). classes: C names in the order of the logits. A class without
    labels or predictions scores 0 where its metric is 0/0.
    Raises ConfigError if model and data differ in their classes, DataError if the labels do not fit.
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
    # Imported here: scikit-learn takes a second or two to import, and only the report needs it.
    from sklearn.metrics import classification_report

    arguments = {
        "y_true": labels.numpy(),
        "y_pred": predicted.numpy(),
        "labels": np.arange(len(classes)),
        "target_names": list(classes),
        "zero_division": 0,
    }
    return classification_report(**arguments, output_dict=True), classification_report(**arguments, digits=4)


def _check(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    if logits.ndim != 2 or logits.shape[1] != len(classes):
        raise ConfigError(
            f"model.num_classes: the model returns logits of shape {tuple(logits.shape)}, the data has {len(classes)} "
            f"classes, which need (N, {len(classes)}); use model.num_classes={len(classes)}"
        )
    if labels.shape != logits.shape[:1] or len(labels) == 0:
        raise DataError(
            f"{tuple(labels.shape)} labels for {len(logits)} images: there must be one label for each, and at least "
            "one image; check the data set's test split"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(
            f"labels from {labels.min().item()} to {labels.max().item()}: with {len(classes)} classes they must lie in "
            f"0 to {len(classes) - 1}; check the data set's labels"
        )
