"""Planted predictions whose counts, order and figures are known."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from cifar_sweeps.analysis.comparison.class_figures import FIGURES, class_figures
from cifar_sweeps.analysis.comparison.disagreements import combine, disagreements, images_half_width
from cifar_sweeps.analysis.predictions import Predictions
from cifar_sweeps.errors import DataError

CLASSES = ("cat", "dog", "ship")


def made(labels, predicted, confidence=None, classes=CLASSES):
    """Predictions of these classes, each with its confidence (0.8), the rest spread evenly."""
    labels, predicted = np.array(labels), np.array(predicted)
    sure = np.full(len(labels), 0.8) if confidence is None else np.array(confidence)
    probabilities = np.repeat((1 - sure)[:, None] / (len(classes) - 1), len(classes), axis=1)
    probabilities[np.arange(len(labels)), predicted] = sure
    return Predictions(np.arange(len(labels)), labels, probabilities.astype(np.float32), classes)


def test_the_images_that_one_has_right_are_found_the_surest_first():
    labels = [0, 0, 1, 1, 2, 2]
    first = combine([made(labels, [0, 0, 1, 0, 2, 0], [0.9, 0.9, 0.6, 0.9, 0.99, 0.9])])
    second = combine([made(labels, [0, 1, 2, 0, 0, 2], [0.9, 0.7, 0.99, 0.9, 0.9, 0.9])])
    found = disagreements(first, second)
    assert (found.both, found.neither, found.undecided) == (1, 1, 0)
    # Sure together: image 4 by min(.99, .9), 1 by min(.9, .7), 2 by min(.6, .99).
    assert found.first_only.tolist() == [4, 1, 2]
    assert found.second_only.tolist() == [5]


def test_of_several_runs_most_decide_and_all_go_first():
    labels = [0, 0, 0, 0]
    first = combine([made(labels, [0, 0, 0, 1]), made(labels, [0, 0, 1, 1]), made(labels, [0, 1, 0, 0])])
    second = combine([made(labels, [1, 1, 1, 0]), made(labels, [1, 1, 0, 1])])
    assert first.right.tolist() == pytest.approx([1, 2 / 3, 2 / 3, 1 / 3])
    found = disagreements(first, second)
    assert found.first_only.tolist() == [0, 1]
    assert found.second_only.tolist() == []
    assert found.undecided == 2  # the second side is divided on the last two
    assert first.predicted.tolist() == [0, 0, 0, 1]


def test_the_images_part_of_a_difference_is_the_spread_over_the_images():
    labels = np.zeros(6, int)
    first = combine([made(labels, [0, 0, 0, 0, 1, 1]), made(labels, [0, 0, 1, 1, 1, 1])])
    second = combine([made(labels, [0, 1, 1, 0, 1, 0])])
    apart = np.array([0, 1, 0.5, -0.5, 0, -1])
    assert images_half_width(first, second) == pytest.approx(1.959964 * apart.std(ddof=1) / np.sqrt(6), rel=1e-6)


@pytest.mark.parametrize("what", ["labels", "classes", "number"])
def test_other_images_are_not_taken_together(what):
    one = made([0, 1, 2], [0, 1, 1])
    other = {
        "labels": made([0, 2, 1], [0, 1, 1]),
        "classes": made([0, 1, 2], [0, 1, 1], classes=("a", "b", "c")),
        "number": made([0, 1], [0, 1]),
    }[what]
    with pytest.raises(DataError, match="not of the same images"):
        combine([one, other])
    with pytest.raises(DataError, match="not of the same images"):
        disagreements(combine([one]), combine([other]))


def test_figures_of_classes_are_scikit_learns():
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 5, 300)  # of seven classes two have no image
    predicted = np.where(generator.random(300) < 0.6, labels, generator.integers(0, 6, 300))
    found = class_figures(labels, predicted, 7)
    wanted = precision_recall_fscore_support(labels, predicted, labels=range(7), zero_division=0)
    for figure, values in zip(FIGURES, wanted, strict=False):
        assert found[figure] == pytest.approx(values)
    assert found.images.tolist() == wanted[3].tolist()
