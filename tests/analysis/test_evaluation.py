import math
import warnings

import numpy as np
import pytest
import torch

from cifar_sweeps.analysis.evaluation import confusion_matrix, evaluation_report
from cifar_sweeps.errors import ConfigError, DataError

CLASSES = ("cat", "dog", "ship")


def logits_for(predicted, margin=4.0):
    """Logits (N, 3) with the highest at ``predicted``, above the others by ``margin``."""
    return margin * torch.nn.functional.one_hot(torch.tensor(predicted), 3).float()


def test_metrics_of_six_images_match_a_computation_by_hand():
    report = evaluation_report(logits_for([0, 0, 1, 1, 1, 2]), torch.tensor([0, 0, 0, 1, 2, 2]), CLASSES)

    assert report.accuracy == pytest.approx(4 / 6)
    right, wrong = -math.log(math.exp(4) / (math.exp(4) + 2)), -math.log(1 / (math.exp(4) + 2))
    assert report.loss == pytest.approx((4 * right + 2 * wrong) / 6)
    assert report.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 1, 1]]
    assert report.predicted.tolist() == [0, 0, 1, 1, 1, 2]
    assert report.probability.tolist() == pytest.approx([math.exp(-right)] * 6)
    assert report.by_class["dog"] == pytest.approx({"precision": 1 / 3, "recall": 1, "f1-score": 0.5, "support": 1})
    assert report.by_class["cat"]["recall"] == pytest.approx(2 / 3)
    assert report.by_class["accuracy"] == pytest.approx(4 / 6)


def test_text_has_a_line_for_every_class():
    report = evaluation_report(logits_for([0, 1, 2]), torch.tensor([0, 1, 2]), CLASSES)

    names = [line.split()[0] for line in report.text.splitlines() if line]
    assert [name for name in names if name in CLASSES] == list(CLASSES)
    assert "1.0000" in report.text


@pytest.mark.parametrize(
    ("predicted", "labels", "absent"),
    [
        pytest.param([0, 1, 0], [0, 1, 1], "ship", id="neither labelled nor predicted"),
        pytest.param([0, 2, 0], [0, 1, 1], "ship", id="never labelled"),
        pytest.param([0, 0, 0], [0, 1, 2], "dog", id="never predicted"),
    ],
)
def test_absent_class_scores_zero_without_a_warning(predicted, labels, absent):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluation_report(logits_for(predicted), torch.tensor(labels), CLASSES)

    assert report.by_class[absent]["precision"] == report.by_class[absent]["recall"] == 0
    assert report.confusion.shape == (3, 3)
    assert report.confusion.sum() == 3


def test_agrees_with_counting_one_by_one():
    generator = torch.Generator().manual_seed(0)
    labels, predicted = torch.randint(5, (2, 300), generator=generator)

    expected = np.zeros((5, 5), dtype=np.int64)
    for actual, guess in zip(labels.tolist(), predicted.tolist(), strict=True):
        expected[actual, guess] += 1

    assert (confusion_matrix(labels, predicted, 5) == expected).all()


def test_bf16_logits_with_a_gradient_are_accepted():
    logits = logits_for([0, 1]).bfloat16().requires_grad_()

    assert evaluation_report(logits, torch.tensor([0, 1]), CLASSES).accuracy == 1


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        pytest.param(torch.zeros(2, 12), [0, 1], ConfigError, "model.num_classes=3", id="other classes"),
        pytest.param(torch.zeros(2, 3), [0], DataError, "one label for each", id="too few labels"),
        pytest.param(torch.zeros(0, 3), [], DataError, "at least one image", id="no image"),
        pytest.param(torch.zeros(2, 3), [0, 3], DataError, "labels from 0 to 3", id="label out of range"),
        pytest.param(torch.zeros(2, 3), [-1, 0], DataError, "labels from -1 to 0", id="negative label"),
    ],
)
def test_invalid_logits_and_labels_are_refused(logits, labels, error, message):
    with pytest.raises(error, match=message):
        evaluation_report(logits, torch.tensor(labels, dtype=torch.int64), CLASSES)
