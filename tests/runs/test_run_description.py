"""The description of a run: what was trained, what came out, how to repeat it, and links to its sweep and pictures."""

import dataclasses

from conftest import TINY

from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs.description import describe_run

JOB = {"sweep_id": "the-sweep", "job": "3"}
SWEEP = "[sweep the-sweep](#/experiments/{EXPERIMENT_ID}/runs/{PARENT_RUN_ID}?workflowType=machine_learning)"


def test_a_job_says_all_that_a_reader_wants_and_the_links_first():
    config = compose([*TINY, "regularization=l2_dropout", "optimizer=sgd", "optimizer.lr=0.02", "seed=7"])
    artifacts = ["config.yaml", "confusion_matrix.png", "checkpoints/best.pt"]
    text = describe_run(config, "l2=1", ["10 images"], "cifar-train a=1", JOB, "test accuracy 0.5", artifacts)
    place, result, trained, repeat = text.split("\n\n")
    assert result == "**Result**: test accuracy 0.5"
    page = "#/experiments/{EXPERIMENT_ID}/runs/{RUN_ID}/artifacts/confusion_matrix.png?workflowType=machine_learning"
    assert place == f"Job 3 of {SWEEP} · [confusion matrix]({page})"
    for words in ("ConvNet", "SGD, learning rate 0.02", "l2 0.0005, dropout", "2 epochs", "seed 7", "10 images"):
        assert words in trained
    assert repeat == "**Repeat it**: `cifar-train a=1`"


def test_a_single_run_that_trains_has_neither_sweep_nor_result():
    config = dataclasses.replace(compose([*TINY, "regularization=none"]))
    text = describe_run(config, "alone", [], "cifar-train", {})
    assert text.startswith("`alone`\n\n**Trained**")
    assert "no regularization" in text
    assert "Result" not in text
