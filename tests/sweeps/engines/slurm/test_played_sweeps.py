"""Whole sweeps against a played Slurm: the command as a user types it, and the scripts that it has submitted."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY
from played_slurm import PROGRAMS, PlayedSlurm

from cifar_sweeps.sweeps.tasks import read_placement
from cifar_sweeps.tracking.journal_reader import read_run

SWEEP = ("-m", *TINY, "analysis=none", "sweep.report=false", "hydra/launcher=slurm", "hydra.launcher.poll_seconds=0.1")


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A played Slurm, and a folder of its own in which commands are typed; outputs are where they are by default."""
    monkeypatch.delenv("CIFAR_SWEEPS_OUTPUTS")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return PlayedSlurm.install(tmp_path / "bin", monkeypatch)


def command(*arguments, module="cifar_sweeps", **environment):
    environment = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
        check=False,
    )


def run_script(call, array, index):
    """Run what sbatch was given, as a node does: in the folder of --chdir."""
    folder = next(each.partition("=")[2] for each in call if each.startswith("--chdir="))
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": str(array), "SLURM_ARRAY_TASK_ID": str(index)}
    return subprocess.run(
        ["bash", Path(call[-1]).absolute()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_with_outputs_in_the_folder_where_the_command_is_typed_a_job_trains(slurm, tmp_path):
    done = command(*SWEEP, "trainer.epochs=1", "sweep.detach=true", "seed=0")
    assert done.returncode == 0, done.stderr
    call = slurm.calls("sbatch")[-1]
    assert run_script(call, 100, 0).returncode == 0
    [sweep] = (tmp_path / "work/outputs/sweeps").iterdir()
    run = read_run(sweep / "0")
    assert run is not None
    assert run.state == "FINISHED"
    assert [each.name for each in tmp_path.glob("work/*")] == ["outputs"]
    assert list(sweep.rglob("outputs")) == []


SEARCH = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=8", "optimizer.lr=interval(0.001,0.1)")


@pytest.mark.parametrize(
    "what",
    [SEARCH, ("sweep.early_stopping=asha", "sweep.grace_epochs=1", "sweep.eta=2", "seed=range(8)")],
    ids=["search", "early stopping"],
)
def test_what_is_decided_by_results_has_no_more_jobs_in_the_queue_than_run_at_once(slurm, what):
    done = command(*SWEEP, "hydra.launcher.n_jobs=2", "sweep.detach=true", *what)
    assert done.returncode == 0, done.stderr
    assert len(slurm.tasks()) == 2


def test_a_grid_is_given_to_the_queue_as_a_whole(slurm):
    done = command(*SWEEP, "hydra.launcher.n_jobs=2", "sweep.detach=true", "seed=range(8)")
    assert done.returncode == 0, done.stderr
    assert len(slurm.tasks()) == 8
    assert "--array=0-7%2" in slurm.calls("sbatch")[-1]


def test_a_sweep_of_which_slurm_takes_nothing_is_not_left(slurm, tmp_path):
    slurm.change(most=0)
    done = command(*SWEEP, "sweep.detach=true", "seed=0,1")
    assert done.returncode == 1
    assert "MachineError: hydra/launcher=slurm: no job has been submitted: Slurm refused it: sbatch: " in done.stderr
    assert "Left to run" not in done.stdout
    [sweep] = (tmp_path / "work/outputs/sweeps").iterdir()
    assert read_placement(sweep) is None


def test_status_tells_of_jobs_that_died_while_nobody_watched(slurm, tmp_path):
    done = command(*SWEEP, "sweep.detach=true", "seed=0,1,2")
    assert done.returncode == 0, done.stderr
    [sweep] = (tmp_path / "work/outputs/sweeps").iterdir()
    (sweep / "0").mkdir()
    with (sweep / "0/journal.jsonl").open("w") as file:  # it was killed with its node
        file.write((sweep / "journal.jsonl").read_text())
    slurm.set("100_0", "NODE_FAIL")
    slurm.set("100_1", "FAILED", "1:0")  # before it had a journal
    told = command("status", sweep.name, "--json", module="cifar_sweeps.cli.main")
    jobs = {job["job"]: (job["state"], job["where"]) for job in json.loads(told.stdout)["jobs"]}
    assert jobs == {
        0: ("ended", "NODE_FAIL; cifar-sweeps attach retries it"),
        1: ("ended", "FAILED 1:0; cifar-sweeps attach retries it"),
        2: ("queued", "queued (Priority)"),
    }


def test_stop_says_at_once_that_slurm_is_missing(slurm, tmp_path):
    done = command(*SWEEP, "sweep.detach=true", "seed=0")
    assert done.returncode == 0, done.stderr
    [sweep] = (tmp_path / "work/outputs/sweeps").iterdir()
    for program in PROGRAMS:
        (slurm.folder / program).unlink()
    began = time.monotonic()
    told = command("stop", sweep.name, module="cifar_sweeps.cli.main", PATH=str(slurm.folder))
    assert time.monotonic() - began < 60
    assert told.returncode == 1
    assert "MachineError: hydra/launcher=slurm: sbatch, squeue, scontrol, scancel not found on PATH" in told.stderr
    assert read_placement(sweep) is not None
