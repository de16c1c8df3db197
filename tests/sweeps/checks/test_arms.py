"""Arms that claims need are there, and one training under two names is said, before a sweep starts."""

import dataclasses

import pytest
from conftest import TINY

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.checks.arms import ArmOfJob, check_claims, equal_arms
from cifar_sweeps.training.precision import resolve_device, resolve_precision

PLAIN = [each for each in TINY if not each.startswith("model")]


def arms(*jobs, swept, claims=(), base=("model=lenet_1",)):
    found = []
    for job in jobs:
        config = compose([*PLAIN, *base, *job])
        values = {**config.as_dict, "claims": list(claims)}
        found.append(ArmOfJob.of(dataclasses.replace(config, overrides=tuple(job), as_dict=values), swept))
    return found


@pytest.mark.parametrize(
    ("key", "values", "base"),
    [
        ("optimizer", ("adam", "adamw"), ("model=lenet_1",)),
        ("kernel_size", ("k3", "k5"), ("model=mobilenet_v2",)),
        ("kernel_size.conv", ("3", "5"), ("model=resnet18",)),
        ("regularization.dropout.dense", ("0.0", "0"), ("model=lenet_1",)),
        ("optimizer.nesterov", ("false", "true"), ("optimizer=sgd", "optimizer.momentum=0")),
        ("lr_schedule", ("constant", "step"), ("trainer.epochs=2",)),
        ("regularization.l2", ("0", "0.0"), ()),
        ("trainer.device", ("auto", "cpu"), ()),
        ("trainer.precision", ("auto", resolve_precision("auto", resolve_device("auto")).name), ()),
        ("trainer.select", ("last", "best"), ("trainer.epochs=1",)),
        ("trainer.early_stopping.patience", ("null", "50"), ("trainer.epochs=5",)),
    ],
)
def test_one_training_under_two_names_is_said(key, values, base):
    (line,) = equal_arms(arms(*[[f"{key}={value}"] for value in values], swept=(key,), base=base))
    assert "are the same training here" in line
    short = key.rpartition(".")[2]
    assert all(f"{short}={value}" in line for value in values)


@pytest.mark.parametrize(
    ("key", "values", "base"),
    [
        ("optimizer", ("adam", "sgd", "adamax"), ()),
        ("regularization", ("none", "l2", "dropout", "weight_decay"), ("model=lenet_3",)),
        ("kernel_size", ("k3", "k5"), ("model=lenet_3",)),
        ("seed", ("0", "1"), ()),
        ("lr_schedule", ("constant", "step", "cosine"), ("trainer.epochs=50",)),
        ("optimizer.nesterov", ("false", "true"), ("optimizer=sgd",)),
        ("augmentation", ("none", "flip_crop"), ()),
        ("trainer.batch_size", ("4", "8"), ()),
    ],
)
def test_arms_that_differ_are_not_called_the_same(key, values, base):
    assert list(equal_arms(arms(*[[f"{key}={value}"] for value in values], swept=(key,), base=base))) == []


CLAIM = {"says": "x is better", "where": "here", "metric": "val/accuracy", "expects": "higher"}
JOBS = (["optimizer=adam"], ["optimizer=sgd"])


@pytest.mark.parametrize(
    ("arm", "against", "named"),
    [
        ({"optimizer": "rmsprop"}, {"optimizer": "sgd"}, "optimizer=rmsprop"),
        ({"optimizer": "adam"}, {"optimizer": "sdg"}, "optimizer=sdg"),
        ("base_cnn/base", None, "experiment=base_cnn/base"),
        ({"trainer.batch_size": 7}, {"optimizer": "sgd"}, "trainer.batch_size=7"),
    ],
)
def test_a_claim_about_an_arm_that_the_sweep_does_not_have_is_refused_with_its_arms(arm, against, named):
    claim = {**CLAIM, "arm": arm, "against": against}
    with pytest.raises(ConfigError) as caught:
        list(check_claims(arms(*JOBS, swept=("optimizer",), claims=[claim]), ["seed"]))
    assert f"'x is better' is about {named}" in str(caught.value)
    assert "its arms: optimizer=adam, optimizer=sgd" in str(caught.value)
    (line,) = check_claims(arms(*JOBS, swept=("optimizer",), claims=[claim]), ["optimizer"])
    assert line == f"Not measured by these jobs: 1 claim of the study, for want of {named}."
    assert [*check_claims(arms(*JOBS, swept=("optimizer",), claims=[claim]), ["sweep.exclude"])] == [line]


def test_claims_about_arms_that_are_there_are_silent():
    claim = {**CLAIM, "arm": {"optimizer": "adam"}, "against": {"optimizer": "sgd"}}
    by_params = {**CLAIM, "arm": {"optimizer.lr": 0.01}, "against": {"optimizer.lr": 1e-3}}
    assert list(check_claims(arms(*JOBS, swept=("optimizer",), claims=[claim, by_params]), [])) == []


def test_a_job_that_is_given_twice_is_said():
    (line,) = equal_arms(arms(["seed=0"], ["seed=0"], ["seed=1"], swept=("seed",)))
    assert line == "Given more than once, and trained as often: seed=0."
