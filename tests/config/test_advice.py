"""Advice in errors of composition, followed to the letter, leads to success."""

import re
import shlex

import pytest
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode

from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.hydra_messages import explain_composition_error
from cifar_sweeps.config.parse import conf_folder, flatten
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import current_loader, initialized_compose

VALUES = ["étude", "photos (1)", "a, b", "x=y", "it's", 'say "hi"', "tilde ~ (2)", "a:b, c", "100 % (#1)"]
VALUES += ["日本 (語)", "back\\slash (1)", "$HOME (x)"]


@pytest.mark.parametrize("value", VALUES)
def test_what_hydra_cannot_read_is_shown_as_it_can_and_means_the_same(value):
    with pytest.raises(ConfigError) as caught:
        compose(["data=image_folder", f"data.root={value}"])
    advice = re.search(r"; (?:for one text, )?write (.+)$", str(caught.value))
    assert advice is not None, caught.value
    (typed,) = shlex.split(advice[1])
    assert compose(["data=image_folder", typed]).data.root == value


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        (["lr=0.1"], "optimizer.lr", "0.1"),
        (["optimizer.lrr=0.1"], "optimizer.lr", "0.1"),
        (["trainer.epoch=3"], "trainer.epochs", "3"),
        (["batch_size=16"], "trainer.batch_size", "16"),
        (["weight_decay=0.1"], "regularization.weight_decay", "0.1"),
    ],
)
def test_a_key_that_is_not_there_is_named_and_the_named_one_is(overrides, key, expected):
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    named = re.search(r"did you mean '([\w.]+)'", str(caught.value))
    assert named is not None, caught.value
    path = named[1] if "." in named[1] else f"{overrides[0].partition('=')[0].rpartition('.')[0]}.{named[1]}"
    value = overrides[0].partition("=")[2]
    assert flatten(compose([f"{path}={value}"]).as_dict)[key] == expected


@pytest.mark.parametrize(
    "overrides", [["model=lenett_3"], ["optimizer=adaam"], ["experiment=base_cnn/bse"], ["kernel_size=k33"]]
)
def test_an_option_that_is_not_there_is_named_and_the_named_one_is(overrides):
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    named = re.search(r"did you mean '([\w./]+)'", str(caught.value))
    assert named is not None, caught.value
    compose([f"{overrides[0].partition('=')[0]}={named[1]}"])


def test_an_option_chosen_twice_is_told_without_a_plus():
    with pytest.raises(ConfigError, match=r"experiment: is chosen already; write experiment=NAME without the \+"):
        compose(["+experiment=base_cnn/longer"])


def test_a_rate_from_the_environment_is_decoded_as_the_error_says(monkeypatch):
    monkeypatch.setenv("NAME", "0.003")
    with pytest.raises(ConfigError) as caught:
        compose(["optimizer.lr=${oc.env:NAME}"])
    advice = re.search(r"write '(.+)'$", str(caught.value))
    assert advice is not None, caught.value
    assert compose([advice[1]]).optimizer["lr"] == 0.003
    with pytest.raises(ConfigError) as caught:  # a nested resolver without Hydra's own quotes
        compose(["optimizer.lr=${oc.decode:${oc.env:NAME}}"])
    (typed,) = shlex.split(str(caught.value).rpartition("; write ")[2])
    assert compose([typed]).optimizer["lr"] == 0.003


@pytest.mark.parametrize(
    ("key", "value"), [("seed", "3"), ("trainer.epochs", "4"), ("regularization.l2", "0.1"), ("sweep.report", "false")]
)
def test_a_number_from_the_environment_is_decoded_as_the_error_says(monkeypatch, key, value):
    monkeypatch.setenv("NAME", value)
    with pytest.raises(ConfigError) as caught:
        compose([f"{key}=${{oc.env:NAME}}"])
    advice = re.search(r"write '(.+)'$", str(caught.value))
    assert advice is not None, caught.value
    assert flatten(compose([advice[1]]).as_dict)[key].lower() == value


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("trainer.early_stopping.patience=None", "trainer.early_stopping.patience=null"),
        ("seed=0,1,", "seed=0,1"),
        ("study_name=1e5", 'study_name="1e5"'),
        ("study_name=true", None),
    ],
)
def test_slips_of_values_are_named(override, advice):
    with pytest.raises(ConfigError) as caught:
        compose([override])
    said = str(caught.value)
    if advice is not None and '"' not in advice:
        assert said.endswith((f"write {advice}", f"out: {advice}"))
    elif advice is not None:
        assert said.endswith("'study_name=\"TEXT\"'")
        assert compose([advice]).study_name == "1e5"


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ("optimizer.lr=interval(1e-4,1e-1", "close its bracket: 'optimizer.lr=interval(1e-4,1e-1)'"),
        ("optimizer.lr=tag(log,interval(1e-4,1e-1", "close its bracket: 'optimizer.lr=tag(log,interval(1e-4,1e-1))'"),
        (
            "hydra.sweeper.conditions=optimizer.momentum if optimizer=sgd",
            """its rules stand in brackets, each in quotes: """
            """'hydra.sweeper.conditions=["optimizer.momentum if optimizer=sgd"]'""",
        ),
    ],
)
def test_what_a_search_s_override_lacks_is_shown(typed, advice):
    with pytest.raises(ConfigError) as caught:
        compose([typed])
    assert str(caught.value).endswith(f"; {advice}")


def test_a_number_in_place_of_an_option_s_name_is_told():
    with pytest.raises(ConfigError, match=r"is chosen by name, as optimizer=adam, not by a value .float."):
        compose(["optimizer=1.5"])


@pytest.mark.parametrize("key", ["n_trials=4", "sampler=gp", "conditions=[a]"])
def test_a_setting_of_searches_names_the_sweeper_that_has_it(key):
    name = key.partition("=")[0]
    with initialized_compose(conf_folder()), pytest.raises(ConfigCompositionException) as caught:
        current_loader().load_configuration("config", [f"hydra.sweeper.{key}"], RunMode.MULTIRUN)
    said = explain_composition_error(caught.value)
    assert said.startswith(f"hydra.sweeper.{name}: unknown key")
    assert said.endswith("; it belongs to hydra/sweeper=optuna: add that")
