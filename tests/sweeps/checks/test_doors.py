"""Hydra's other doors: what is typed is trained as it says, or refused in one line; never another config silently."""

import shutil

import pytest
from conftest import cifar_train

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.checks.doors import check_flags


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with config files of one's own, and what Hydra kept of a run."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "whole/config.yaml",
        "mine/study/mine.yaml",
        "RUN/.hydra/config.yaml",
        "RUN/journal.jsonl",
        "yml/trainer/default.yml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "other" / "model").mkdir(parents=True)
    shutil.copy(conf_folder() / "model" / "lenet_1.yaml", tmp_path / "other" / "model")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-path", "RUN/.hydra", "--config-name", "config"], "cifar-sweeps reproduce RUN"),
        (["--config-path=RUN/.hydra"], "holds what Hydra kept of a run"),
        (["-cp", "mine"], "--config-path=mine: is not taken"),
        (["--config-name", "other"], "--config-name=other: is not taken"),
        (["-cn", "study/mine", "--config-dir", "mine"], "--config-name=study/mine: is not taken"),
        (["--config-dir", "whole"], "its config.yaml would replace all of cifar-train's config"),
        (["-cd", "nowhere"], "--config-dir=nowhere: there is no such folder"),
        (["--experimental-rerun", "config.pickle"], "a pickled config can run any code"),
        (["-m", "hydra.mode=RUN", "seed=0,1"], "asks for a single run, -m for a sweep"),
        (["hydra.searchpath=[nowhere]"], "hydra.searchpath: there is no folder nowhere"),
        (["hydra.searchpath=[file://nowhere]"], "hydra.searchpath: there is no folder nowhere"),
        (["hydra.searchpath=[other]"], "lenet_1.yaml would not be read"),
        (["hydra.searchpath=[pkg://no_such_package]"], "there is no package no_such_package"),
        (["--config-dir", "yml"], "default.yml is not read; rename it to default.yaml"),
        (["hydra.searchpath=[whole]"], "whole/config.yaml would not be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_another_config_is_refused(folder, arguments, message):
    with pytest.raises(ConfigError) as refused:
        check_flags(arguments)
    assert any(message in error for error in refused.value.errors)
    assert not any("\n" in error for error in refused.value.errors)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config-name", "config"],
        ["--config-dir", "mine", "study=mine"],
        ["hydra.searchpath=[mine,pkg://hydra]"],
        ["-m", "seed=0,1"],
        ["--cfg", "all", "--resolve", "--package", "hydra.sweep"],
        ["--info", "searchpath"],
        ["hydra.mode=MULTIRUN", "hydra.output_subdir=null", "hydra/job_logging=disabled", "+a=1", "~b", "++c=2"],
    ],
    ids=" ".join,
)
def test_the_other_flags_are_hydras(folder, arguments):
    assert check_flags(arguments) == []


def test_a_file_in_place_of_the_packages_own_is_told(folder):
    assert check_flags(["--config-dir", "other"]) == [
        "other/model/lenet_1.yaml replaces the model/lenet_1 that comes with cifar-train"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-name", "other"], "ConfigError: --config-name=other: is not taken"),
        (["-m", "~hydra.callbacks.parent", "seed=0,1"], "ConfigError: hydra.callbacks: no sweep runs without"),
        (["-m", "hydra.sweeper.params={seed: '1,2'}"], "ConfigError: hydra.sweeper.params"),
    ],
)
def test_the_command_refuses_in_one_line(outputs, arguments, message):
    done = cifar_train(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not list(outputs.iterdir())


def test_hydras_own_help_is_shown(outputs):
    done = cifar_train("--hydra-help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hydra" in done.stdout


@pytest.mark.parametrize(
    "override",
    ["+tracking.extra=http://me:hunter2@host", "tracking.uri=me:hunter2@host:5000", "+note='[me:hunter2@h]'"],
)
def test_a_password_anywhere_in_a_config_is_refused_before_anything_is_written(outputs, override):
    done = cifar_train(override)
    assert "holds a password" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert not list(outputs.iterdir())


def test_a_key_that_is_given_twice_is_said():
    assert check_flags(["seed=1", "optimizer=sgd", "+seed=2"]) == ["seed is given 2 times; the last one counts: seed=2"]
    assert check_flags(["seed=1", "optimizer=sgd", "optimizer.lr=2"]) == []
