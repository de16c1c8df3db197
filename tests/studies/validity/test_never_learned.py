"""Nets that never learned are found, and counted in both ways."""

import math

import pytest
from made_runs import make_run

from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.ranking import rank_arms
from cifar_sweeps.studies.reports.report_tables import ranking_table
from cifar_sweeps.studies.validity.never_learned import never_learned, warning
from cifar_sweeps.studies.verdicts import evaluate_claims

TAGS = {"classes": "10", "train_images": "10000"}


@pytest.mark.parametrize(
    ("metrics", "tags", "guesses"),
    [
        ({"train__accuracy": 0.1, "train__loss": 2.31}, TAGS, True),
        ({"train__accuracy": 0.1 + 2.9 * 0.003}, TAGS, True),  # the standard error is .003
        ({"train__accuracy": 0.1 + 3.1 * 0.003}, TAGS, False),
        ({"train__accuracy": 0.0945, "train__loss": 2.3027}, TAGS, True),
        ({"train__accuracy": 0.13, "train__loss": math.log(10)}, TAGS, True),
        ({"train__accuracy": 0.13, "train__loss": 2.25}, TAGS, False),
        ({"train__accuracy": 0.5, "train__loss": 0.7}, {"classes": "2", "train_images": "100"}, True),
        ({"train__accuracy": 0.7, "train__loss": 0.6}, {"classes": "2", "train_images": "100"}, False),
        ({"train__accuracy": 0.1, "train__loss": 2.31}, {}, False),  # not known
        ({}, TAGS, False),
    ],
)
def test_a_net_that_guesses_after_its_last_epoch_never_learned(metrics, tags, guesses):
    assert never_learned(make_run("a", tags=tags, **metrics)) == guesses


def test_a_run_that_was_stopped_is_not_judged():
    assert not never_learned(make_run("a", tags=TAGS, state="killed", train__accuracy=0.1))


@pytest.fixture
def runs():
    """Five seeds of two arms, of which one collapsed, as once in a measured study."""
    good = [0.68, 0.70, 0.69, 0.71, 0.70]
    first = [(val, val + 0.1) for val in [*good[:4], 0.1]]
    first[4] = (0.1, 0.0945)
    second = [(val - 0.05, val) for val in good]
    return [
        make_run(arm, seed, {"experiment": arm}, {**TAGS, "data": "CIFAR-10"}, val__accuracy=val, train__accuracy=train)
        for arm, values in (("A", first), ("B", second))
        for seed, (val, train) in enumerate(values)
    ]


def test_tables_have_the_arm_with_it_and_without_it(runs):
    rows = {row[0]: (row[1], row[2]) for row in ranking_table(rank_arms(runs)).rows}
    assert rows["A, 1 of 5 never learned"][0] == "5"
    assert rows["A, without the runs that never learned"] == ("4", "0.6950 ± 0.0205")
    assert set(rows) == {"A, 1 of 5 never learned", "A, without the runs that never learned", "B"}
    assert "1 run with the training accuracy of guessing: A (1 of 5: seed 4)" in warning(runs)
    assert warning(runs[5:]) == ""


def test_a_verdict_that_rests_on_it_says_so_and_what_it_is_without(runs):
    claims = read_claims(
        [{"says": "A", "where": "d", "metric": "val/accuracy", "arm": "A", "against": "B", "expects": "higher"}]
    )
    (result,) = evaluate_claims(claims, runs, {})
    assert result.effect.n == 5
    assert result.verdict.startswith(
        "not decided by this much data with 1 of 5 that never learned; without: agrees, +0.05"
    )
