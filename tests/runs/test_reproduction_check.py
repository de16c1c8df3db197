"""What the last line of a reproduction says, and its exit status."""

import pytest

from cifar_sweeps.runs.reproduce import fill_missing_keys
from cifar_sweeps.runs.reproduction_check import Tolerance, compare_runs

THEN = {"threads": "1", "precision": "fp32", "version.torch": "2.6.0", "cpu": "a"}
RECORDED = {
    ("train/loss", 1): 2.0,
    ("train/loss", 2): 1.0,
    ("val/accuracy", 1): 0.5,
    ("val/accuracy", 2): 0.6,
}


def judged(changes, tags=THEN):
    return compare_runs(RECORDED, {**RECORDED, **changes}, THEN, tags, Tolerance(accuracy=0.03, loss=0.1))


def test_the_same_figures_are_bit_identical_whatever_the_surroundings():
    answer = judged({}, {**THEN, "threads": "2"})
    assert (answer.text, answer.holds) == ("bit-identical", True)


def test_a_last_bit_is_a_difference_and_within_tolerance():
    answer = judged({("train/loss", 2): 1.0 + 2**-52}, {**THEN, "version.torch": "2.14.1", "threads": "2"})
    assert answer.holds
    assert answer.text.startswith("within tolerance: figures differ from epoch 2, train/loss by at most 0.0000")
    assert answer.text.endswith("differs: threads 1 then, 2 now; torch 2.6.0 then, 2.14.1 now")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({("val/accuracy", 1): 0.54}, "different from epoch 1: val/accuracy 0.5 then, 0.54 now"),
        ({("train/loss", 2): 1.2}, "different from epoch 2: train/loss 1 then, 1.2 now"),
        ({("val/accuracy", 2): float("nan")}, "different from epoch 2: val/accuracy 0.6 then, nan now"),
    ],
    ids=["accuracy", "loss", "nan"],
)
def test_beyond_the_tolerance_it_is_another_run(change, words):
    answer = judged(change)
    assert not answer.holds
    assert answer.text.startswith(words)
    assert "nothing that was recorded" in answer.text


def test_an_epoch_that_the_repetition_lacks_is_a_difference():
    short = {key: value for key, value in RECORDED.items() if key[1] == 1}
    answer = compare_runs(RECORDED, short, THEN, THEN, Tolerance())
    assert not answer.holds
    assert answer.text.startswith("different from epoch 2")


def test_epochs_after_a_stopped_record_are_not_compared():
    answer = compare_runs(RECORDED, {**RECORDED, ("train/loss", 3): 0.5}, THEN, THEN, Tolerance())
    assert answer.text == "bit-identical in the 2 epochs that are on record"


def test_a_record_from_before_a_key_was_added_is_understood():
    now = {"trainer": {"epochs": 10, "parts": 1}, "model": {"_target_": "a", "x": 1}, "seed": 0, "claims": []}
    then = {"trainer": {"epochs": 3}, "model": {"_target_": "b"}, "seed": 5}
    assert fill_missing_keys(then, now) == {
        "trainer": {"epochs": 3, "parts": 1},
        "model": {"_target_": "b"},
        "seed": 5,
        "claims": [],
    }
