"""Schedulers: which job of a sweep is started next, and until which epoch it trains."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Ending = Literal["paused", "finished", "failed", "killed"]
"""How a job's execution ended. ``paused``: at the epoch until which it was to train, before its last."""


@dataclass(frozen=True)
class Assignment:
    """What is to be run next: a job, from where it stands. until: the epoch after which it pauses; None: its end."""

    job: int
    until: int | None = None


class Scheduler(Protocol):
    """Decides what to try. It knows jobs by their numbers and their metrics: no process, no folder, no config.

    waits_for_results: whether its answers depend on what it is told, so that it is not asked while a job that has
    trained has not been told of.
    """

    waits_for_results: bool

    def ask(self) -> Assignment | None:
        """Return the job to start, or to resume if it was paused; None: none for now.

        Called whenever a slot is free. The sweep ends when no job runs, none is to be retried, and this returns None.
        """

    def tell(self, job: int, ending: Ending, curve: Mapping[int, float]) -> None:
        """Take in how a job ended, and its curve: the metric that is compared by epoch, from its journal."""

    def adopt(self, job: int, until: int | None) -> None:
        """Take in, before the first `ask`, that a job trains already: it is not asked for until it has ended.

        until: see `Assignment`.
        """


class GridScheduler:
    """Starts the jobs in their order and lets each train to its end. This is Hydra's plain multirun."""

    waits_for_results = False

    def __init__(self, jobs: Iterable[int]) -> None:
        self._jobs = dict.fromkeys(jobs)

    def ask(self) -> Assignment | None:
        """Return the next job in order."""
        job = next(iter(self._jobs), None)
        if job is None:
            return None
        del self._jobs[job]
        return Assignment(job)

    def tell(self, job: int, ending: Ending, curve: Mapping[int, float]) -> None:
        """Ignore it: a grid does not depend on results."""

    def adopt(self, job: int, until: int | None) -> None:
        """Leave a job out."""
        self._jobs.pop(job, None)
