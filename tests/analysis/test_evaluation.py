import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import classification_report

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


@pytest.mark.parametrize("seed", range(30))
def test_figures_by_class_and_their_table_are_those_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    count, images = int(draw.integers(2, 30)), int(draw.integers(1, 400))
    # Some classes are rare, or missing among labels or predictions.
    labels, predicted = (draw.choice(count, images, p=draw.dirichlet(np.full(count, 0.3))) for _ in range(2))
    predicted = np.where(draw.random(images) < 0.5, labels, predicted)
    classes = [f"class {number} {'x' * int(draw.integers(20))}" for number in range(count)]
    logits = torch.nn.functional.one_hot(torch.from_numpy(predicted), count).float()

    report = evaluation_report(logits, torch.from_numpy(labels), classes)

    arguments = {"labels": np.arange(count), "target_names": classes, "zero_division": 0}
    assert report.text == classification_report(labels, predicted, digits=4, **arguments)
    expected = classification_report(labels, predicted, output_dict=True, **arguments)
    assert list(report.by_class) == list(expected)
    for name, figures in expected.items():
        assert report.by_class[name] == pytest.approx(figures, rel=1e-14, abs=0), name


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
