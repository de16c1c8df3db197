"""Decide whether a job that failed is tried again: ``sweep.retries``."""

from cifar_sweeps.sweeps.jobs import JobExit
from cifar_sweeps.training.metrics import DivergedError


def should_retry(job_exit: JobExit, failures: int, retries: int) -> bool:
    """Say whether a job that did not finish is tried again.

    job_exit: how it ended. failures: how often it has failed, this time included. retries: how often it may be tried
    again. A training that diverged is not tried again: the same training diverges again. Nor is one that somebody took
    out of the scheduler's queue.
    """
    if job_exit.cause == "cancelled":
        return False
    diverged = job_exit.cause == "raised" and job_exit.detail.startswith(DivergedError.__name__)
    return failures <= retries and not diverged
