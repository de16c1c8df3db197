"""The verdict of a reproduction: its text and exit status."""

import pytest

from cifar_sweeps.runs.recorded import fill_missing_keys
from cifar_sweeps.runs.reproduction_check import Tolerance, compare_runs

THEN = {"threads": "1", "precision": "fp32", "version.torch": "2.6.0", "cpu": "a"}
RECORDED = {
    ("train/loss", 1): 2.0,
    ("train/loss", 2): 1.0,
    ("val/accuracy", 1): 0.5,
    ("val/accuracy", 2): 0.6,
}


def compare(changes, tags=THEN):
    return compare_runs(RECORDED, {**RECORDED, **changes}, THEN, tags, Tolerance(accuracy=0.03, loss=0.1))


def test_equal_metrics_are_bit_identical_in_any_environment():
    verdict = compare({}, {**THEN, "threads": "2"})
    assert (verdict.text, verdict.holds) == ("bit-identical", True)


def test_a_last_bit_is_a_difference_within_tolerance():
    verdict = compare({("train/loss", 2): 1.0 + 2**-52}, {**THEN, "version.torch": "2.14.1", "threads": "2"})
    assert verdict.holds
    assert verdict.text.startswith("within tolerance: metrics differ from epoch 2, train/loss by at most 0.0000")
    assert verdict.text.endswith("differs: threads 1 then, 2 now; torch 2.6.0 then, 2.14.1 now")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({("val/accuracy", 1): 0.54}, "different from epoch 1: val/accuracy 0.5 then, 0.54 now"),
        ({("train/loss", 2): 1.2}, "different from epoch 2: train/loss 1 then, 1.2 now"),
        ({("val/accuracy", 2): float("nan")}, "different from epoch 2: val/accuracy 0.6 then, nan now"),
    ],
    ids=["accuracy", "loss", "nan"],
)
def test_beyond_the_tolerance_the_runs_are_different(change, text):
    verdict = compare(change)
    assert not verdict.holds
    assert verdict.text.startswith(text)
    assert "nothing in the recorded environment" in verdict.text


def test_of_several_metrics_beyond_the_tolerance_the_text_names_that_of_the_earliest_epoch():
    verdict = compare({("train/loss", 2): 1.5, ("val/accuracy", 1): 0.6, ("val/accuracy", 2): 0.7})
    assert verdict.text.startswith("different from epoch 1: val/accuracy 0.5 then, 0.6 now")


def test_within_tolerance_the_text_names_the_first_differing_epoch_and_the_accuracy_that_differs_most():
    verdict = compare({("val/accuracy", 1): 0.51, ("val/accuracy", 2): 0.62, ("train/loss", 2): 1.05})
    assert verdict.holds
    assert verdict.text.startswith("within tolerance: metrics differ from epoch 1, val/accuracy by at most 0.0200")


def test_the_tolerance_is_relative_for_losses_and_absolute_for_accuracies():
    tolerance = Tolerance(accuracy=0.03, loss=0.1)
    assert tolerance.holds("val/loss", 0.02, 0.0215)
    assert not tolerance.holds("val/loss", 0.02, 0.03)
    assert tolerance.holds("val/accuracy", 0.02, 0.045)
    assert not tolerance.holds("val/accuracy", 0.9, 0.86)


def test_a_missing_epoch_is_a_difference():
    short = {key: value for key, value in RECORDED.items() if key[1] == 1}
    verdict = compare_runs(RECORDED, short, THEN, THEN, Tolerance())
    assert not verdict.holds
    assert verdict.text.startswith("different from epoch 2")


def test_epochs_after_the_recorded_ones_are_not_compared():
    verdict = compare_runs(RECORDED, {**RECORDED, ("train/loss", 3): 0.5}, THEN, THEN, Tolerance())
    assert verdict.text == "bit-identical in the 2 recorded epochs"


def test_a_config_recorded_before_a_key_was_added_is_valid():
    now = {"trainer": {"epochs": 10, "parts": 1}, "model": {"_target_": "a", "x": 1}, "seed": 0, "claims": []}
    then = {"trainer": {"epochs": 3}, "model": {"_target_": "b"}, "seed": 5}
    assert fill_missing_keys(then, now) == {
        "trainer": {"epochs": 3, "parts": 1},
        "model": {"_target_": "b"},
        "seed": 5,
        "claims": [],
    }
