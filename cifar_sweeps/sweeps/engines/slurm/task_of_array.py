"""Run one task of a job array: what the batch script becomes on its node.

``python -m cifar_sweeps.sweeps.engines.slurm.task_of_array RECORD`` runs the job that the submission's record names for
this task, in this very process, so that Slurm's signals reach it. A job that its time limit has stopped at a whole
epoch is queued again, and resumes in its next allocation.
"""

import os
import signal
import sys
import time
from pathlib import Path

from cifar_sweeps.sweeps.engines.slurm import commands, submissions
from cifar_sweeps.sweeps.engines.slurm.commands import SlurmError, TaskId
from cifar_sweeps.sweeps.engines.slurm.submissions import ArrayTask

_TRY_SECONDS = 5.0
"""Seconds between two tries to be queued again, while the controller does not answer; Slurm ends them at the limit."""
_LOCK_SECONDS = 5.0
"""Seconds between two looks whether another process still runs this job."""


def main(arguments: list[str]) -> int:
    """Run the task and return its exit status."""
    record = submissions.read_submission(Path(arguments[0]))
    this = int(os.environ["SLURM_ARRAY_JOB_ID"]), int(os.environ["SLURM_ARRAY_TASK_ID"])
    task = record.tasks[this[1]]
    if why := _why_not_run(task, this):
        print(f"job {task.job}: {why}", flush=True)
        return 0
    from cifar_sweeps.sweeps.engines import task_process

    status = task_process.main([task.folder])
    if status == os.EX_TEMPFAIL:
        _queue_again(task, this)
    return status


def _why_not_run(task: ArrayTask, this: TaskId) -> str | None:
    """Return why there is nothing to do, or None. Waits where another process still runs the job."""
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
            print(f"job {task.job}: cannot be queued again yet: {error}", file=sys.stderr, flush=True)
            time.sleep(_TRY_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
