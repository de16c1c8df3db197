"""Claims about seconds rest on arms that were timed in turn, and on nothing else."""

import pytest

from cifar_sweeps.errors import DataError
from cifar_sweeps.reference.seconds import measure, timed_pairs
from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.validity.timings import NAME, TimedPair, read_timings, write_timings
from cifar_sweeps.studies.verdicts import evaluate_claims

PAIR = ("lenet_report/model_2", "lenet_report/model_1")


def test_the_pairs_are_those_of_the_claims():
    assert timed_pairs(["depth"]) == [PAIR, ("lenet_report/model_3", "lenet_report/model_2")]


def test_two_arms_are_timed_in_turn_and_what_was_timed_before_is_kept(tmp_path):
    folder, told = tmp_path / "reference", []
    write_timings(folder / NAME, [TimedPair("a", "b", ((1.0, 2.0),), "by hand")])
    (pair,) = measure([PAIR], folder, told.append, rounds=2, images=64, overrides=["model.dense=[8]"])
    assert len(pair.rounds) == 2
    assert all(seconds > 0 for each in pair.rounds for seconds in each)
    assert "an epoch of 64 drawn images, 2 rounds in turn" in pair.how
    assert told[0].startswith("lenet_report/model_2 against lenet_report/model_1: ")
    assert set(read_timings(tmp_path)) == {PAIR, ("a", "b")}


def test_an_arm_that_cannot_be_built_here_is_told(tmp_path):
    told, missing = [], ["model.weights=/no/such/file.pth"]
    assert measure([("case_study/model_4", "case_study/model_4")], tmp_path, told.append, 1, 64, missing) == []
    assert "cannot be timed here" in told[0]


@pytest.mark.parametrize(
    ("rounds", "verdict"),
    [
        (((2.0, 1.0), (2.1, 1.0), (2.2, 1.1)), "agrees"),
        (((1.0, 2.0), (1.0, 2.1), (1.1, 2.2)), "contradicts"),
        (((1.0, 1.1), (1.1, 1.0), (1.0, 1.0)), "not decided by this much data"),
    ],
)
def test_a_claim_about_seconds_is_judged_by_the_quiet_measurement(rounds, verdict):
    entry = {
        "says": "augmentation costs time",
        "where": "document",
        "metric": "seconds_an_epoch",
        "arm": PAIR[0],
        "against": PAIR[1],
        "expects": "higher",
    }
    quiet = {PAIR: TimedPair(*PAIR, rounds, "here")}
    (result,) = evaluate_claims(read_claims([entry]), [], {}, None, quiet)
    assert result.verdict == verdict
    assert result.setting == "measured quietly, relative: here"


def test_a_damaged_file_is_one_error(tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / NAME).write_text("{}x")
    with pytest.raises(DataError, match="remove it, and measure again"):
        read_timings(tmp_path)
