"""A job that fails is tried again, after the others; a sweep that stops at a failure says what became of all."""

import pytest
from conftest import cifar_train
from test_launched_sweeps import ALLOWED, MISBEHAVING, runs_of


@pytest.mark.slow
def test_a_job_that_waits_for_its_next_try_when_the_sweep_stops_is_told_with_its_own_reason(outputs):
    done = cifar_train(
        "-m",
        *MISBEHAVING,
        "model.deed=kill,throw",
        "hydra.launcher.n_jobs=1",
        "sweep.retries=1",
        "sweep.fail_fast=true",
        **ALLOWED,
    )
    assert done.returncode == 1
    began = [line.split()[1] for line in done.stdout.splitlines() if " started: " in line]
    assert began == ["0", "1", "0"]  # a second try comes after the others
    parent, children = runs_of(outputs)
    assert parent.info.status == "FAILED"
    assert {name: run.info.status for name, run in children.items()} == {"deed=kill": "KILLED", "deed=throw": "FAILED"}
    assert "killed by SIGKILL" in children["deed=kill"].data.tags["cifar_sweeps.failure"]
    assert "Job 0 killed (deed=kill): its process was killed by SIGKILL" in done.stdout
    assert "Job 1 failed (deed=throw): ValueError: a bad day" in done.stdout
    assert done.stderr == ""  # all has been told


@pytest.mark.slow
def test_a_job_that_dies_when_all_is_done_has_finished(outputs):
    done = cifar_train("-m", *MISBEHAVING, "model.deed=die_when_all_is_done", "sweep.retries=1", **ALLOWED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "job 0 finished" in done.stdout
    parent, children = runs_of(outputs)
    assert [run.info.status for run in (parent, *children.values())] == ["FINISHED"] * 2
