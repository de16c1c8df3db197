"""What analysis=none, basic and full leave of a run, and that it all says the same."""

import json

import numpy as np
import pytest
from conftest import TINY
from running import JournalContents

import cifar_sweeps
from cifar_sweeps.analysis.predictions import load_predictions

DATA = {"classification_report.txt", "classification_report.json", "analysis.json", "predictions.npz"}
PICTURES = {
    "learning_curves.png",
    "confusion_matrix.png",
    "calibration.png",
    "predictions.png",
    "mistakes.png",
    "confused_pairs.png",
}
DETAILS = {"classes.png", "mistakes_by_class.png", "validation_predictions.npz"}


def train(folder, *overrides):
    config = cifar_sweeps.compose([*TINY, "tracking=none", "trainer.epochs=1", *overrides])
    return cifar_sweeps.run(config, name="a run", folder=folder, progress=False)


def files(folder):
    return {path.name for path in folder.iterdir() if path.suffix in (".png", ".npz", ".json", ".txt")}


@pytest.mark.parametrize(
    ("level", "left"),
    [
        (["analysis=none"], set()),
        (["analysis=basic"], DATA | PICTURES),
        (["analysis=full"], DATA | PICTURES | DETAILS),
        (["analysis.pictures=false"], DATA),
    ],
    ids=["none", "basic", "full", "no pictures"],
)
def test_each_level_leaves_its_files(tmp_path, level, left):
    result = train(tmp_path / "run", *level)
    assert files(tmp_path / "run") == left
    metrics = JournalContents(tmp_path / "run").metrics
    assert ("test/ece" in metrics) == ("test/brier" in metrics) == bool(left)
    assert any(name.startswith("test/recall/") for name in metrics) == bool(left)
    assert result.metrics["test/accuracy"] == metrics["test/accuracy"][-1][1]


def test_metrics_data_and_predictions_agree(tmp_path):
    result = train(tmp_path / "run", "analysis=full", "analysis.pictures=false")
    predictions = load_predictions(tmp_path / "run" / "predictions.npz")
    metrics = {name: values[-1][1] for name, values in JournalContents(tmp_path / "run").metrics.items()}
    assert predictions.accuracy == pytest.approx(result.metrics["test/accuracy"])
    for number, name in enumerate(predictions.classes):
        own = predictions.labels == number
        recall = (predictions.predicted[own] == number).mean()
        assert metrics[f"test/recall/{name}"] == pytest.approx(recall), name
    analysis = json.loads((tmp_path / "run" / "analysis.json").read_text())
    counts = np.array(analysis["confusion"]["counts"])
    assert np.trace(counts) == predictions.correct.sum()
    assert analysis["mistakes"]["count"] == (~predictions.correct).sum()
    assert sum(pair["count"] for pair in analysis["confused_pairs"]) == (~predictions.correct).sum()
    assert analysis["calibration"]["expected_calibration_error"] == metrics["test/ece"]
    assert sum(each["images"] for each in analysis["calibration"]["bins"]) == len(predictions)


def test_validation_predictions_say_which_images_they_are_of(tmp_path):
    config = cifar_sweeps.compose([*TINY, "tracking=none", "trainer.epochs=1", "analysis=full"])
    result = train(tmp_path / "run", "analysis=full", "analysis.pictures=false")
    from cifar_sweeps.runs.setup import build_setup

    setup = build_setup(config)
    predictions = load_predictions(tmp_path / "run" / "validation_predictions.npz")
    assert np.array_equal(predictions.index, setup.splits.val.numpy())
    assert np.array_equal(predictions.labels, setup.data.train.labels[setup.splits.val].numpy())
    assert predictions.accuracy == pytest.approx(result.val_accuracy)
