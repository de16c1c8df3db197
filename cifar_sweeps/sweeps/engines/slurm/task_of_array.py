"""Run one task of a job array: what the batch script becomes on its node.

``python -m cifar_sweeps.sweeps.engines.slurm.task_of_array RECORD FOLDER`` runs the job that the submission's record
names for this task, in this very process, so that Slurm's signals reach it. A job that its time limit has stopped at a
whole epoch is queued again, and resumes in its next allocation.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from cifar_sweeps.sweeps.engines.slurm import commands, submissions
from cifar_sweeps.sweeps.engines.slurm.commands import SlurmError, TaskId
from cifar_sweeps.sweeps.engines.slurm.submissions import ArrayTask
from cifar_sweeps.sweeps.tasks import read_exit, read_task, remove_exit
from cifar_sweeps.tracking import journal

_TRY_SECONDS = 5.0
"""Seconds between two tries to be queued again, while the controller does not answer; Slurm ends them at the limit."""
_LOCK_SECONDS = 2.0
"""Seconds between two looks whether another process still runs this job."""


def main(arguments: list[str]) -> int:
    """Run the task and return its exit status. arguments: the record, and the folder in which the sweep was started."""
    _find_own_modules(arguments[1])
    with contextlib.suppress(OSError):  # the job itself says that the folder is not there
        os.chdir(arguments[1])  # relative places in the job's config mean this folder
    record = submissions.read_submission(Path(arguments[0]))
    this = int(os.environ["SLURM_ARRAY_JOB_ID"]), int(os.environ["SLURM_ARRAY_TASK_ID"])
    task = record.tasks[this[1]]
    folder = Path(task.folder)
    if reason := _why_not_run(task, this):
        _say(task, reason)
        return 0
    submissions.drop_requeue(folder, task.attempt)
    from cifar_sweeps.sweeps.engines import task_process

    status = task_process.main([task.folder])
    if status == os.EX_TEMPFAIL:
        _queue_again(task, this)
    return status


def _find_own_modules(typed_in: str) -> None:
    """Let the user's own modules be imported, behind everything else, where the sweep's command may import them."""
    if os.environ.get("CIFAR_SWEEPS_ALLOW_TARGETS", "").strip() and typed_in not in sys.path:
        sys.path.append(typed_in)


def _why_not_run(task: ArrayTask, this: TaskId) -> str | None:
    """Return why there is nothing to do, or None; this waits while another process still runs the job."""
    folder, attempt = Path(task.folder), task.attempt
    current = read_task(folder)
    if current.attempt != attempt:
        return "it has been started anew since"
    if (owner := submissions.claim(folder, attempt, this)) != this:
        return f"Slurm's job {owner[0]}_{owner[1]} runs it"
    # A node that Slurm takes for dead may still be training what Slurm has queued again.
    while journal.is_locked(Path(current.folder)) and journal.has_locks(Path(current.folder)):
        _say(task, "another process still runs it; waiting")
        time.sleep(_LOCK_SECONDS)
    if submissions.is_stopped(folder, attempt):
        return "the sweep has been stopped"
    written = read_exit(folder, attempt)
    if written is not None and written.cause != "stopped":
        return f"it has ended: {written.cause}"
    if written is not None:  # Slurm took its place away, and has given it another one
        remove_exit(folder, attempt)
    return None


def _queue_again(task: ArrayTask, this: TaskId) -> None:
    """Ask Slurm to queue this task again, until it answers; it ends this process then."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    submissions.note_requeue(Path(task.folder), task.attempt)
    while True:
        try:
            commands.requeue(this)
            return
        except SlurmError as error:
            _say(task, f"cannot be queued again yet: {error}")
            time.sleep(_TRY_SECONDS)


def _say(task: ArrayTask, line: str) -> None:
    """Write a line beside what Slurm writes of this task."""
    sys.stdout.write(f"job {task.job}: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # threads of libraries may hold up an orderly exit
