"""Decide whether a job that failed is tried again: ``sweep.retries``."""

from cifar_sweeps.sweeps.jobs import JobExit
from cifar_sweeps.training.metrics import DivergedError


def should_retry(how: JobExit, attempts: int, retries: int) -> bool:
    """Say whether a job that did not finish is tried again.

    how: its last end. attempts: how often it has been started. retries: how often it may be tried again. A training
    that diverged is not: it is the same training, and diverges again.
    """
    diverged = how.cause == "raised" and how.detail.startswith(DivergedError.__name__)
    return attempts <= retries and not diverged
