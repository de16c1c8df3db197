"""Run one task in this process: ``python -m cifar_sweeps.sweeps.engines.task_process TASK_FOLDER``.

SIGUSR2 and SIGTERM stop the job at a safe point; another SIGTERM ends it at once. SIGUSR1 says that the allocation is
about to end: the job ends at its last whole epoch with exit status 75 (EX_TEMPFAIL) and without an exit file, and the
same task is to be started again. All other ends are written as ``exit-ATTEMPT.json``, with exit status 0; a process
that leaves neither has been killed.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from cifar_sweeps.errors import CifarSweepsError, in_one_line
from cifar_sweeps.runs.reporters import ReporterGroup
from cifar_sweeps.sweeps.engines import worker
from cifar_sweeps.sweeps.engines.code_snapshot import code_hash
from cifar_sweeps.sweeps.jobs import ExitCause, JobExit
from cifar_sweeps.sweeps.tasks import Progress, Task, read_payload, read_progress, read_task, write_exit, write_progress
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery_thread import hold_back

TRY_AGAIN = os.EX_TEMPFAIL
"""Exit status of a task whose allocation ended before its training."""
_MAX_BARREN = 1
"""Allocations in a row that may end without an epoch: Slurm may send its signal up to a minute early."""


class _Interruption:
    """Turns the first signal into KeyboardInterrupt, and keeps which it was."""

    def __init__(self) -> None:
        self.by: int | None = None
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            signal.signal(number, self._stop)
        for number in (signal.SIGINT, signal.SIGHUP):  # they reach a whole group; whoever started the task decides
            signal.signal(number, signal.SIG_IGN)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.by = number
        self.end()
        raise KeyboardInterrupt

    def end(self) -> None:
        """Interrupt no more: what is left to do is to write how the task ended."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_task(folder: Path) -> int:
    """Run a task and return the exit status: 0 if its end is written, `TRY_AGAIN` if it is to be started again."""
    interruption = _Interruption()
    began = time.monotonic()
    task = read_task(folder)
    used = read_progress(folder, task.attempt).seconds
    cause: ExitCause
    try:
        if task.timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, max(0.1, task.timeout - used))
        worker.redirect_output(Path(task.log_file))
        cause, value, detail = _run(task, folder)
        interruption.end()
    except KeyboardInterrupt:
        cause, value, detail = ("timed_out" if interruption.by == signal.SIGALRM else "stopped"), None, ""
    if interruption.by == signal.SIGUSR1 and cause == "stopped":
        return _end_allocation(task, folder, used + time.monotonic() - began)
    if cause == "stopped":  # a job that was preempted is queued again, and resumes
        before = read_progress(folder, task.attempt)
        seconds = round(used + time.monotonic() - began, 1)
        with contextlib.suppress(OSError):  # a full disk: how it ended is the more important
            write_progress(folder, task.attempt, dataclasses.replace(before, seconds=seconds))
    write_exit(folder, task.attempt, JobExit(task.job, cause, value=value, detail=detail))
    return 0


def _run(task: Task, folder: Path) -> worker.Outcome:
    if task.code != code_hash():
        return (
            "raised",
            None,
            (
                f"the code of cifar_sweeps here ({code_hash()}) is not that of the sweep's submission ({task.code}); "
                "install the same on all machines, or submit again: the same command"
            ),
        )
    if not task.delivers:
        hold_back()
    try:
        payload = read_payload(folder)
    except OSError as error:
        return "raised", None, in_one_line(error)
    # Nobody is told at once: the log has it all, and whoever follows the job reads its journal.
    return worker.run_payload(payload, ReporterGroup(), task.threads, task.gpu, task.until)


def _end_allocation(task: Task, folder: Path, seconds: float) -> int:
    """Note how far the job is; a job that gains no epoch in its allocations would be started again for ever."""
    before = read_progress(folder, task.attempt)
    epochs = _epochs_done(Path(task.folder))
    barren = 0 if epochs > before.epochs else before.barren + 1
    if barren > _MAX_BARREN:
        detail = (
            f"no epoch was finished within {barren} allocations, each up to its time limit (it stands at epoch "
            f"{epochs}); give the job more time: hydra.launcher.time"
        )
        write_exit(folder, task.attempt, JobExit(task.job, "raised", detail=detail))
        return 0
    write_progress(folder, task.attempt, Progress(epochs, round(seconds, 1), barren))
    return TRY_AGAIN


def _epochs_done(folder: Path) -> int:
    steps = [
        int(entry.fields["step"])
        for entry in journal.read(folder)
        if entry.op == "metrics" and "train/loss" in entry.fields["values"]
    ]
    return max(steps, default=0)


def main(arguments: Sequence[str]) -> int:
    """Run the task whose folder is named, and return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m cifar_sweeps.sweeps.engines.task_process TASK_FOLDER\n")
        return os.EX_USAGE
    try:
        return run_task(Path(arguments[0]))
    except (CifarSweepsError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return os.EX_SOFTWARE


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # threads of libraries may hold up an orderly exit
