import math
import pathlib

import pytest
import torch
from omegaconf import OmegaConf

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training import adamax, rmsprop, schedules
from cifar_sweeps.training.optimizer import RegularizedOptimizer, make_optimizer
from cifar_sweeps.training.schedules import Constant, Cosine, Plateau, Step

CONF = pathlib.Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    ("schedule", "table"),
    [
        pytest.param(Constant(), {0: 1.0, 99.9: 1.0}, id="constant"),
        pytest.param(Step([170], 0.1), {0: 1.0, 169.99: 1.0, 170: 0.1, 199: 0.1}, id="step_one"),
        pytest.param(Step([2, 3, 5], 0.5), {1.9: 1.0, 2: 0.5, 3.5: 0.25, 5: 0.125, 6: 0.125}, id="step_three"),
        pytest.param(Cosine(10), {0: 1.0, 5: 0.5, 2.5: (1 + math.sqrt(0.5)) / 2, 10: 0.0, 11: 0.0}, id="cosine"),
        pytest.param(Cosine(10, 2, 0.1), {0: 0.01, 1: 0.505, 2: 1.0, 6: 0.55, 10: 0.1}, id="cosine_warmup"),
        pytest.param(Cosine(4, 0.5), {0.25: 0.505, 0.5: 1.0, 4: 0.0}, id="fraction_of_an_epoch"),
    ],
)
def test_the_factor_follows_its_table(schedule, table):
    assert {progress: schedule.factor(progress) for progress in table} == pytest.approx(table, abs=1e-12)


@pytest.mark.parametrize(
    ("losses", "factors"),
    [
        ([1.0, 0.9, 0.8, 0.7], [1, 1, 1, 1]),
        ([1.0, 1.0, 1.0, 1.0, 1.0], [1, 1, 0.5, 0.5, 0.25]),
        ([1.0, 1.1, 0.9, 1.0, 1.0], [1, 1, 1, 1, 0.5]),
        ([1.0, 0.99, 0.98, 0.97], [1, 1, 0.5, 0.5]),
        ([1.0] * 9, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]),
        ([1.0, 0.97, 0.94, 0.94, 0.94], [1, 1, 1, 1, 0.5]),
        ([1.0, 1.1, 1.1, 1.0, 1.0], [1, 1, 0.5, 0.5, 0.25]),
    ],
    ids=[
        "falling",
        "flat",
        "starts_anew_after_a_better_epoch",
        "less_than_min_delta",
        "not_below_min_factor",
        "a_slow_fall_is_measured_from_the_best",
        "the_best_stays_after_a_reduction",
    ],
)
def test_plateau_follows_the_validation_loss(losses, factors):
    schedule = Plateau(factor=0.5, patience=2, min_delta=0.05, min_factor=0.2)
    seen = []
    for loss in losses:
        schedule.observe(loss)
        seen.append(schedule.factor(0.0))
    assert seen == pytest.approx(factors)


def test_plateau_without_min_delta_treats_an_equal_loss_as_no_improvement():
    schedule = Plateau(factor=0.5, patience=1, min_delta=0.0)
    for loss in (1.0, 1.0):
        schedule.observe(loss)
    assert schedule.factor(2.0) == 0.5


def test_plateau_resumes_from_its_state():
    losses = [1.0, 1.0, 1.2, 1.1, 1.0, 1.0]
    whole, first = Plateau(0.5, 2), Plateau(0.5, 2)
    for loss in losses:
        whole.observe(loss)
    for loss in losses[:2]:
        first.observe(loss)
    second = Plateau(0.5, 2)
    second.load_state_dict(first.state_dict())
    for loss in losses[2:]:
        second.observe(loss)
    assert second.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Step([], 0.1), "lr_schedule.milestones=[]"),
        (lambda: Step([0, 3], 0.1), "lr_schedule.milestones=[0, 3]"),
        (lambda: Step([3, 3], 0.1), "lr_schedule.milestones=[3, 3]"),
        (lambda: Step([1.5], 0.1), "lr_schedule.milestones=[1.5]"),
        (lambda: Step([1], 0.0), "lr_schedule.gamma=0.0"),
        (lambda: Step([1], math.nan), "lr_schedule.gamma=nan"),
        (lambda: Cosine(5, 5), "lr_schedule.warmup_epochs=5"),
        (lambda: Cosine(5, -1), "lr_schedule.warmup_epochs=-1"),
        (lambda: Cosine(5, 0, 1.5), "lr_schedule.final_fraction=1.5"),
        (lambda: Cosine(0), "lr_schedule.epochs=0"),
        (lambda: Plateau(factor=1.0), "lr_schedule.factor=1.0"),
        (lambda: Plateau(patience=0), "lr_schedule.patience=0"),
        (lambda: Plateau(min_delta=-1.0), "lr_schedule.min_delta=-1.0"),
        (lambda: Plateau(min_factor=2.0), "lr_schedule.min_factor=2.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_impossible_value_names_its_key(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)


def test_all_errors_come_in_one_error():
    with pytest.raises(ConfigError) as caught:
        Step([], 2.0)
    assert len(caught.value.errors) == 2


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "plateau"])
def test_every_schedules_file_names_a_class_and_its_arguments(name):
    node = OmegaConf.load(CONF / "lr_schedule" / f"{name}.yaml")
    arguments = OmegaConf.to_container(OmegaConf.create({"trainer": {"epochs": 7}, "it": node}), resolve=True)["it"]
    module, _, class_name = arguments.pop("_target_").rpartition(".")
    assert module == schedules.__name__
    assert getattr(schedules, class_name)(**arguments).factor(1.0) == 1.0


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adamax", "rmsprop"])
def test_every_optimizers_file_names_a_class_and_its_arguments(name):
    arguments = OmegaConf.to_container(OmegaConf.load(CONF / "optimizer" / f"{name}.yaml"))
    module, _, class_name = arguments.pop("_target_").rpartition(".")
    assert arguments.pop("_partial_") is True
    home = {module.__name__: module for module in (torch.optim, adamax, rmsprop)}[module]
    weight = torch.nn.Parameter(torch.ones(3))
    step = RegularizedOptimizer(
        make_optimizer(lambda w: getattr(home, class_name)(w, **arguments), [weight]), decayed=[weight]
    )
    weight.grad = torch.ones(3)
    step.step()
    assert step.base_lr == (0.01 if name == "sgd" else 0.001)
    assert weight.max() < 1
