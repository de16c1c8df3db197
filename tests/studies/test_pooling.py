"""Only runs that were trained alike are averaged: a table of what may differ between two runs of one name."""

import dataclasses
import datetime

import pytest

from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import flatten
from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.pooling import arm_values, name_arms, separated_arms
from cifar_sweeps.studies.ranking import rank_arms
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.studies.verdicts import evaluate_claims

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
PARAMS = flatten(compose(["model=quick_3"]).as_dict)
TAGS = {"data_fingerprint": "0123456789abcdef", "numbers": "1", "budget": "full", "data": "toys", "device": "cpu"}


def a_run(name="k3", seed=0, sweep="first", params=None, tags=None, accuracy=0.5, swept=None):
    recorded = {f"cifar_sweeps.{key}": value for key, value in {**TAGS, "sweep_id": sweep, **(tags or {})}.items()}
    return StudyRun(
        run_id=f"{sweep}-{name}-{seed}",
        name=name,
        state="finished",
        swept={"kernel_size": name, "seed": str(seed), **(swept or {})},
        setting="",
        arm=name,
        metrics={"val/accuracy": accuracy, "best/val_accuracy": accuracy},
        params={**PARAMS, "seed": str(seed), **(params or {})},
        tags={key: value for key, value in recorded.items() if value is not None},
        started=NOW,
        seconds=1.0,
    )


def arms(*runs):
    return [run.arm for run in name_arms(runs)]


@pytest.mark.parametrize(
    ("params", "tags", "shown"),
    [
        ({"optimizer.lr": "0.002"}, {}, ("k3 [optimizer.lr=0.001]", "k3 [optimizer.lr=0.002]")),
        ({"model.num_classes": "7"}, {}, ("k3 [model.num_classes=10]", "k3 [model.num_classes=7]")),
        ({"augmentation.probability": "0.5"}, {}, ("k3 [without augmentation.probability]", "k3 [augmentation.prob")),
        ({}, {"data_fingerprint": "fedcba98"}, ("k3 [images 01234567]", "k3 [images fedcba98]")),
        ({}, {"numbers": "2"}, ("k3 [code 1]", "k3 [code 2]")),
        ({}, {"numbers": None}, ("k3", "k3")),  # recorded before the tag existed: the first version
        ({}, {"precision": "bf16"}, ("k3 [trainer.precision=auto]", "k3 [trainer.precision=bf16]")),
        ({}, {"device": "cuda"}, ("k3 [trainer.device=cpu]", "k3 [trainer.device=cuda]")),
        ({}, {"weight_files": "abcdef0123"}, ("k3 [without weight files]", "k3 [weight files abcdef01]")),
        ({"trainer.batch_size": "7"}, {"budget": "short: 1 of 2 epochs"}, ("k3 [full]", "k3 [short]")),
        (
            {},
            {"not_as_at_once": "the rate", "extended_after": "3"},
            ("k3 [without extended]", "k3 [extended after epo"),
        ),
        ({}, {"extends": "abcd", "extended_after": "3"}, ("k3", "k3")),  # the same as at once
        ({}, {"data": "others"}, ("k3 [toys]", "k3 [others]")),
        ({"trainer.threads": "3"}, {}, ("k3", "k3")),
        ({"outputs": "elsewhere", "tracking.uri": "x", "analysis.pictures": "False"}, {}, ("k3", "k3")),
        ({"data.root": "copies", "study_name": "mine", "sweep.retries": "3"}, {}, ("k3", "k3")),
    ],
)
def test_seeds_of_one_name_are_one_arm_only_if_they_were_trained_alike(params, tags, shown):
    found = arms(a_run(), a_run(seed=1, sweep="second", params=params, tags=tags))
    assert found[0] == shown[0]
    assert found[1].startswith(shown[1])


def test_what_separates_runs_within_a_sweep_is_in_the_name_too_and_many_differences_are_counted():
    edited = a_run(seed=1, params={"optimizer.lr": "1", "optimizer.eps": "2", "model.activation": "3", "x.y": "4"})
    also = a_run(seed=2, params={"optimizer.lr": "1", "optimizer.eps": "2", "model.activation": "3", "x.y": "5"})
    extra = a_run(
        seed=3, params={"optimizer.lr": "1", "optimizer.eps": "2", "model.activation": "3", "x.y": "4", "z": "1"}
    )
    found = arms(a_run(), edited, also, extra)
    assert len(set(found)) == 4
    assert all(name.startswith("k3 [") for name in found)
    assert "2 more" in found[3]


def test_one_training_has_one_name_across_sweeps_however_it_was_typed():
    typed = a_run("kernel_size=k3 again", seed=1, sweep="second")
    assert arms(a_run(), typed) == ["k3", "k3"]
    assert arms(a_run(), a_run("k5", seed=1)) == ["k3", "k5"]  # two names in one sweep: its author compares them


def test_runs_that_differ_are_never_one_mean_nor_repeats_and_a_line_says_so():
    runs = [a_run(accuracy=0.2), a_run(sweep="second", params={"optimizer.lr": "0.002"}, accuracy=0.8)]
    study = Study("toys", tuple(name_arms(runs)), ())
    assert len(study.deduplicated()) == 2
    assert [(arm.seeds, arm.val.mean) for arm in rank_arms(study.runs)] == [(1, 0.8), (1, 0.2)]
    (line,) = separated_arms(study.runs)
    assert line == (
        "k3: not all trained alike; 2 arms instead of one: k3 [optimizer.lr=0.001]; k3 [optimizer.lr=0.002]"
    )
    assert separated_arms(name_arms([a_run(), a_run(seed=1)])) == []


def test_a_claim_compares_runs_of_the_same_conditions_and_each_variant_of_an_arm_by_itself():
    (claim,) = read_claims(
        [
            {
                "metric": "val/accuracy",
                "arm": {"kernel_size": "k3"},
                "against": {"kernel_size": "k5"},
                "expects": "higher",
            }
        ]
    )
    conditions = [("first", "0.001", 0.6, 0.5), ("second", "0.002", 0.9, 0.5)]
    whole = [
        a_run(name, seed, sweep, {"optimizer.lr": lr, "kernel_size.conv": name}, accuracy=accuracy + 0.01 * seed)
        for sweep, lr, *accuracies in conditions
        for name, accuracy in zip(("k3", "k5"), accuracies, strict=True)
        for seed in (0, 1)
    ]
    results = evaluate_claims([claim], name_arms(whole), {})
    assert [(result.setting, round(result.effect.mean, 6)) for result in results] == [
        ("[optimizer.lr=0.001]", 0.1),
        ("[optimizer.lr=0.002]", 0.4),
    ]
    # In one sweep, with one arm's file edited in between: the other arm is compared with either.
    edited = [
        dataclasses.replace(run, tags={**run.tags, "cifar_sweeps.sweep_id": "s"}) for run in whole[:2] + whole[4:6]
    ]
    against = [dataclasses.replace(run, tags={**run.tags, "cifar_sweeps.sweep_id": "s"}) for run in whole[2:4]]
    results = evaluate_claims([claim], name_arms([*edited, *against]), {})
    assert [(result.setting, round(result.effect.mean, 6), result.effect.n) for result in results] == [
        ("[optimizer.lr=0.001]", 0.1, 2),
        ("[optimizer.lr=0.002]", 0.4, 2),
    ]


def test_a_run_of_which_nothing_is_recorded_has_no_values():
    assert arm_values({}, {}) == {}
