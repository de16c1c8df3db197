"""A search: trials are proposed one at a time, whenever a slot is free, until there are as many as were asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from cifar_sweeps.search.scheduler import Assignment, Ending
from cifar_sweeps.search.trials import Trial


class SearchScheduler:
    """Asks for a new trial in each free slot. A trial that was begun and is not over is resumed before.

    trials: those of previous launches. total: how many there are to be in all. propose: returns the values of the trial
    with a number, from those before it; None if there are no others. measure: returns the objectives of a job that has
    finished. on_change: called with a trial that has begun or ended. resumes: whether begun trials are resumed by this
    scheduler; not where early stopping decides over them.
    """

    waits_for_results = True

    def __init__(
        self,
        trials: Iterable[Trial],
        total: int,
        propose: Callable[[Sequence[Trial], int], Mapping[str, str] | None],
        measure: Callable[[int], tuple[float, ...]],
        on_change: Callable[[Trial], None] = lambda _: None,
        *,
        resumes: bool = True,
    ) -> None:
        self.trials = {each.number: each for each in trials}
        self._total, self._propose, self._measure, self._on_change = total, propose, measure, on_change
        unfinished = [each.number for each in self.trials.values() if each.ending != "finished"]
        self._begun = deque(sorted(unfinished)) if resumes else deque[int]()

    def ask(self) -> Assignment | None:
        """Return a begun trial, or propose a new one."""
        if self._begun:
            number = self._begun.popleft()
            self._set(replace(self.trials[number], ending=None))
            return Assignment(number)
        if len(self.trials) >= self._total:
            return None
        number = next(each for each in range(self._total) if each not in self.trials)
        # A number is missing below others where its trial left no record: it is proposed again from what it was.
        before = [trial for trial in self.trials.values() if trial.number < number]
        values = self._propose(before, number)
        if values is None:
            return None
        self._set(Trial(number, dict(values)))
        return Assignment(number)

    def tell(self, job: int, ending: Ending, curve: Mapping[int, float]) -> None:
        """Take in how a trial ended."""
        objectives = self._measure(job) if ending == "finished" else ()
        self._set(replace(self.trials[job], ending=ending, objectives=objectives, curve=dict(curve)))

    def adopt(self, job: int, until: int | None) -> None:
        """Take in that a trial trains already."""
        if job in self._begun:
            self._begun.remove(job)
        self._set(replace(self.trials[job], ending=None))

    def _set(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        self._on_change(trial)
