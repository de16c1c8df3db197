"""Calibration of a classifier: whether its probabilities are the fractions of right answers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cifar_sweeps.analysis.predictions import Predictions

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Confidence (the predicted class's probability) against accuracy, in bins of equal width over [0, 1].

    ece: expected calibration error, the mean over images of |accuracy − confidence| of their bin (Guo et al., ICML
        2017); 0 is perfect. brier: mean over images of the sum over classes of (probability − 1 if it is the label)²
        (Brier, 1950), from 0 to 2.
    counts: images of each bin. confidence, accuracy: means of each bin; NaN where it is empty.
    """

    ece: float
    brier: float
    counts: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """The bins' bounds, one more than there are bins; a bin holds its upper bound."""
        return np.linspace(0, 1, len(self.counts) + 1)


def calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """Compute the calibration of predictions, of one image or more."""
    confidence = predictions.confidence.astype(np.float64)
    correct = predictions.correct
    # The right bound belongs to a bin, so that a confidence of 1 has one.
    number = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(number, confidence, bins) / counts
        accuracy = np.bincount(number, correct, bins) / counts
    filled = counts > 0
    ece = float((counts[filled] * abs(accuracy - mean_confidence)[filled]).sum() / len(predictions))
    probabilities = predictions.probabilities.astype(np.float64)
    of_label = probabilities[np.arange(len(predictions)), predictions.labels]
    # Σ (p − y)² = Σ p² − 2 p_label + 1
    brier = float(((probabilities**2).sum(axis=1) - 2 * of_label + 1).mean())
    return Calibration(ece, brier, counts, mean_confidence, accuracy)
