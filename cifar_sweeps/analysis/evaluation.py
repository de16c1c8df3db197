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

_FIGURES = ("precision", "recall", "f1-score", "support")


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
    confusion = confusion_matrix(labels, predicted, len(classes))
    by_class, text = _by_class(confusion, classes)
    return EvaluationReport(
        loss=F.cross_entropy(logits, labels).item(),
        accuracy=(predicted == labels).double().mean().item(),
        predicted=predicted,
        probability=probability,
        confusion=confusion,
        by_class=by_class,
        text=text,
    )


def confusion_matrix(labels: Tensor, predicted: Tensor, num_classes: int) -> npt.NDArray[np.int64]:
    """Count images by actual class (row) and predicted class (column): (C, C) int64 from two (N,) int64."""
    cells = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.view(num_classes, num_classes).numpy()


def _by_class(confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return the report by class as data and as text; the same as scikit-learn's, which takes seconds to import."""
    hits, support = confusion.diagonal(), confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    figures = np.stack([_ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, support + predicted)])
    total, accuracy = int(support.sum()), float(hits.sum() / support.sum())
    averages = {"macro avg": figures.mean(axis=1), "weighted avg": np.average(figures, axis=1, weights=support)}
    by_class: dict[str, Any] = {
        name: _row(values, float(count)) for name, values, count in zip(classes, figures.T, support, strict=True)
    }
    by_class |= {"accuracy": accuracy, **{name: _row(values, float(total)) for name, values in averages.items()}}

    width = max(len("weighted avg"), *(len(name) for name in classes))

    def line(name: str, values: Sequence[str], count: int) -> str:
        return f"{name:>{width}} {''.join(f' {value:>9}' for value in (*values, count))}\n"

    def numbers(values: npt.NDArray[np.float64]) -> list[str]:
        return [f"{value:.4f}" for value in values]

    text = f"{'':>{width}} {''.join(f' {name:>9}' for name in _FIGURES)}\n\n"
    for name, values, count in zip(classes, figures.T, support, strict=True):
        text += line(name, numbers(values), int(count))
    text += "\n" + line("accuracy", ["", "", f"{accuracy:.4f}"], total)
    for name, values in averages.items():
        text += line(name, numbers(values), total)
    return by_class, text


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Divide element by element; 0 where the whole is 0."""
    return part / np.where(whole == 0, 1, whole)


def _row(values: npt.NDArray[np.float64], count: float) -> dict[str, float]:
    return dict(zip(_FIGURES, (*(float(value) for value in values), count), strict=True))


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
