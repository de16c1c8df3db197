"""Which runs of an arm count, and how the arms are ranked by them; on constructed runs."""

import dataclasses

import pytest
from test_claims import a_run

from cifar_sweeps.studies.ranking import rank_arms
from cifar_sweeps.studies.study import Study


def with_metrics(run, **metrics):
    return dataclasses.replace(run, metrics={key.replace("__", "/"): value for key, value in metrics.items()})


def with_tags(run, **tags):
    return dataclasses.replace(run, tags={**run.tags, **{f"cifar_sweeps.{key}": value for key, value in tags.items()}})


def test_arms_are_ranked_by_their_final_validation_accuracy_not_by_the_best_of_any_epoch():
    runs = [
        with_metrics(a_run("falls", 0, 0), val__accuracy=0.6, best__val_accuracy=0.9),
        with_metrics(a_run("stays", 0, 0), val__accuracy=0.7, best__val_accuracy=0.7),
    ]
    first, second = rank_arms(runs)
    assert (first.arm, second.arm) == ("stays", "falls")
    assert (second.val.mean, second.best.mean) == (0.6, 0.9)


def test_arms_without_validation_come_last_by_test_accuracy():
    runs = [
        with_metrics(a_run("a", 0, 0), test__accuracy=0.8),
        with_metrics(a_run("b", 0, 0), test__accuracy=0.9),
        with_metrics(a_run("c", 0, 0), val__accuracy=0.5, test__accuracy=0.4),
    ]
    assert [arm.arm for arm in rank_arms(runs)] == ["c", "b", "a"]


def test_every_metric_of_an_arm_is_the_mean_over_its_seeds():
    names = {
        "val": "val/accuracy",
        "best": "best/val_accuracy",
        "test": "test/accuracy",
        "train": "train/accuracy",
        "gap": "gap/accuracy",
        "seconds_an_epoch": "seconds_an_epoch",
        "parameters": "model/parameters",
        "multiply_adds": "model/multiply_adds",
    }
    metrics = {metric: float(number) for number, metric in enumerate(names.values())}
    runs = [
        dataclasses.replace(a_run("A", seed, 0), metrics={key: value + seed for key, value in metrics.items()})
        for seed in (0, 1, 2)
    ]
    (arm,) = rank_arms(runs)
    assert arm.seeds == 3
    for field, metric in names.items():
        value = getattr(arm, field)
        assert getattr(value, "mean", value) == pytest.approx(metrics[metric] + 1), field


def test_an_arm_is_on_the_test_set_if_one_of_its_runs_was_validated_on_it():
    mixed = [
        with_tags(a_run("A", 0, 0.7), validated_on="validation"),
        with_tags(a_run("A", 1, 0.7), validated_on="test"),
        with_tags(a_run("B", 0, 0.6), validated_on="validation"),
    ]
    assert [(arm.arm, arm.is_on_test) for arm in rank_arms(mixed)] == [("A", True), ("B", False)]


def test_of_runs_with_the_same_arm_and_seed_the_newest_finished_one_counts():
    oldest, middle = (a_run("A", 0, accuracy, sweep_id=name) for accuracy, name in ((0.5, "old"), (0.6, "new")))
    failed = dataclasses.replace(a_run("A", 0, 0.1), state="failed")
    other_seed, other_arm = a_run("A", 1, 0.7), a_run("B", 0, 0.8)
    study = Study("s", (oldest, other_seed, middle, other_arm, failed), ())
    assert study.deduplicated() == [other_seed, middle, other_arm]
