"""Decide whether a job that did not finish is started again: ``sweep.retries``, and machines that fail."""

from cifar_sweeps.sweeps.jobs import ExitCause, JobExit
from cifar_sweeps.training.metrics import DivergedError

NOT_ITS_FAULT: frozenset[ExitCause] = frozenset({"node_failed", "preempted"})
"""Ends that say nothing of the job: it starts again elsewhere, and they do not count as its failures."""
MAX_MOVES = 3
"""How often a job is started again for such an end: one that takes its nodes along is not started for ever."""


def should_retry(job_exit: JobExit, failures: int, retries: int, moves: int = 0) -> bool:
    """Say whether a job that did not finish is started again.

    job_exit: how it ended. failures: how often it has failed, this time included. retries: how often it may be tried
    again. moves: how often an end that is not its fault has come, this time included. A training that diverged is not
    tried again: the same training diverges again. Nor is one that somebody took out of the scheduler's queue.
    """
    if job_exit.cause == "cancelled":
        return False
    if job_exit.cause in NOT_ITS_FAULT:
        return moves <= MAX_MOVES
    diverged = job_exit.cause == "raised" and job_exit.detail.startswith(DivergedError.__name__)
    return failures <= retries and not diverged
