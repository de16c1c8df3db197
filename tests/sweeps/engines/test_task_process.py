"""One task in a process: what it runs, how each end is told, and that it is the code of the submission."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cifar_sweeps.sweeps import tasks
from cifar_sweeps.sweeps.engines import code_snapshot, task_process
from cifar_sweeps.sweeps.jobs import JobExit, JobSpec
from cifar_sweeps.tracking import delivery_thread


@pytest.fixture
def task(tmp_path, monkeypatch):
    """Write a task, and run it in this process with a played worker."""
    handlers = {number: signal.getsignal(number) for number in (15, 10, 12, 14, 1, 2)}
    monkeypatch.setattr(task_process.worker, "redirect_output", lambda path: None)
    monkeypatch.setattr(delivery_thread, "_held_back", False)
    sweep = tmp_path / "sweep"
    (sweep / "3").mkdir(parents=True)

    def write(timeout=None, code=None, delivers=True):
        spec = JobSpec(3, sweep / "3", sweep / "3" / "run.log", b"load", 2, timeout, None, 7, "identity")
        return tasks.write_task(sweep, spec, code or code_snapshot.code_hash(), delivers)

    yield write
    for number, handler in handlers.items():
        signal.signal(number, handler)


def plays(monkeypatch, what):
    seen = []

    def run_payload(*arguments):
        seen.append(arguments)
        return what() or ("returned", 0.5, "")

    monkeypatch.setattr(task_process.worker, "run_payload", run_payload)
    return seen


def epochs(folder: Path, number: int) -> None:
    lines = [
        f'{{"op": "metrics", "time": 1, "step": {n}, "values": {{"train/loss": 1}}}}\n' for n in range(1, number + 1)
    ]
    Path(tasks.read_task(folder).folder, "journal.jsonl").write_text("".join(lines))


def end_of(folder):
    return tasks.read_exit(folder, tasks.read_task(folder).attempt)


def test_what_the_worker_returns_is_the_exit(task, monkeypatch):
    folder = task()
    seen = plays(monkeypatch, lambda: None)
    assert task_process.run_task(folder) == 0
    assert end_of(folder) == JobExit(3, "returned", value=0.5)
    [(payload, _reporter, threads, gpu, until)] = seen
    assert (payload, threads, gpu, until) == (b"load", 2, None, 7)
    assert not delivery_thread.is_held_back()
    assert (folder / "payload").stat().st_mode & 0o077 == 0


def test_a_job_that_does_not_deliver_holds_its_process_back(task, monkeypatch):
    plays(monkeypatch, lambda: None)
    task_process.run_task(task(delivers=False))
    assert delivery_thread.is_held_back()


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_to_stop_is_told_as_such(task, monkeypatch, number):
    folder = task()
    plays(monkeypatch, lambda: os.kill(os.getpid(), number))
    assert task_process.run_task(folder) == 0
    assert end_of(folder) == JobExit(3, "stopped")


def test_the_time_limit_of_the_sweep_counts_all_allocations(task, monkeypatch):
    folder = task(timeout=100)
    attempt = tasks.read_task(folder).attempt
    tasks.write_progress(folder, attempt, tasks.Progress(2, 99.9))
    plays(monkeypatch, lambda: signal.pause())
    assert task_process.run_task(folder) == 0
    assert end_of(folder) == JobExit(3, "timed_out")


def test_what_was_trained_before_another_job_took_its_place_counts_too(task, monkeypatch):
    folder = task(timeout=100)
    attempt = tasks.read_task(folder).attempt
    tasks.write_progress(folder, attempt, tasks.Progress(2, 50.0, 1))
    plays(monkeypatch, lambda: (time.sleep(0.2), os.kill(os.getpid(), signal.SIGTERM)))
    assert task_process.run_task(folder) == 0
    progress = tasks.read_progress(folder, attempt)
    assert (progress.epochs, progress.barren) == (2, 1)
    assert progress.seconds > 50.1


def test_an_allocation_that_ends_is_followed_by_another_as_long_as_epochs_are_gained(task, monkeypatch):
    folder = task()
    attempt = tasks.read_task(folder).attempt
    plays(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    epochs(folder, 2)
    assert task_process.run_task(folder) == task_process.TRY_AGAIN
    assert end_of(folder) is None
    assert tasks.read_progress(folder, attempt).epochs == 2
    for count in (3, 4):  # each after one that gains nothing: Slurm's signal may come a minute early
        assert task_process.run_task(folder) == task_process.TRY_AGAIN
        epochs(folder, count)
        assert task_process.run_task(folder) == task_process.TRY_AGAIN
    assert task_process.run_task(folder) == task_process.TRY_AGAIN
    assert task_process.run_task(folder) == 0
    assert end_of(folder).cause == "raised"
    assert "no epoch was finished within 2 allocations, each up to its time limit (it stands at epoch 4)" in (
        end_of(folder).detail
    )


def test_other_code_than_that_of_the_submission_is_refused(task, monkeypatch):
    folder = task(code="0123456789abcdef")
    seen = plays(monkeypatch, lambda: None)
    assert task_process.run_task(folder) == 0
    assert seen == []
    assert "is not that of the sweep's submission (0123456789abcdef)" in end_of(folder).detail


def test_a_new_attempt_knows_nothing_of_the_last_one(task):
    folder = task()
    first = tasks.read_task(folder).attempt
    tasks.write_exit(folder, first, JobExit(3, "stopped"))
    tasks.write_progress(folder, first, tasks.Progress(2, 5.0))
    assert tasks.read_exit(task(), first) is None
    assert tasks.read_task(folder).attempt != first
    assert tasks.read_progress(folder, tasks.read_task(folder).attempt) == tasks.Progress()
    assert tasks.planned_identities(folder.parents[1]) == {3: "identity"}


def test_the_code_of_the_submission_runs_whatever_is_edited_afterwards(tmp_path):
    sweep = tmp_path / "a sweep"
    snapshot = code_snapshot.take_snapshot(sweep)
    assert code_snapshot.take_snapshot(sweep) == snapshot
    ask = "from cifar_sweeps.sweeps.engines.code_snapshot import code_hash; print(code_hash())"

    def hash_in(folder):
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONSAFEPATH", "PYTHONPATH")}
        done = subprocess.run(
            [sys.executable, "-c", ask], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert hash_in(snapshot) == code_snapshot.code_hash()
    edited = snapshot / "cifar_sweeps" / "errors.py"
    edited.write_text(edited.read_text() + "# edited\n")
    assert hash_in(snapshot) != code_snapshot.code_hash()  # it is the snapshot's own code that runs there
