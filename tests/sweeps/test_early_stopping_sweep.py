"""A sweep with early stopping: what is decided, what is said of it, and how a paused job is trained to its end."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import cifar_train
from mlflow import MlflowClient

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.search.decisions import NAME, Decision, DecisionLog, read_decisions
from cifar_sweeps.search.early_stopping import EarlyStoppingScheduler
from cifar_sweeps.search.scheduler import Assignment, GridScheduler
from cifar_sweeps.sweeps import early_stopping as module
from cifar_sweeps.sweeps.early_stopping import describe_early_stopping, make_scheduler, unmet_promotions
from cifar_sweeps.sweeps.resume import promote

SMALL = (
    "data.source.train_images=200",
    "data.source.test_images=60",
    "trainer.epochs=4",
    "trainer.precision=fp32",
    "analysis=none",
    "analysis.log_model=false",
    "sweep.report=false",
)


def planned(number, *overrides):
    config = compose(["sweep.early_stopping=asha", *overrides])
    return SimpleNamespace(number=number, config=config, previous=None, needs_training=True)


def test_the_jobs_of_an_arm_are_those_that_differ_in_their_seeds(tmp_path):
    rates = [("optimizer.lr=0.1", "seed=0"), ("optimizer.lr=0.2", "seed=0"), ("optimizer.lr=0.1", "seed=1")]
    jobs = [planned(number, *each, "trainer.epochs=40") for number, each in enumerate(rates)]
    scheduler = make_scheduler(jobs, ("optimizer.lr", "seed"), tmp_path)
    assert isinstance(scheduler, EarlyStoppingScheduler)
    assert [scheduler.ask() for _ in range(4)] == [Assignment(0, 4), Assignment(2, 4), Assignment(1, 4), None]
    assert [each.jobs for each in read_decisions(tmp_path / NAME)] == [(0, 2), (1,)]


def left_of_before(number, state, **run):
    """A job as a previous launch has left it, with sweep.rerun=never."""
    job = planned(number, f"optimizer.lr=0.{number + 1}", "trainer.epochs=40", "sweep.rerun=never")
    recorded = SimpleNamespace(state=state, **run)
    job.previous = SimpleNamespace(run=recorded, folder=Path("nowhere"), is_finished=state == "FINISHED")
    job.needs_training = False
    return job


@pytest.mark.parametrize("state", ["FAILED", "KILLED", "PAUSED", "FINISHED"])
def test_with_rerun_never_what_was_left_is_not_asked_for(tmp_path, state):
    decision = Decision("start", (0,), 4, "lr=0.1")
    DecisionLog(tmp_path / NAME).append(decision)
    jobs = [left_of_before(0, state), planned(1, "optimizer.lr=0.2", "trainer.epochs=40")]
    scheduler = make_scheduler(jobs, ("optimizer.lr",), tmp_path)
    assert scheduler.ask() == Assignment(1, 4)


def test_paused_jobs_that_a_command_without_early_stopping_trains_are_told(tmp_path):
    job = planned(0, "sweep.early_stopping=none")
    job.previous = SimpleNamespace(run=SimpleNamespace(state="PAUSED"))
    assert [*describe_early_stopping([job])] == [
        "1 job of before, paused by early stopping: trained to the end, as this command has none."
    ]


def test_a_promotion_that_this_command_does_not_have_is_told(tmp_path, monkeypatch):
    DecisionLog(tmp_path / NAME).append(Decision("asked", (3,), None, rung=4))
    before = [SimpleNamespace(number=3, is_finished=False)]
    monkeypatch.setattr(module, "read_previous_jobs", lambda _: before)
    (line,) = unmet_promotions([planned(0)], tmp_path)
    assert "not trained: 3: of an earlier command with other values" in line
    assert not [*unmet_promotions([planned(0), planned(3)], tmp_path)]
    before[0].is_finished = True
    assert not [*unmet_promotions([planned(0)], tmp_path)]


def test_without_early_stopping_it_is_the_plain_grid(tmp_path):
    assert isinstance(make_scheduler([planned(0, "sweep.early_stopping=none")], (), tmp_path), GridScheduler)


def test_jobs_that_ask_for_different_rules_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be swept"):
        make_scheduler([planned(0, "sweep.eta=2"), planned(1, "sweep.eta=3")], ("sweep.eta",), tmp_path)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("trainer.epochs=40",), "runs pause after epochs 4 and 16 of 40; by val/accuracy there, the best 1 in 4"),
        (("trainer.epochs=9", "sweep.early_stopping=median"), "epochs 4 and 8 of 9; .* not worse than the median"),
        (("trainer.epochs=4",), "pauses nothing: the first comparison would be after epoch 4"),
        (("sweep.early_stopping=none",), None),
    ],
)
def test_where_runs_pause_is_said(overrides, line):
    lines = [*describe_early_stopping([planned(0, *overrides)])]
    assert len(lines) == (line is not None)
    if line is not None:
        assert re.search(line, lines[0]), lines[0]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("none", "sweep.metric=val/loss"), "sweep.metric=val/loss: has no effect with sweep.early_stopping=none; "),
        (("none", "sweep.eta=3", "sweep.grace_epochs=2"), "sweep.eta=3, sweep.grace_epochs=2: have no effect with"),
        (("median", "sweep.eta=3", "sweep.metric=val/loss"), "sweep.eta=3: has no effect with sweep.early_stopping=m"),
        (("asha", "sweep.eta=3", "sweep.grace_epochs=2", "sweep.metric=val/loss"), None),
        (("none",), None),
    ],
)
def test_settings_that_a_rule_does_not_use_are_told(overrides, told):
    rule, *changed = overrides
    lines = [*describe_early_stopping([planned(0, f"sweep.early_stopping={rule}", *changed)])]
    assert [line.startswith(told or "") for line in lines if "no effect" in line] == ([] if told is None else [True])


@pytest.mark.slow
def test_a_sweep_pauses_its_jobs_and_one_is_trained_to_its_end_after_all(outputs):
    asha = ("sweep.early_stopping=asha", "sweep.eta=2", "sweep.grace_epochs=1", "hydra.launcher.n_jobs=2")
    done = cifar_train("-m", "optimizer.lr=0.01,0.001,0.0001,0.00001", *asha, *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cifar_sweeps").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}  # the parent run too
    stopped = {run: int(each) for run in runs if (each := run.data.tags.get("cifar_sweeps.early_stopped"))}
    tested = [run for run in runs if "test/accuracy" in run.data.metrics]
    assert len(stopped) + len(tested) == 4
    assert len(stopped) >= 2
    (folder,) = outputs.glob("sweeps/*")
    for run, epoch in stopped.items():
        assert f"paused at epoch {epoch} of 4" in done.stdout
        assert len(client.get_metric_history(run.info.run_id, "val/accuracy")) == epoch
        assert f"paused at epoch {epoch} of 4" in run.data.tags["mlflow.note.content"]
    assert f"{len(stopped)} of 4 runs are paused by early stopping" in done.stdout
    assert f"cifar-sweeps promote {folder.name}" in done.stdout

    job = next(iter(stopped)).data.tags["cifar_sweeps.job"]
    finished = tested[0].data.tags["cifar_sweeps.job"]
    with pytest.raises(TrackingError, match=f"job {finished} is finished; there is no job 9; paused .* are .*{job}"):
        promote(folder.name, [int(finished), 9], outputs)
    with pytest.raises(TrackingError, match=f"name some of those that are paused: .*{job}"):
        promote(folder.name, [], outputs)
    again = subprocess.run(
        [sys.executable, "-m", "cifar_sweeps.cli.main", "promote", folder.name, job],
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count(f"job {job} resumed") == 1
    assert again.stdout.count("started") == 0
    now = client.search_runs([runs[0].info.experiment_id])
    assert sum("test/accuracy" in run.data.metrics for run in now) == len(tested) + 1
    assert read_decisions(folder / NAME)[-1].kind == "asked"
