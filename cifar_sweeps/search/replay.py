"""Replay early stopping over runs that are known whole: what it would have trained, how long, and which arm it picks.

The scheduler is the one of real sweeps; simulated are only the workers and their clock (`search.simulation`).
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from cifar_sweeps.search.decisions import DecisionLog
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.rungs import Ladder
from cifar_sweeps.search.scheduler import GridScheduler, Scheduler
from cifar_sweeps.search.simulation import Recorded, Training, WholeRun, simulate


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

    At least one of the runs must not have failed.
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
    runs: Sequence[WholeRun],
    ladder: Ladder,
    order: Sequence[str],
    *,
    rises: bool,
    open_log: Callable[[], DecisionLog] | None = None,
) -> Callable[[Recorded], Scheduler]:
    """Return what makes the scheduler at the start of the sweep, and again after each kill.

    open_log: gives the decisions that were taken so far each time; None: they are kept in memory.
    """
    kept = DecisionLog(None)

    def make(recorded: Recorded) -> Scheduler:
        candidates = [
            Candidate(job, runs[job].arm, runs[job].epochs, *recorded.get(job, (None, {})))
            for job in in_order(runs, order)
        ]
        return EarlyStoppingScheduler(candidates, ladder, kept if open_log is None else open_log(), rises=rises)

    return make
