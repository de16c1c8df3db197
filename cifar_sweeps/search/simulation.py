"""Simulate a sweep over runs that are known whole: a scheduler of real sweeps, with workers on a virtual clock."""

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count

from cifar_sweeps.search.scheduler import Assignment, Ending, Scheduler


@dataclass(frozen=True)
class WholeRun:
    """A run that was trained to its end.

    arm: runs with the same one differ in their seeds alone. epochs: its full length, from which its rungs follow.
    curve: the metric by epoch, at all of its rungs that it has come to, and at its last epoch. seconds: of each epoch
    that was trained; fewer than ``epochs`` if it ended by itself before. failed: it did so by a failure, which would
    come again.
    """

    arm: str
    epochs: int
    curve: Mapping[int, float]
    seconds: Sequence[float]
    failed: bool = False

    @property
    def trained(self) -> int:
        """How many epochs were trained."""
        return len(self.seconds)


@dataclass(frozen=True)
class Training:
    """What a simulated sweep has trained.

    epochs: of each run. seconds: of all workers together, those included that a kill has wasted. wall_clock: when the
    last job ended.
    """

    epochs: tuple[int, ...]
    seconds: float
    wall_clock: float


Recorded = Mapping[int, tuple[Ending, Mapping[int, float]]]
"""How each run that was started has ended, and its curve so far."""


def simulate(
    runs: Sequence[WholeRun],
    make_scheduler: Callable[[Recorded], Scheduler],
    workers: int,
    kills: Iterable[float] = (),
) -> Training:
    """Train as many runs at once as there are workers, as the scheduler says, by a clock that jumps from end to end.

    make_scheduler: called at the start, and after each kill with what is recorded by then. kills: seconds of that clock
    at which the sweep is killed with all that runs: the epochs under way are lost, and it goes on at once.
    """
    sweep = _SimulatedSweep(runs)
    times, scheduler = deque(sorted(kills)), make_scheduler({})
    while True:
        while len(sweep.under_way) < workers and (assignment := scheduler.ask()) is not None:
            sweep.start(assignment)
        if not sweep.under_way:
            return Training(tuple(sweep.reached), sweep.seconds, sweep.clock)
        if times and times[0] < sweep.under_way[0].end:
            sweep.kill(times.popleft())
            scheduler = make_scheduler(sweep.recorded)
            continue
        job = sweep.finish_next()
        scheduler.tell(job, *sweep.recorded[job])


@dataclass(frozen=True, order=True)
class _UnderWay:
    """An execution of a job. number: which came first. start, end: by the clock."""

    end: float
    number: int
    job: int
    until: int
    ending: Ending
    start: float


class _SimulatedSweep:
    """Jobs that train, and what is recorded of those that have ended. reached: the whole epochs of each."""

    def __init__(self, runs: Sequence[WholeRun]) -> None:
        self._runs = runs
        self._seconds_at = [[0.0, *accumulate(run.seconds)] for run in runs]
        self._numbers = count()
        self.reached = [0] * len(runs)
        self.recorded: dict[int, tuple[Ending, Mapping[int, float]]] = {}
        self.under_way: list[_UnderWay] = []
        """A heap: the first one ends first."""
        self.clock = self.seconds = 0.0

    def start(self, assignment: Assignment) -> None:
        """Train a job from where it stands until its next rung, or until it ends by itself."""
        job, run = assignment.job, self._runs[assignment.job]
        wanted = assignment.until or run.epochs
        until = min(wanted, run.trained)
        ending: Ending = "paused" if wanted < run.trained else "finished"
        if run.failed:  # in the epoch after its last one
            ending = "failed" if wanted > run.trained else "paused"
        took = self._seconds_at[job][until] - self._seconds_at[job][self.reached[job]]
        execution = _UnderWay(self.clock + took, next(self._numbers), job, until, ending, self.clock)
        heapq.heappush(self.under_way, execution)

    def finish_next(self) -> int:
        """Go on to the end of the job that ends first, and return it."""
        execution = heapq.heappop(self.under_way)
        self._end(execution, execution.end, execution.until, execution.ending)
        return execution.job

    def kill(self, clock: float) -> None:
        """End all that runs, each at its last whole epoch by this time."""
        for execution in self.under_way:
            seconds_at, before = self._seconds_at[execution.job], self.reached[execution.job]
            now = seconds_at[before] + clock - execution.start
            whole = max(before, min(bisect_right(seconds_at, now), execution.until) - 1)
            self._end(execution, clock, whole, "killed")
        self.under_way = []

    def _end(self, execution: _UnderWay, clock: float, epoch: int, ending: Ending) -> None:
        job, self.clock = execution.job, clock
        self.seconds += clock - execution.start
        self.reached[job] = epoch
        curve = self._runs[job].curve
        self.recorded[job] = ending, {each: value for each, value in curve.items() if each <= epoch}
