"""Out-of-sample predictions, suspects and their scores, against plain counts and planted errors."""

import sys

import numpy as np
import pytest
from analysis.made_predictions import drawn

from cifar_sweeps.analysis.label_errors import out_of_sample, score_suspects, suspected_labels
from cifar_sweeps.analysis.predictions import Predictions
from cifar_sweeps.errors import ConfigError, DataError


def test_an_image_that_several_networks_predicted_gets_their_mean():
    whole = [drawn(images=60, seed=seed) for seed in (0, 1, 2)]
    labels = whole[0].labels
    parts = []
    for each, kept in zip(whole, ([3, 9, 20], [9, 40], [20, 9]), strict=True):
        parts.append(Predictions(np.array(kept), labels[kept], each.probabilities[kept], each.classes))
    joined = out_of_sample(parts)
    assert joined.predictions.index.tolist() == [3, 9, 20, 40]
    assert joined.times.tolist() == [1, 3, 2, 1]
    assert joined.predictions.labels.tolist() == labels[[3, 9, 20, 40]].tolist()
    mean = np.mean([each.probabilities[9] for each in whole], axis=0)
    assert joined.predictions.probabilities[1] == pytest.approx(mean, abs=1e-6)


def planted(images=1000, classes=5, wrong=100):
    draw = np.random.default_rng(0)
    truth = draw.integers(0, classes, images)
    labels = truth.copy()
    labels[:wrong] = (truth[:wrong] + draw.integers(1, classes, wrong)) % classes
    probabilities = draw.dirichlet(np.full(classes, 0.3), images) * 0.3
    probabilities[np.arange(images), truth] += 0.7
    names = tuple(f"class {number}" for number in range(classes))
    return Predictions(np.arange(images), labels, probabilities.astype(np.float32), names), truth


def test_planted_errors_are_found_by_a_network_that_knows_better():
    predictions, truth = planted()
    suspects = suspected_labels(predictions)
    scores = score_suspects(predictions, suspects, truth)
    hits = sum(1 for at in suspects if predictions.labels[at] != truth[at])
    assert scores.wrong == 100
    assert (scores.precision, scores.recall) == (hits / len(suspects), hits / 100)
    assert scores.precision > 0.95
    assert scores.recall > 0.9
    of_label = predictions.probabilities[suspects, predictions.labels[suspects]]
    assert list(of_label) == sorted(of_label)  # the least probable labels first


def test_without_cleanlab_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(ConfigError, match=r"cifar-sweeps\[labels\]"):
        suspected_labels(planted()[0])


def test_what_cleanlab_refuses_is_one_error(monkeypatch):
    import cleanlab.filter

    def refuse(*_args, **_kwargs):
        raise ValueError("some class has no image")

    monkeypatch.setattr(cleanlab.filter, "find_label_issues", refuse)
    with pytest.raises(DataError, match=r"some class has no image.*data\.split=fold"):
        suspected_labels(planted()[0])
