"""What a search may look for, and what of its early stopping its trials share."""

from dataclasses import replace

import pytest

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.search.settings import SearchSettings, check_objectives, describe_search
from cifar_sweeps.sweeps.search.space_of_overrides import read_space
from hydra_plugins.cifar_sweeps_optuna import OptunaSweeper

ACCURACY = SearchSettings(n_trials=4, sampler="tpe", seed=0, objectives=("val/accuracy",))
ASHA = "sweep.early_stopping=asha"


@pytest.mark.parametrize(
    "other", ["sweep.early_stopping=median", "sweep.metric=val/loss", "sweep.eta=3", "sweep.grace_epochs=2"]
)
def test_trials_that_ask_for_different_rules_are_refused_as_in_a_grid(other):
    with pytest.raises(ConfigError, match="cannot be swept"):
        check_objectives([compose([ASHA]), compose([ASHA, other])], ACCURACY)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([[ASHA, "sweep.metric=val/loss"]] * 2, "compares by val/loss, and the search looks for val/accuracy"),
        ([[ASHA, "trainer.epochs=8"], [ASHA, "trainer.epochs=9"]], "must be equally long"),
    ],
    ids=["another metric", "lengths"],
)
def test_what_early_stopping_cannot_compare_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_objectives([compose(each) for each in overrides], ACCURACY)


def test_trials_of_one_rule_are_accepted():
    check_objectives([compose([ASHA]), compose([ASHA, "optimizer.lr=0.1"])], ACCURACY)
    check_objectives([compose(["trainer.epochs=8"]), compose(["trainer.epochs=9"])], ACCURACY)


def test_a_text_alone_is_a_list_of_one():
    sweeper = OptunaSweeper(objectives="val/loss", conditions="a if b=1")
    assert (sweeper.objectives, sweeper.conditions) == (("val/loss",), ("a if b=1",))
    assert OptunaSweeper(conditions=None).conditions == ()


@pytest.mark.parametrize(
    ("overrides", "objectives", "count"),
    [
        (["sweep.metric=val/loss"], ("val/accuracy",), 1),
        (["sweep.metric=val/loss"], ("val/loss",), 0),
        ([], ("val/loss",), 0),
        (["sweep.metric=val/loss", ASHA], ("val/loss",), 0),
    ],
)
def test_a_metric_that_a_search_does_not_look_for_is_told(overrides, objectives, count):
    settings = replace(ACCURACY, objectives=objectives)
    space = read_space({}, ["optimizer=adam,sgd"], (), None)
    said = " ".join(describe_search(space, settings, 4, compose(overrides)))
    line = "sweep.metric=val/loss: has no effect without early stopping; what a search looks for is hydra.sweeper.obj"
    assert said.count(line) == count
