"""Intervals, verdicts and comparisons with published metrics, on constructed runs."""

import dataclasses
import datetime

import pytest

from cifar_sweeps.studies.arms import arm_name, equal_values, swept_values
from cifar_sweeps.studies.claims import merge_claims, read_claims
from cifar_sweeps.studies.histories import add_derived_metrics
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.pooling import name_arms
from cifar_sweeps.studies.published import compare_with_published, published_values
from cifar_sweeps.studies.reports import markdown
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.studies.validity.expected_effects import judge_effect
from cifar_sweeps.studies.verdicts import evaluate_claims

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def a_run(arm, seed, accuracy, budget="full", sweep_id="s", **swept):
    values = {"experiment": arm, **{key.replace("__", "."): value for key, value in swept.items()}, "seed": str(seed)}
    tags = {"cifar_sweeps.budget": budget, "cifar_sweeps.sweep_id": sweep_id}
    metrics = {"val/accuracy": accuracy, "val/loss": 1 - accuracy}
    name = arm_name(values, "one setting")
    return StudyRun(f"{name}-{seed}", name, "finished", values, "", name, metrics, {"seed": str(seed)}, tags, NOW, 1.0)


def claim(**changes):
    plain = {"says": "A beats B", "metric": "val/accuracy", "arm": "A", "against": "B", "expects": "higher"}
    (parsed,) = read_claims([{**plain, **changes}])
    return parsed


def test_the_interval_is_students_t():
    interval = estimate([0.70, 0.73, 0.71])
    # Table of t: 4.3027 for two degrees of freedom; the standard deviation is 0.0152753.
    assert interval.mean == pytest.approx(0.7133333)
    assert interval.half_width == pytest.approx(4.302653 * 0.01527525 / 3**0.5)
    assert interval.n == 3
    assert estimate([0.5]) == Estimate(0.5, None, 1)
    assert estimate([None, float("nan")]) is None


@pytest.mark.parametrize(
    ("mean", "half", "expects", "verdict"),
    [
        (0.05, 0.02, "higher", "agrees"),
        (-0.05, 0.02, "higher", "contradicts"),
        (0.01, 0.02, "higher", "not decided by this much data"),
        (-0.05, 0.02, "lower", "agrees"),
        (0.05, 0.02, "lower", "contradicts"),
        (0.002, 0.005, "same", "agrees"),
        (0.05, 0.02, "same", "contradicts"),
        (-0.05, 0.02, "same", "contradicts"),
        (0.005, 0.02, "same", "not decided by this much data"),
        (-0.05, 0.02, "not_higher", "agrees"),
        (0.05, 0.02, "not_higher", "contradicts"),
        (0.0, 0.02, "not_higher", "not decided by this much data"),
        (0.005, 0.002, "not_higher", "agrees"),
        (0.05, 0.02, "not_lower", "agrees"),
        (-0.05, 0.02, "not_lower", "contradicts"),
        (0.0, 0.02, "not_lower", "not decided by this much data"),
        (-0.005, 0.002, "not_lower", "agrees"),
        (0.05, None, "higher", "not decided: one seed"),
    ],
)
def test_verdicts(mean, half, expects, verdict):
    assert judge_effect(Estimate(mean, half, 3), expects, 0.01) == verdict


def test_the_effect_is_paired_by_seed():
    runs = [a_run("A", 0, 0.70), a_run("A", 1, 0.83), a_run("A", 2, 0.99), a_run("B", 0, 0.60), a_run("B", 1, 0.70)]
    (result,) = evaluate_claims([claim()], runs, {})
    # 0.10 and 0.13; seed 2 has no partner. t is 12.7062 for one degree of freedom.
    assert result.effect.mean == pytest.approx(0.115)
    assert result.effect.half_width == pytest.approx(12.7062 * 0.0212132 / 2**0.5, rel=1e-4)
    assert result.effect.n == 2
    assert result.verdict == "not decided by this much data"


def test_a_claim_has_one_result_per_setting_that_it_leaves_open():
    runs = [
        a_run(arm, seed, {"A": 0.7, "B": 0.6}[arm] + 0.01 * seed * (arm == "A"), trainer__parts=parts)
        for arm in "AB"
        for seed in (0, 1, 2)
        for parts in ("1", "4")
    ]
    results = evaluate_claims([claim()], runs, {})
    assert [(result.setting, result.effect.n) for result in results] == [("parts=1", 3), ("parts=4", 3)]


def test_a_claim_between_settings_of_one_key():
    runs = [a_run("A", seed, 0.7 + 0.1 * (parts == "4"), trainer__parts=parts) for seed in (0, 1) for parts in "14"]
    (result,) = evaluate_claims([claim(arm={"trainer.parts": 4}, against={"trainer.parts": 1})], runs, {})
    assert result.setting == "A"
    assert result.effect.mean == pytest.approx(0.1)
    assert result.verdict == "agrees"


def test_a_claim_against_a_number_and_at_an_epoch():
    runs = [a_run("A", seed, 0.7) for seed in (0, 1)]
    (result,) = evaluate_claims([claim(against=None, than=0.75, expects="lower")], runs, {})
    assert (result.effect.mean, result.verdict) == (pytest.approx(-0.05), "agrees")
    histories = {run.run_id: {"val/accuracy": {1: 0.5, 2: 0.6 + 0.01 * n}} for n, run in enumerate(runs)}
    (result,) = evaluate_claims([claim(against="A", at=2, against_at=1)], runs, histories)
    assert result.effect.mean == pytest.approx(0.105)


def test_a_claim_against_a_number_uses_the_metric_of_its_epoch():
    runs = [a_run("A", seed, 0.9) for seed in (0, 1)]
    histories = {run.run_id: {"val/accuracy": {1: 0.5, 2: 0.6, 3: 0.9}} for run in runs}
    (result,) = evaluate_claims([claim(against=None, than=0.55, at=2)], runs, histories)
    assert result.effect.mean == pytest.approx(0.05)


def test_a_gap_at_an_epoch_has_the_sign_of_the_gap_at_the_end():
    runs = [a_run("A", seed, 0.7) for seed in (0, 1)]
    metrics = {"train/accuracy": 0.9, "val/accuracy": 0.7, "train/loss": 0.2, "val/loss": 0.5}
    histories = {run.run_id: {name: {1: value} for name, value in metrics.items()} for run in runs}
    at_the_end = add_derived_metrics(metrics, {}, finished=True)
    for gap, expected in (("gap/accuracy", 0.2), ("gap/loss", 0.3)):
        (result,) = evaluate_claims([claim(metric=gap, against=None, than=0, at=1)], runs, histories)
        assert result.effect.mean == pytest.approx(expected)
        assert at_the_end[gap] == pytest.approx(expected)


def test_a_run_that_did_not_finish_has_no_gap():
    assert add_derived_metrics({"train/accuracy": 0.9, "val/accuracy": 0.7}, {}, finished=False).keys() == {
        "train/accuracy",
        "val/accuracy",
    }


def test_an_arm_can_be_selected_by_a_key_that_its_sweep_does_not_vary():
    runs = [
        dataclasses.replace(run, params={**run.params, "optimizer.lr": rate})
        for rate, accuracy in (("0.1", 0.7), ("0.01", 0.6))
        for run in [a_run("A", seed, accuracy) for seed in (0, 1)]
    ]
    (result,) = evaluate_claims([claim(arm={"optimizer.lr": 1e-1}, against={"optimizer.lr": 0.01})], runs, {})
    assert result.effect.mean == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("runs", "changes", "verdict"),
    [
        ([a_run("A", 0, 0.7)], {}, "not measured: no finished run of B"),
        ([a_run("A", 0, 0.7), a_run("B", 1, 0.6)], {}, "not measured: no seed in common"),
        ([a_run("A", 0, 0.7), a_run("B", 0, 0.6)], {"metric": "test/loss"}, "not measured: test/loss is not recorded"),
        ([a_run("A", 0, 0.7), a_run("B", 0, 0.6)], {}, "not decided: one seed"),
        (
            [a_run(arm, seed, 0.7, "short: 3 of 9 epochs") for arm in "AB" for seed in (0, 1)],
            {"needs_full_budget": True},
            "not decided: needs the full budget",
        ),
        (
            [
                a_run(arm, seed, 0.7, "full" if arm == "A" else "short: 3 of 9 epochs")
                for arm in "AB"
                for seed in (0, 1)
            ],
            {"needs_full_budget": True},
            "not decided: needs the full budget",
        ),
    ],
    ids=["missing arm", "no pair", "no metric", "one seed", "short budget", "short budget of the other side"],
)
def test_why_a_claim_is_not_decided(runs, changes, verdict):
    (result,) = evaluate_claims([claim(**changes)], runs, {})
    assert result.verdict == verdict


def test_a_claim_of_several_configs_counts_once_with_the_epochs_of_its_arm():
    plain = {"says": "later is better", "metric": "val/accuracy", "arm": "A", "against": "A", "expects": "higher"}
    configs = {"B": {"claims": [{**plain, "at": 7}]}, "A": {"claims": [{**plain, "at": 9}]}}
    (found,) = merge_claims(configs, [a_run("A", 0, 0.7), a_run("B", 0, 0.7)])
    assert found.at == 9


def test_published_metrics_are_compared_at_their_epoch():
    runs = [a_run("A", seed, 0.7 + 0.02 * seed) for seed in (0, 1)]
    histories = {run.run_id: {"train/loss": {1: 1.0, 2: 0.9}, "val/loss": {1: 0.9, 2: 0.3}} for run in runs}
    plain = [
        {"metric": "val/objective", "value": 0.5, "where": "p. 1"},
        {"metric": "val/loss", "value": 0.8, "where": "p. 2", "epoch": 1},
        {"metric": "val/loss", "value": 0.8, "where": "p. 3", "epoch": 9},
    ]
    final, first, never = compare_with_published(runs, histories, {"A": {"published": plain}})
    assert final.measured.mean == pytest.approx(0.29)  # without a penalty the objective is the loss
    assert final.difference == pytest.approx(-0.21)
    assert first.difference == pytest.approx(0.1)
    assert never.measured is None
    (point,) = published_values([{"metric": "val/accuracy", "values": [0.1, 0.2, 0.3], "where": ""}], epochs=2)
    assert (point.value, point.epoch, point.last_epoch) == (0.2, 2, 3)


def test_arm_names():
    swept = {"trainer.parts": "4", "experiment": "lenet_report/dropout", "seed": "1"}
    assert arm_name(swept, "") == "lenet_report/dropout parts=4"
    assert arm_name({"seed": "1"}, "one setting") == "one setting"
    assert equal_values("0.0001", 1e-4)
    assert equal_values("true", True)
    assert not equal_values(None, 1)
    single = {"p.overrides": "experiment=a seed=3 trainer.threads=1 'optimizer.lr=0.1'"}
    assert swept_values(single, "p.", "a") == {"experiment": "a", "optimizer.lr": "0.1"}


@pytest.mark.parametrize(
    ("recorded", "wanted", "is_equal"),
    [("1e-4", 0.0001, True), ("0.10", 0.1, True), ("4", 4.0, True), ("0.1", 0.01, False), ("k3", "k5", False)],
)
def test_values_are_equal_if_their_numbers_are_however_they_are_written(recorded, wanted, is_equal):
    assert equal_values(recorded, wanted) == is_equal


def test_budgets_separate_the_runs_of_an_arm_only_between_sweeps():
    full, short = a_run("A", 0, 0.7), a_run("A", 0, 0.5, "short: 3 of 9 epochs", "t")
    assert [run.arm for run in name_arms([full, short])] == ["A [full]", "A [short]"]
    assert [run.arm for run in name_arms(name_arms([full, short])[:1])] == ["A"]
    other = a_run("A", 0, 0.5, "short: 4 of 9 epochs", "u")
    assert [run.arm for run in name_arms([short, other])] == ["A [short: 3 of 9 epochs]", "A [short: 4 of 9 epochs]"]
    different_arms = [a_run("A", 0, 0.5, "short: 3 of 9 epochs"), a_run("B", 0, 0.5, "short: 4 of 12 epochs")]
    assert [run.arm for run in name_arms(different_arms)] == ["A", "B"]


def test_markdown_escapes_user_text():
    assert markdown.escape("a | b\n<script> [x](y) *z*") == r"a \| b &lt;script&gt; \[x\](y) \*z\*"
