"""Misclassified images: the most confident ones, and the pairs of classes that are confused most."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cifar_sweeps.analysis.predictions import Predictions

Positions = npt.NDArray[np.int64]
"""Positions in the predictions' arrays; ``predictions.index`` maps them to images."""


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that were taken for another. rate: their fraction of the actual class's images.

    examples: the most confident of them first.
    """

    actual: int
    predicted: int
    count: int
    rate: float
    examples: Positions


def confident_mistakes(predictions: Predictions, count: int | None = None) -> Positions:
    """Return the positions of misclassified images, the most confident first, and the first of equal ones first."""
    wrong = np.flatnonzero(~predictions.correct)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:count]


def confused_pairs(
    predictions: Predictions, count: int | None = None, examples: int | None = None
) -> list[ConfusedPair]:
    """Return the pairs (actual, predicted) with mistakes, the highest rate first; of equal ones that with more images.

    A rate, as classes may be of unequal size. count, examples: how many pairs, and positions of each.
    """
    number = len(predictions.classes)
    ranked = confident_mistakes(predictions)
    cell = predictions.labels[ranked] * number + predictions.predicted[ranked]
    sizes = np.bincount(predictions.labels, minlength=number)
    pairs = []
    for each, images in zip(*np.unique(cell, return_counts=True), strict=True):
        actual, predicted = divmod(int(each), number)
        shown = ranked[cell == each][:examples]
        pairs.append(ConfusedPair(actual, predicted, int(images), float(images / sizes[actual]), shown))
    return sorted(pairs, key=lambda pair: (-pair.rate, -pair.count))[:count]


def mistakes_as_data(predictions: Predictions, positions: Positions) -> list[dict[str, Any]]:
    """Return mistakes as plain values: the image's index, its classes, and the probabilities of both."""
    names, winners, confidence = predictions.classes, predictions.predicted, predictions.confidence
    return [
        {
            "index": int(predictions.index[at]),
            "actual": names[predictions.labels[at]],
            "predicted": names[winners[at]],
            "probability": round(float(confidence[at]), 6),
            "probability_of_actual": round(float(predictions.probabilities[at, predictions.labels[at]]), 6),
        }
        for at in positions
    ]
