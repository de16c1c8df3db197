"""What a newcomer types on the wrong command, and tab completion."""

import sys

import pytest

from cifar_sweeps import app
from cifar_sweeps.cli import completion
from cifar_sweeps.cli import main as cli
from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.overview.catalogue import catalogue
from cifar_sweeps.sweeps.checks.doors import check_flags
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger


@pytest.mark.parametrize(
    ("command", "typed", "message"),
    [
        (cli, "train seed=0", "train: cifar-sweeps trains nothing; type cifar-train seed=0"),
        (cli, "train", "type cifar-train study=quickstart"),
        (cli, "model=lenet_3 seed=0", "type cifar-train model=lenet_3 seed=0"),
        (cli, "promote abc 1 two", "two: is no job's number; cifar-sweeps promote abc names those that are paused"),
        (cli, "reslts", "did you mean 'results'?"),
        (app, "report mine", "report: is a command of cifar-sweeps; type cifar-sweeps report mine"),
        (app, "ui", "type cifar-sweeps ui"),
        (app, "-m sweeps", "type cifar-sweeps sweeps"),
        (app, "quickstart", "quickstart: is no key=value; did you mean study=quickstart?"),
        (app, "base_cnn/base", "did you mean experiment=base_cnn/base?"),
        (app, "trainer.epochs 5", "trainer.epochs: is no key=value; for example trainer.epochs=5"),
        (app, "-m seed=0 1", "several values are joined by commas: seed=0,1, and a value with a space"),
        (app, "data.root=My pictures", "is quoted: \"data.root='My pictures'\""),
        (app, "experiment=base_cnn/b*", "options are listed, by commas: experiment=base_cnn/base"),
        (app, "--epochs=5", "--epochs=5: is no flag; keys are written without dashes: epochs=5"),
        (app, "--study quickstart", "keys are written without dashes: study=VALUE"),
        (app, "lr=0.1", "did you mean 'optimizer.lr'?"),
        (app, "data.root=/nope", "it belongs to data=cifar10, data=cifar100 and data=image_folder: add one of them"),
        (app, "optimizer.momentum=0.5", "it belongs to optimizer=sgd: add that"),
        (app, "optimizer.momentun=0.5 optimizer=sgd", "did you mean 'momentum'?"),
        (app, "p=zip(seed=[1,2],model=[plain_3,lenet_3])", "model=[plain_3,lenet_3]): is several values; add -m"),
        (app, "-m p=zip(seed=[1,2], model=[plain_3,lenet_3])", "p=zip(…): its brackets are not closed; close them"),
        (app, "-m p=zip(seed=[1,2],model=[plain_3])", "p=zip(…): its keys step together"),
        (app, "-m seed=1,2 sweep.exclude=[seed=1]", """in quotes: 'sweep.exclude=["seed=1"]'"""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_slip_is_one_message_that_says_what_to_type(monkeypatch, capsys, command, typed, message):
    monkeypatch.setattr(sys, "argv", ["command", *typed.split()])
    with pytest.raises(SystemExit) as end:
        command.main()
    told = f"{end.value.code}\n{capsys.readouterr().err}"
    assert end.value.code not in (0, None)
    assert message in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "typed", ["-m seed=0,1", "--cfg job", "--config-dir {} seed=0", "~trainer.test_at", "--info config", "--hydra-help"]
)
def test_what_is_no_slip_is_let_through(tmp_path, typed):
    assert check_flags(typed.format(tmp_path).split()) == []


@pytest.fixture
def recorded(outputs):
    for place, name, tags in (
        ("sweeps/s-1", "sweep s-1", {"cifar_sweeps.role": "sweep", "cifar_sweeps.sweep_id": "s-1"}),
        ("sweeps/s-1/0", "seed=0", {"cifar_sweeps.sweep_id": "s-1"}),
        ("runs/r", "model=plain_3", {}),
    ):
        folder = outputs / place
        folder.mkdir(parents=True)
        header = RunHeader(folder, outputs, "none", None, "mine", name, tags, "x")
        RunLogger(header).end_run("FINISHED", "")


def test_names_of_runs_sweeps_and_studies_are_completed(recorded):
    assert completion.complete_run("") == ["model=plain_3", "seed=0"]
    assert completion.complete_run("see") == ["seed=0"]
    assert completion.complete_sweep("s") == ["s-1"]
    assert completion.complete_sweep_or_study("") == ["s-1", "mine"]
    assert completion.complete_study("quick") == ["quickstart"]


def test_completion_without_outputs_or_with_a_damaged_journal_offers_nothing(outputs, monkeypatch):
    (outputs / "journal.jsonl").write_text("{")
    assert completion.complete_run("") == []
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(outputs / "missing"))
    assert completion.complete_sweep_or_run("") == []


def test_studies_of_an_own_folder_are_listed_with_their_command(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(
        "# @package _global_\n# My first.\nhydra: {sweeper: {params: {seed: '0,1'}}}\n"
    )
    (mine,) = catalogue(["mine"], tmp_path)
    assert (mine.description, mine.runs) == ("My first.", 2)
    assert mine.command == f"cifar-train --config-dir {tmp_path} study=mine"


@pytest.mark.parametrize(
    ("rules", "runs", "is_most"),
    [("[]", 6, False), ("[seed=1 and model=lenet_3, seed=7]", 5, False), ("[seed=1, trainer.epochs=3]", 4, True)],
)
def test_the_runs_of_a_study_with_a_zip_are_counted(tmp_path, rules, runs, is_most):
    (tmp_path / "study").mkdir()
    params = "pair: 'zip(model=[plain_3,lenet_3], experiment=[base_cnn/base,base_cnn/longer])', seed: '0,1,2'"
    (tmp_path / "study" / "mine.yaml").write_text(
        f"# @package _global_\nsweep: {{exclude: {rules}}}\nhydra: {{sweeper: {{params: {{{params}}}}}}}\n"
    )
    (mine,) = catalogue(["mine"], tmp_path)
    assert (mine.runs, mine.is_most) == (runs, is_most)
    assert [arm.name for arm in mine.arms] == ["base_cnn/base", "base_cnn/longer"]
    assert list(mine.swept) == ["pair", "seed"]


def test_an_own_network_is_refused_with_the_line_that_allows_it(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: mynets_of_a_test.net\n")
    (tmp_path / "mynets_of_a_test.py").write_text("from torch import nn\n\ndef net():\n    return nn.Linear(1, 1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = compose(["model=mine"], tmp_path)
    with pytest.raises(ConfigError, match="if you trust it: export ") as caught:
        build.model(config)
    name, _, value = str(caught.value).rpartition("export ")[2].partition("=")
    monkeypatch.setenv(name, value)
    assert build.model(config) is not None
