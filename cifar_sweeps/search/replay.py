"""Replay early stopping over runs that are known whole: what it would have trained, how long, and which arm it picks.

The scheduler is the one of real sweeps; simulated are only the workers and their clock.
"""

import heapq
import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from pathlib import Path
from statistics import fmean, median

from cifar_sweeps.search.decisions import DecisionLog
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.rungs import Ladder
from cifar_sweeps.search.scheduler import Assignment, Ending, GridScheduler, Scheduler


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


@dataclass(frozen=True)
class Outcome:
    """What early stopping makes of one order of arrival.

    epochs, seconds, wall_clock: shares of the whole sweep's, the last with the same number of workers. picked: the best
    of the arms that were trained to their end, by the mean of its seeds there. regret: by how much the best of all arms
    is better; 0 if that was picked. whole_wall_clock: of the whole sweep, in seconds.
    """

    epochs: float
    seconds: float
    wall_clock: float
    picked: str
    regret: float
    whole_wall_clock: float


@dataclass(frozen=True)
class Summary:
    """What early stopping makes of many orders of arrival.

    epochs, seconds, wall_clock: means of the shares. regret, regret_90, regret_worst: the median, what nine of ten
    orders do not exceed, and the highest. best_picked: share of the orders in which the best arm was picked.
    whole_wall_clock: mean seconds.
    """

    orders: int
    epochs: float
    seconds: float
    wall_clock: float
    regret: float
    regret_90: float
    regret_worst: float
    best_picked: float
    whole_wall_clock: float


Recorded = Mapping[int, tuple[Ending, Mapping[int, float]]]
"""How each run that was started has ended, and its curve so far."""


def draw_orders(runs: Iterable[WholeRun], number: int, seed: int = 0) -> list[list[str]]:
    """Return orders of arrival of the arms, drawn at random."""
    draw, arms = random.Random(seed), list(dict.fromkeys(run.arm for run in runs))
    return [draw.sample(arms, len(arms)) for _ in range(number)]


def final_values(runs: Iterable[WholeRun]) -> dict[str, float]:
    """Return each arm's value at its end: the mean of its seeds that did not fail; without arms whose all failed."""
    values: dict[str, list[float]] = {}
    for run in runs:
        if not run.failed:
            values.setdefault(run.arm, []).append(run.curve[run.trained])
    return {arm: fmean(own) for arm, own in values.items()}


def best_arm(values: Mapping[str, float], rises: bool) -> str:
    """Return the arm with the best value."""
    return max(values, key=lambda arm: values[arm] if rises else -values[arm])


def replay(runs: Sequence[WholeRun], ladder: Ladder, order: Sequence[str], workers: int, *, rises: bool) -> Outcome:
    """Return what early stopping makes of the runs where the arms come in this order. rises: higher is better.

    An arm must not have failed with all of its seeds, or not every arm.
    """
    whole = simulate(runs, lambda _: GridScheduler(in_order(runs, order)), workers)
    return outcome(runs, whole, simulate(runs, early_stopping(runs, ladder, order, rises=rises), workers), rises=rises)


def outcome(runs: Sequence[WholeRun], whole: Training, stopped: Training, *, rises: bool) -> Outcome:
    """Compare a training with the whole one."""
    final = final_values(runs)
    incomplete = {
        run.arm for run, epochs in zip(runs, stopped.epochs, strict=True) if epochs < run.trained and not run.failed
    }
    picked = best_arm({arm: value for arm, value in final.items() if arm not in incomplete}, rises)
    best = best_arm(final, rises)
    return Outcome(
        sum(stopped.epochs) / sum(whole.epochs),
        stopped.seconds / whole.seconds,
        stopped.wall_clock / whole.wall_clock,
        picked,
        abs(final[best] - final[picked]),
        whole.wall_clock,
    )


def summarize(outcomes: Sequence[Outcome]) -> Summary:
    """Sum up the outcomes of many orders."""
    regrets = sorted(each.regret for each in outcomes)
    return Summary(
        orders=len(outcomes),
        epochs=fmean(each.epochs for each in outcomes),
        seconds=fmean(each.seconds for each in outcomes),
        wall_clock=fmean(each.wall_clock for each in outcomes),
        regret=median(regrets),
        regret_90=regrets[math.ceil(0.9 * len(regrets)) - 1],
        regret_worst=regrets[-1],
        best_picked=fmean(regret == 0 for regret in regrets),
        whole_wall_clock=fmean(each.whole_wall_clock for each in outcomes),
    )


def in_order(runs: Sequence[WholeRun], order: Sequence[str]) -> list[int]:
    """Return the numbers of the runs where the arms come in this order; the seeds of an arm stay together."""
    place = {arm: number for number, arm in enumerate(order)}
    return sorted(range(len(runs)), key=lambda job: place[runs[job].arm])


def early_stopping(
    runs: Sequence[WholeRun], ladder: Ladder, order: Sequence[str], *, rises: bool, log: Path | None = None
) -> Callable[[Recorded], Scheduler]:
    """Return what makes the scheduler at the start of the sweep, and again after each kill.

    log: the file of its decisions, from which it goes on after a kill; None: they are kept in memory.
    """
    kept = DecisionLog(None)

    def make(recorded: Recorded) -> Scheduler:
        candidates = [
            Candidate(job, runs[job].arm, runs[job].epochs, *recorded.get(job, (None, {})))
            for job in in_order(runs, order)
        ]
        return EarlyStoppingScheduler(candidates, ladder, kept if log is None else DecisionLog(log), rises=rises)

    return make


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
