"""Calibration against its definitions, written out image by image."""

import math

import numpy as np
import pytest
from analysis.made_predictions import drawn

from cifar_sweeps.analysis.calibration import calibration
from cifar_sweeps.analysis.predictions import Predictions


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_expected_calibration_error_is_its_definition(bins):
    predictions = drawn()
    groups = {}
    for row, label in zip(predictions.probabilities, predictions.labels, strict=True):
        number = max(math.ceil(float(row.max()) * bins), 1)
        groups.setdefault(number, []).append((float(row.max()), row.argmax() == label))
    expected = sum(abs(sum(right for _, right in group) - sum(each for each, _ in group)) for group in groups.values())
    measured = calibration(predictions, bins)
    assert measured.ece == pytest.approx(expected / len(predictions), abs=1e-9)
    assert {at + 1: count for at, count in enumerate(measured.counts) if count} == {
        number: len(group) for number, group in groups.items()
    }


def test_brier_score_is_its_definition():
    predictions = drawn()
    expected = [
        sum((float(p) - (number == label)) ** 2 for number, p in enumerate(row))
        for row, label in zip(predictions.probabilities, predictions.labels, strict=True)
    ]
    assert calibration(predictions).brier == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "ece", "brier"),
    [([[1, 0], [0, 1]], 0, 0), ([[0, 1], [1, 0]], 1, 2), ([[0.5, 0.5], [0.5, 0.5]], 0, 0.5)],
    ids=["all right", "all wrong", "undecided"],
)
def test_ends_of_the_scale(probabilities, ece, brier):
    predictions = Predictions(np.arange(2), np.array([0, 1]), np.array(probabilities, dtype=np.float32), ("a", "b"))
    measured = calibration(predictions)
    assert (measured.ece, measured.brier) == (ece, brier)
    assert measured.counts.sum() == 2
