"""The importance of a search's keys: Optuna's own numbers, planted keys, conditional keys, and too little to judge."""

import sys

import numpy as np
import pytest

from cifar_sweeps.analysis.importance import ped_anova
from cifar_sweeps.analysis.importance.ped_anova import OptunaMissingError, search_importance
from cifar_sweeps.errors import DataError

optuna = pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(ped_anova, "_RESAMPLES", 8)


@pytest.fixture(scope="module")
def planted():
    """Forty arms; accuracy depends on the learning rate, on its log scale, and a little on the model."""
    draw = np.random.default_rng(0)
    arms, values = [], []
    for _ in range(40):
        lr, decay, model = 10 ** draw.uniform(-5, -1), draw.uniform(0, 1), draw.choice(["plain_3", "lenet_3"])
        arms.append({"optimizer.lr": repr(float(lr)), "decay": repr(float(decay)), "model": str(model)})
        values.append(0.7 - 0.1 * (np.log10(lr) + 3) ** 2 + 0.02 * (model == "lenet_3"))
    return arms, values


def test_the_importance_is_that_which_optuna_computes(planted):
    arms, values = planted
    found = search_importance(arms, values, is_lower_better=False)
    study = optuna.create_study(direction="maximize")
    lrs, decays = ([float(arm[key]) for arm in arms] for key in ("optimizer.lr", "decay"))
    spaces = {
        "optimizer.lr": optuna.distributions.FloatDistribution(min(lrs), max(lrs), log=True),
        "decay": optuna.distributions.FloatDistribution(min(decays), max(decays), log=False),
        "model": optuna.distributions.CategoricalDistribution(list(dict.fromkeys(arm["model"] for arm in arms))),
    }
    log = max(decays) / min(decays) > 50
    spaces["decay"] = optuna.distributions.FloatDistribution(min(decays), max(decays), log=log)
    for arm, value in zip(arms, values, strict=True):
        params = {"optimizer.lr": float(arm["optimizer.lr"]), "decay": float(arm["decay"]), "model": arm["model"]}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=5 / 40)
    wanted = optuna.importance.get_param_importances(study, evaluator=evaluator)
    assert found.values == pytest.approx(wanted)
    assert sum(found.values.values()) == pytest.approx(1)
    assert (found.best, found.arms) == (5 / 40, 40)
    assert "optimizer.lr" in found.log_keys


def test_the_planted_key_matters_most_and_lies_in_its_interval(planted):
    found = search_importance(*planted, is_lower_better=False)
    assert max(found.values, key=found.values.get) == "optimizer.lr"
    assert found.values["optimizer.lr"] > 0.5
    for key in found.values:
        assert 0 <= found.low[key] <= found.high[key] <= 1
    assert found.low["optimizer.lr"] > found.high["model"]


def test_less_is_better_of_a_loss(planted):
    arms, values = planted
    assert search_importance(arms, [-value for value in values], True) == search_importance(arms, values, False)


def test_a_key_that_some_arms_lack_is_judged_where_they_have_it():
    draw = np.random.default_rng(1)
    arms, values = [], []
    for i in range(30):
        momentum = draw.uniform(0, 1)
        arms.append({"optimizer": "sgd", "momentum": repr(float(momentum))} if i % 2 else {"optimizer": "adam"})
        values.append(float(momentum) if i % 2 else 0.2)
    found = search_importance(arms, values, False)
    assert set(found.values) == {"optimizer", "momentum"}
    assert found.values["momentum"] > 0.5
    assert found.values["optimizer"] > 0


def test_optuna_is_left_as_talkative_as_it_was(planted, capfd):
    before = optuna.logging.get_verbosity()
    search_importance(*planted, is_lower_better=False)
    assert optuna.logging.get_verbosity() == before
    assert "study" not in capfd.readouterr().err


def test_too_few_arms_and_equal_values_are_refused(planted):
    arms, values = planted
    with pytest.raises(DataError, match=r"9 arms: .* needs at least 10"):
        search_importance(arms[:9], values[:9], False)
    with pytest.raises(DataError, match="same value"):
        search_importance(arms, [0.5] * 40, False)


def test_without_optuna_one_message_says_what_to_install(planted, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptunaMissingError, match=r"pip install 'cifar-sweeps\[search\]'"):
        search_importance(*planted, is_lower_better=False)
