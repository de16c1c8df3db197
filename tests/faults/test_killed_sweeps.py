"""Sweeps whose command or jobs are killed: true states, one run a job, and the same command finishes what was begun."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .sweeping import ENDLESS, Command, Differences, Stored, epochs_of, kill, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def process_of(command: Command, outputs: Path, job: int) -> int:
    """The process that writes a job's journal."""
    (journal,) = outputs.glob(f"sweeps/*/{job}/journal.jsonl")

    def holds(process: int) -> bool:
        return any(file.resolve() == journal for file in Path(f"/proc/{process}/fd").iterdir())

    (found,) = filter(holds, command.jobs())
    return found


def sweep_id(outputs: Path) -> str:
    (file,) = outputs.glob("sweeps/*/sweep.json")
    return json.loads(file.read_text())["sweep_id"]


@pytest.mark.slow
def test_a_job_that_was_killed_is_marked_and_the_same_command_finishes_it(begin, outputs, undisturbed):
    first = begin()
    wait_until(lambda: epochs_of(outputs, 0) >= 2)
    kill(process_of(first, outputs, 0), signal.SIGKILL)
    assert first.wait() == 1
    left = Stored(outputs)
    assert left.states() == {"seed=0": "KILLED", "seed=1": "FINISHED"}
    assert "killed by SIGKILL" in left.child("seed=0").data.tags["cifar_sweeps.failure"]
    assert left.parents[0].info.status == "FAILED"
    assert f"cifar-sweeps resume {sweep_id(outputs)}" in first.said

    again = begin()
    assert again.wait() == 0, again.said
    assert Stored(outputs).differences(undisturbed) == Differences()
    assert Stored(outputs).child("seed=0").info.run_id == left.child("seed=0").info.run_id
    assert "1 job had finished before" in again.said
    assert "reused" in again.said


@pytest.mark.slow_fault
def test_a_command_that_was_killed_leaves_no_process_and_is_gone_on_with_by_its_id(begin, outputs, undisturbed):
    first = begin()
    wait_until(lambda: epochs_of(outputs, 0) >= 1)
    kill(first.process.pid, signal.SIGKILL)
    first.wait_until_all_are_gone()
    resume = "from cifar_sweeps.cli.main import main; main()"
    again = subprocess.run(
        [sys.executable, "-c", resume, "resume", sweep_id(outputs)],
        env={**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs)},
        cwd=outputs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "its process is gone; marked as KILLED" in again.stderr
    assert Stored(outputs).differences(undisturbed) == Differences()


@pytest.mark.slow_fault
def test_ctrl_c_while_the_jobs_are_on_their_way_stops_them_too(begin, outputs):
    command = begin(ENDLESS)
    wait_until(lambda: "job 1 started" in command.said)
    command.process.send_signal(signal.SIGINT)
    assert command.wait() == 130
    assert "Stopping at a safe point" in command.said
    assert f"cifar-sweeps resume {sweep_id(outputs)}" in command.said
    left = Stored(outputs)
    assert left.parents[0].info.status == "KILLED"
    reasons = {run.data.tags["cifar_sweeps.failure"] for run in left.children}
    assert reasons <= {"interrupted"}  # what a job says that stopped by itself, if it had come to its record
    assert "RUNNING" not in left.states().values()
