"""Schedulers: which job of a sweep is started next, and which is paused or stopped early."""

from collections.abc import Iterable
from typing import Literal, Protocol

from cifar_sweeps.sweeps.jobs import JobState

Decision = Literal["continue", "pause", "stop"]


class Scheduler(Protocol):
    """Decides what to try. It knows jobs by their numbers and their metrics: no process, no folder, no config."""

    def ask(self) -> int | None:
        """Return the job to start, or to resume if it was paused; None: none for now.

        Called whenever a slot is free. The sweep ends when no job runs, none is to be retried, and this returns None.
        """

    def report(self, job: int, epoch: int, value: float) -> Decision:
        """Take in a job's validation accuracy after an epoch, and decide whether the job continues.

        ``pause`` and ``stop`` both end it at a safe point, with a checkpoint; a paused job may be asked for again.
        """

    def tell(self, job: int, state: JobState, value: float | None) -> None:
        """Take in how a job ended: finished, failed, killed or paused, and what its task function returned."""


class GridScheduler:
    """Starts the jobs in their order; pauses and stops none. This is Hydra's plain multirun."""

    def __init__(self, jobs: Iterable[int]) -> None:
        self._jobs = iter(list(jobs))

    def ask(self) -> int | None:
        """Return the next job in order."""
        return next(self._jobs, None)

    def report(self, job: int, epoch: int, value: float) -> Decision:
        """Return ``continue``."""
        return "continue"

    def tell(self, job: int, state: JobState, value: float | None) -> None:
        """Ignore it: a grid does not depend on results."""
