"""Budgets: what they scale, that they apply once, and how they are described."""

import pytest

from cifar_sweeps.config.budget import describe_budget
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import config_hash, from_dict
from cifar_sweeps.errors import ConfigError

LONG = ("trainer.epochs=200", "trainer.test_at=[100,150,200]")


def test_epochs_and_images_are_scaled_by_the_factors():
    config = compose(["budget=short", *LONG])
    assert config.trainer.epochs == 20
    assert config.trainer.test_at == [10, 15, 20]
    assert config.data.train_fraction == 0.25
    assert config.budget.full == {"epochs": 200, "train_size": None}
    assert compose(["budget=short", *LONG, "data.train_size=2000"]).data.train_size == 500


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["lr_schedule=cosine", "lr_schedule.warmup_epochs=5"], {"epochs": 20, "warmup_epochs": 0.5}),
        (["lr_schedule=step", "lr_schedule.milestones=[3,4,170]"], {"milestones": [1, 17]}),
        (["lr_schedule=plateau", "lr_schedule.patience=30"], {"patience": 3}),
    ],
    ids=["cosine", "step", "plateau"],
)
def test_schedules_are_scaled_too(overrides, expected):
    schedule = compose(["budget=short", *LONG, *overrides]).lr_schedule
    assert {key: schedule[key] for key in expected} == expected


def test_a_schedule_is_as_long_as_the_scaled_training():
    config = compose(["budget=short", "trainer.epochs=6", "lr_schedule=cosine", "lr_schedule.warmup_epochs=3"])
    assert config.trainer.epochs == 2  # this budget's minimum: a third, not the tenth of its factor
    assert (config.lr_schedule["epochs"], config.lr_schedule["warmup_epochs"]) == (2, 1.0)


def test_early_stopping_and_published_epochs_are_scaled_too():
    config = compose(["budget=short", "study=training_length", "experiment=lab_episode/epochs_200"])
    assert [entry.epoch for entry in config.published] == [10, 10, 15, 15, 20, 20]
    assert (config.claims[0].at, config.claims[0].against_at) == (15, 10)
    stopping = compose(["budget=short", *LONG, "trainer.early_stopping.patience=20"]).trainer.early_stopping
    assert stopping.patience == 2


def test_no_budget_adds_epochs():
    assert compose(["budget=short", "trainer.epochs=1"]).trainer.epochs == 1
    assert compose(["budget=short", "trainer.epochs=3"]).trainer.epochs == 2  # this budget's minimum


def test_a_recorded_config_is_not_scaled_again():
    config = compose(["budget=short", *LONG])
    again = from_dict(config.as_dict)
    assert (again.trainer.epochs, again.data.train_fraction) == (20, 0.25)


def test_a_scaled_config_has_the_hash_of_the_same_config_without_a_budget():
    cut = compose(["budget=short", "trainer.epochs=100"])
    plain = compose(["trainer.epochs=10", "data.train_fraction=0.25"])
    assert config_hash(cut.as_dict) == config_hash(plain.as_dict)


@pytest.mark.parametrize("value", ["0", "1.5", "-1", "nan"])
def test_an_invalid_factor_is_rejected(value):
    with pytest.raises(ConfigError, match=r"budget\.images"):
        compose([f"budget.images={value}"])


@pytest.mark.parametrize(
    ("arguments", "description"),
    [
        (("full", 35, 35, 40000, 40000), "full"),
        (("full", 10, None, 3000, 3000), "full"),
        (("short", 4, 35, 10000, 40000), "short: 4 of 35 epochs, 10,000 of 40,000 training images"),
        (("full", 3, 15, 40000, 40000), "own: 3 of 15 epochs"),
        (("full", 10, None, 500, 3000), "own: 500 of 3,000 training images"),
        (("full", 15, 15, 500, 3000), "own: 500 of 3,000 training images"),
    ],
    ids=str,
)
def test_a_description_names_every_cut(arguments, description):
    assert describe_budget(*arguments) == description
