"""Early stopping of a sweep: its runs climb rungs, pause at each, and go on when they are among the best there."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from cifar_sweeps.search.decisions import Decision, DecisionLog
from cifar_sweeps.search.rungs import Ladder
from cifar_sweeps.search.scheduler import Assignment, Ending


@dataclass(frozen=True)
class Candidate:
    """A job that early stopping decides over.

    arm: jobs with the same one differ in their seeds alone. epochs: its full length. ending, curve: how it ended in a
    previous launch, and what it had reached; None and empty for a new one. is_left: whether it stays as it is: it is
    compared, and not trained any more.
    """

    job: int
    arm: str
    epochs: int
    ending: Ending | None = None
    curve: Mapping[int, float] = field(default_factory=dict)
    is_left: bool = False


class EarlyStoppingScheduler:
    """Promotes the best arms from rung to rung, and starts a new arm only where none is to be promoted.

    The unit is the arm. All its seeds are started, and promoted, together; its value at a rung is their mean there. It
    is compared once none of its seeds is still on the way to that rung; a seed that has failed is left out of the mean,
    and an arm of which all have failed is left out. A run that ended by itself before a rung stands there with its last
    value. Where nothing is left to start or to promote and no arm has trained to its end, the best of the highest rung
    is promoted, so that every sweep trains an arm to its end.

    Each decision follows from the curves of the candidates and the decisions before it, whatever the order of arrival:
    a sweep that was killed goes on as it would have.

    ladder: the rungs. source: where no candidate is left to start, returns one more; None: there is none for now.
    listener: told all that this is told. rises: whether a higher value is better. log: the decisions, those of a
    previous launch included.
    """

    waits_for_results = True

    def __init__(
        self,
        candidates: Iterable[Candidate],
        ladder: Ladder,
        log: DecisionLog,
        *,
        rises: bool = True,
        source: Callable[[], Candidate | None] = lambda: None,
        listener: Callable[[int, Ending, Mapping[int, float]], None] = lambda *_: None,
    ) -> None:
        self._ladder, self._log, self._rises, self._source, self._listener = ladder, log, rises, source, listener
        self._jobs = {each.job: _Job(each, ladder.rungs(each.epochs)) for each in candidates}
        self._arms: dict[str, list[_Job]] = {}
        for job in self._jobs.values():
            self._arms.setdefault(job.arm, []).append(job)
        self._queue: deque[_Job] = deque()
        self._restore()

    def ask(self) -> Assignment | None:
        """Return the next job of an arm that is on its way; else promote an arm, else start one."""
        if not self._queue:
            self._decide()
        if not self._queue:
            return None
        job = self._queue.popleft()
        return Assignment(job.number, None if job.target == job.epochs else job.target)

    def tell(self, job: int, ending: Ending, curve: Mapping[int, float]) -> None:
        """Take in a job's curve so far."""
        # One that was killed, for want of memory for one, goes on in the next launch; in this one nobody waits for it.
        self._jobs[job].update("failed" if ending == "killed" else ending, curve)
        self._listener(job, ending, curve)

    def adopt(self, job: int, until: int | None) -> None:
        """Take in that a job is on its way already, perhaps from before early stopping was asked for."""
        self._queue = deque(each for each in self._queue if each.number != job)
        if job in self._jobs:
            found = self._jobs[job]
            found.target = max(found.target, found.epochs if until is None else min(until, found.epochs))

    def standing(self) -> list[tuple[int, int, int]]:
        """Return of each rung its epoch, how many arms stand there, and how many have been promoted from it."""
        found = []
        for rung in self._rungs():
            there = self._ranking(rung)
            found.append((rung, len(there), sum(self._is_promoted(arm, rung) for arm, _ in there)))
        return found

    def _decide(self) -> None:
        for rung in reversed(self._rungs()):
            ranking = self._ranking(rung)
            places = self._ladder.places([value for _, value in ranking])
            for arm, _ in ranking[:places]:
                if not self._is_promoted(arm, rung):
                    self._promote(arm, rung, ranking, places, "promote")
                    return
        for arm, jobs in self._arms.items():
            fresh = [job for job in jobs if job.target == 0 and job.can_train]
            if fresh:
                self._start(arm, fresh)
                return
        candidate = self._source()
        if candidate is not None:
            job = self._jobs[candidate.job] = _Job(candidate, self._ladder.rungs(candidate.epochs))
            self._arms.setdefault(job.arm, []).append(job)
            self._start(job.arm, [job])
            return
        self._finish_the_best()

    def _start(self, arm: str, jobs: Sequence["_Job"]) -> None:
        first = next(iter(jobs[0].rungs), jobs[0].epochs)
        decision = Decision("start", tuple(job.number for job in jobs), _until(jobs[0], first), arm)
        if decision not in self._log.decisions:  # nor where the launch before ended between this and the job's record
            self._log.append(decision)
        self._send(jobs, first)

    def _finish_the_best(self) -> None:
        """Promote the best arm of the highest rung, unless an arm is on its way, or has come to its end."""
        if any(job.is_on_the_way or job.has_come_to_its_end for job in self._jobs.values()):
            return
        for rung in reversed(self._rungs()):
            ranking = self._ranking(rung)
            best = next((arm for arm, _ in ranking if not self._is_promoted(arm, rung)), None)
            if best is not None:  # else all that stood there have failed on their way up
                self._promote(best, rung, ranking, 1, "finish")
                return

    def _promote(self, arm: str, rung: int, ranking: Sequence[tuple[str, float]], places: int, kind: str) -> None:
        jobs = [job for job in self._arms[arm] if job.can_train and rung in job.curve_at and job.target <= rung]
        higher = next((each for each in jobs[0].rungs if each > rung), jobs[0].epochs)
        self._log.append(
            Decision(
                "promote" if kind == "promote" else "finish",
                tuple(job.number for job in jobs),
                _until(jobs[0], higher),
                arm,
                rung,
                dict(ranking),
                {each: len(self._values(each, rung)) for each, _ in ranking},
                places,
            )
        )
        self._send(jobs, higher)

    def _send(self, jobs: Iterable["_Job"], until: int) -> None:
        for job in jobs:
            job.target = min(until, job.epochs)
            self._queue.append(job)

    def _rungs(self) -> list[int]:
        return sorted({rung for job in self._jobs.values() for rung in job.rungs})

    def _ranking(self, rung: int) -> list[tuple[str, float]]:
        """Return the arms that have arrived at a rung with their values, the best first; equal ones by their order."""
        found = []
        for arm, jobs in self._arms.items():
            values = self._values(arm, rung)
            if values and not any(job.is_on_the_way_to(rung) for job in jobs):
                found.append((arm, fmean(values)))
        return sorted(found, key=lambda each: -each[1] if self._rises else each[1])

    def _values(self, arm: str, rung: int) -> list[float]:
        return [job.curve_at[rung] for job in self._arms[arm] if rung in job.curve_at]

    def _is_promoted(self, arm: str, rung: int) -> bool:
        """Whether an arm has been sent beyond a rung, or has nothing beyond it that could be trained."""
        there = [job for job in self._arms[arm] if rung in job.curve_at]
        return all(job.target > rung or not job.can_train for job in there)

    def _restore(self) -> None:
        """Send what had been decided and was not reached when the launch before ended."""
        for decision in self._log.decisions:
            for number in decision.jobs:
                job = self._jobs.get(number)
                if job is not None:
                    if decision.kind == "asked":
                        job.is_compared_until(decision.rung or 0)
                    job.target = max(
                        job.target, job.epochs if decision.until is None else job.next_stop(decision.until)
                    )
        order = [number for decision in self._log.decisions for number in decision.jobs]
        last_sent = reversed(dict.fromkeys(reversed(order)))  # each where it was sent last
        waiting = [self._jobs[number] for number in last_sent if number in self._jobs]
        left = [job for job in self._jobs.values() if job.number not in order]
        self._queue.extend(job for job in (*waiting, *left) if job.is_on_the_way)


class _Job:
    """A candidate as it stands. target: the epoch to which it was sent; 0: it has not been started."""

    def __init__(self, candidate: Candidate, rungs: tuple[int, ...]) -> None:
        self.number, self.arm, self.epochs, self.rungs = candidate.job, candidate.arm, candidate.epochs, rungs
        self.curve_at: dict[int, float] = {}
        self._reached, self.target = 0, 0
        self._compared_until, self._is_left = candidate.epochs, candidate.is_left
        self._ending: Ending | None = None
        if candidate.ending is not None:
            # A job that failed in a previous launch is tried again.
            self.update("killed" if candidate.ending == "failed" else candidate.ending, candidate.curve)
        if self.has_come_to_its_end:
            self.target = self.epochs
        elif self.curve_at:  # it had trained before early stopping was asked for, or under other rungs
            self.target = max(self.curve_at)

    def update(self, ending: Ending, curve: Mapping[int, float]) -> None:
        """Take in the curve so far."""
        self._ending = ending
        self._reached = max(curve, default=0)
        for rung in self.rungs:
            if rung > self._compared_until:
                return
            if rung in curve:
                self.curve_at[rung] = curve[rung]
            elif ending == "finished" and curve and self._reached < rung:
                self.curve_at[rung] = curve[self._reached]

    def is_compared_until(self, rung: int) -> None:
        """Leave it out of the comparisons beyond a rung: nobody's place depends on what a person wants to see."""
        self._compared_until = rung
        self.curve_at = {each: value for each, value in self.curve_at.items() if each <= rung}

    def next_stop(self, epoch: int) -> int:
        """Return the first rung that is not before an epoch; its end if there is none."""
        return next((rung for rung in self.rungs if rung >= epoch), self.epochs)

    @property
    def can_train(self) -> bool:
        """Whether it has not finished, has not failed in this launch, and is not left as it is."""
        return not self._is_left and self._ending not in ("finished", "failed")

    @property
    def is_on_the_way(self) -> bool:
        """Whether it was sent to an epoch and has not come to rest there; killed at its very end, it has not yet."""
        return self.can_train and self.target > 0 and (self._reached < self.target or self._ending != "paused")

    @property
    def has_come_to_its_end(self) -> bool:
        """Whether it has finished."""
        return self._ending == "finished"

    def is_on_the_way_to(self, rung: int) -> bool:
        """Whether it is on its way, and has not come to this rung."""
        return self.is_on_the_way and rung not in self.curve_at and self._reached < rung <= self.target


def _until(job: _Job, epoch: int) -> int | None:
    return None if epoch >= job.epochs else epoch
