"""Searches in real processes."""

import os
import re
import subprocess
import sys

import pytest
from conftest import TINY, cifar_train
from mlflow import MlflowClient

pytest.importorskip("optuna")

SMALL = (*TINY, "trainer.epochs=1", "analysis.log_model=false", "analysis.pictures=false")
SEARCH = ("-m", "hydra/sweeper=optuna", "hydra.launcher.n_jobs=1", *SMALL)


def said(process):
    return process.stdout + process.stderr


@pytest.mark.slow
def test_a_search_trains_its_trials_as_runs_and_goes_on_to_a_larger_total(outputs):
    """Of three kernel sizes the even one composes with none of the models, and neither end of the range shows that."""
    asked = (*SEARCH, "kernel_size.conv=range(3,6)", "hydra.sweeper.objectives=[val/accuracy,model/parameters]")
    first = cifar_train(*asked, "hydra.sweeper.n_trials=2")
    assert first.returncode == 0, said(first)
    (study,) = outputs.glob("sweeps/*/optuna.journal")
    study.unlink()
    second = cifar_train(*asked, "hydra.sweeper.n_trials=20", "hydra.sweeper.sampler=random")
    assert second.returncode == 0, said(second)
    assert "Changed since its last launch: hydra.sweeper.sampler was tpe, is random. What" in second.stdout
    assert "There are 3 combinations, and not the 20 of hydra.sweeper.n_trials." in second.stdout
    assert "Optuna's study file was written anew, from the journals of the runs." in second.stdout
    assert "Pareto front (val/accuracy up, model/parameters down): " in second.stdout
    both = said(first) + said(second)
    assert "(kernel_size.conv=4): " in both
    assert "odd" in both
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cifar_sweeps").experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert sorted(run.info.run_name for run in children) == ["conv=3", "conv=5"]
    assert {run.info.status for run in children} == {"FINISHED"}
    assert parent.data.tags["cifar_sweeps.sampler"] == "random"
    assert parent.info.status == "FINISHED"
    (report,) = outputs.glob("sweeps/*/report/report.md")
    assert "## Pareto front" in report.read_text()
    assert study.exists()


@pytest.mark.slow
def test_a_search_that_is_only_shown_says_its_space_and_starts_nothing(outputs):
    shown = cifar_train(
        *SEARCH, "optimizer=adam,sgd", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "sweep.dry_run=true"
    )
    assert shown.returncode == 0, said(shown)
    assert "optimizer: adam, sgd" in shown.stdout
    assert "optimizer.lr: numbers from 0.0001 to 0.1, logarithmic" in shown.stdout
    assert re.search(r"20 trials, 1 at once with \d+ threads? each, about [\d,.]+ MB of disk\. Nothing", shown.stdout)
    assert not list(outputs.glob("sweeps/*"))


@pytest.mark.slow
def test_a_search_that_is_only_shown_says_what_it_would_join_and_how_many_trials_are_new(outputs):
    asked = (*SEARCH, "optimizer=adam,sgd,rmsprop", "data.train_size=64")
    assert cifar_train(*asked, "hydra.sweeper.n_trials=1").returncode == 0
    shown = cifar_train(*asked, "hydra.sweeper.n_trials=3", "sweep.dry_run=true")
    assert shown.returncode == 0, said(shown)
    assert re.search(r"Joins sweep \S+: 1 job there, 2 new", shown.stdout)
    assert re.search(r"2 trials, 1 at once with \d+ threads? each, about [\d,.]+ MB of disk\. Nothing", shown.stdout)


@pytest.mark.slow
def test_a_study_s_file_may_choose_the_search_and_the_command_line_changes_it(outputs, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /hydra/sweeper: optuna\n"
        "study_name: mine\n"
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n    n_trials: 5\n"
        "    params:\n      optimizer: adam,sgd\n      optimizer.momentum: interval(0,0.9)\n"
        "    conditions: [optimizer.momentum if optimizer=sgd]\n"
    )
    study = ("--config-dir", str(tmp_path), "study=mine", "sweep.dry_run=true", "hydra.launcher.n_jobs=1")
    shown = cifar_train(*study)
    assert shown.returncode == 0, said(shown)
    assert "optimizer.momentum: numbers from 0.0 to 0.9; only if optimizer=sgd" in shown.stdout
    assert "5 trials, 1 at once" in shown.stdout
    other = cifar_train(*study, "hydra.sweeper.n_trials=3", "optimizer=adam,rmsprop,sgd")
    assert "optimizer: adam, rmsprop, sgd" in other.stdout
    assert "3 trials, 1 at once" in other.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer.lrr=interval(0,1)"], "optimizer.lrr: unknown key"),
        (["optimizer=adam,sgdd"], "optimizer=sgdd: unknown option"),
        (
            ["optimizer=adam,sgd", "optimizer.momentum=interval(0,0.9)"],
            """or search the key there alone, such as 'hydra.sweeper.conditions=["KEY if optimizer=sgd"]'""",
        ),
        (["optimizer=adam,sgd", "hydra/launcher=basic"], "works with hydra/launcher=local, slurm or ray alone"),
        (
            ["optimizer=adam,sgd", "hydra.sweeper.n_trials=0"],
            "n_trials=0: must be an integer, at least 1",
        ),
        (["optimizer=adam,sgd", "hydra.sweeper.objectives=[accuracy]"], "must be some of val/accuracy, val/loss"),
        (
            ["optimizer=adam,sgd", "sweep.early_stopping=asha", "hydra.sweeper.objectives=[val/loss]"],
            "sweep.early_stopping=asha: compares by val/accuracy, and the search looks for val/loss",
        ),
    ],
    ids=["unknown key", "unknown option", "of some trials alone", "launcher", "total", "objective", "two metrics"],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_trained(outputs, arguments, message):
    given = [each for each in SEARCH if not ("launcher" in each and "hydra/launcher=basic" in arguments)]
    refused = cifar_train(*given, *arguments)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(outputs.glob("sweeps/*"))


@pytest.mark.slow
def test_without_optuna_the_message_says_what_to_install_and_grids_go_on(outputs, tmp_path):
    (tmp_path / "optuna.py").write_text("raise ImportError('not here')\n")
    refused = cifar_train(*SEARCH, "optimizer=adam,sgd", PYTHONPATH=str(tmp_path))
    assert refused.returncode == 1
    assert "pip install 'cifar-sweeps[search]'" in refused.stderr
    assert not list(outputs.glob("sweeps/*"))
    grid = cifar_train("-m", *SMALL, "seed=0,1", PYTHONPATH=str(tmp_path))
    assert grid.returncode == 0, said(grid)


@pytest.mark.slow
def test_neither_help_nor_jobs_import_optuna():
    modules = "cifar_sweeps.app, cifar_sweeps.cli.main, cifar_sweeps.sweeps.train_job, cifar_sweeps.sweeps.launch"
    code = f"import sys, {modules}; import hydra_plugins.cifar_sweeps_optuna; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
