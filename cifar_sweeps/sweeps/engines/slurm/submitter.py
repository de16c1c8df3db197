"""Submit jobs as arrays, cut at the site's limits, and find again what a controller that did not answer has taken."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.sweeps.engines.code_snapshot import take_snapshot
from cifar_sweeps.sweeps.engines.slurm import commands, submissions
from cifar_sweeps.sweeps.engines.slurm.commands import NotAnsweredError, PolicyError, SlurmError
from cifar_sweeps.sweeps.engines.slurm.script import overruling_variables, write_script
from cifar_sweeps.sweeps.engines.slurm.settings import SlurmSettings
from cifar_sweeps.sweeps.engines.slurm.submissions import ArrayTask, Submission

_LOOKS = 2
"""How often an array is looked for that may have been submitted, before it is submitted again."""


@dataclass
class Outcome:
    """What came of some tasks. left: to be tried again later; trouble: why, for a person.

    is_full: a limit leaves no room for what is left, until jobs have ended.
    """

    submitted: list[Submission] = field(default_factory=list)
    refused: list[tuple[ArrayTask, str]] = field(default_factory=list)
    left: list[ArrayTask] = field(default_factory=list)
    trouble: str | None = None
    is_full: bool = False


class Submitter:
    """Submits the jobs of one sweep. It waits for Slurm, so it is called in a thread, by one at a time.

    number: how many submissions the sweep has already.
    """

    def __init__(self, sweep: Path, settings: SlurmSettings, number: int = 0) -> None:
        self._sweep, self._settings, self._number = sweep, settings, number
        self._max_size: int | None = None
        self._uncertain: Submission | None = None
        """An array of which it is not known whether it was submitted."""
        self._looks = 0
        self._full_at: int | None = None
        """How many tasks lived when the site took no more."""

    @property
    def is_uncertain(self) -> bool:
        """Whether an array is still to be looked for."""
        return self._uncertain is not None

    def submit(self, tasks: Sequence[ArrayTask], live: int) -> Outcome:
        """Submit these tasks, as far as Slurm takes them now. live: how many that were submitted have not ended.

        A limit of jobs at once is the array's own; arrays of one batch follow one another, and what comes later, such
        as retries, fills what they leave free.
        """
        outcome, waiting = Outcome(), list(tasks)
        uncertain = () if self._uncertain is None else self._uncertain.tasks
        try:
            if self._uncertain is not None:
                outcome.submitted.append(self._find_or_submit(self._uncertain))
                uncertain = ()
            if self._max_size is None:
                self._max_size = commands.max_array_size()
            size = min(self._max_size, self._room(live, len(waiting)))
            while waiting and size > 0:
                try:
                    after = outcome.submitted[-1].array if outcome.submitted and self._settings.n_jobs else None
                    self._submit_first(waiting[:size], after, outcome)
                except PolicyError as error:  # fewer may pass
                    if size == 1 and live == 0 and not outcome.submitted:
                        raise
                    size //= 2
                    self._full_at = live + sum(len(each.tasks) for each in outcome.submitted)
                    outcome.trouble = f"{error}; the rest follows when jobs have ended" if size == 0 else None
                    continue
                del waiting[:size]
            outcome.is_full = bool(waiting)
        except NotAnsweredError as error:
            outcome.trouble = f"{error}; trying again"
            if self._uncertain is not None:
                waiting = [task for task in waiting if task not in self._uncertain.tasks]
        except (SlurmError, OSError) as error:
            reason = str(error) if isinstance(error, SlurmError) else in_one_line(error)
            outcome.refused, waiting = [(task, reason) for task in (*uncertain, *waiting)], []
        outcome.left = waiting
        return outcome

    def _room(self, live: int, wanted: int) -> int:
        """Return how many tasks may be submitted now."""
        if live == 0:
            self._full_at = None
            return wanted
        limit = self._settings.n_jobs
        if limit is not None:
            wanted = min(wanted, limit - live)
        return wanted if self._full_at is None else min(wanted, self._full_at - live)

    def _submit_first(self, tasks: Sequence[ArrayTask], after: int | None, outcome: Outcome) -> None:
        submission = submissions.new_submission(self._number, tasks)
        path = submission.path(self._sweep)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_script(path.with_suffix(".sh"), self._settings, take_snapshot(self._sweep))
        submission.write(self._sweep)
        self._number += 1
        outcome.submitted.append(self._call_sbatch(submission, after))

    def _find_or_submit(self, submission: Submission) -> Submission:
        if found := commands.find_arrays(submission.name):
            self._uncertain = None
            return self._note_array(submission, min(found))
        self._looks += 1
        if self._looks < _LOOKS:
            raise NotAnsweredError("sbatch did not say whether it has submitted")
        return self._call_sbatch(submission, None)

    def _call_sbatch(self, submission: Submission, after: int | None) -> Submission:
        self._uncertain, self._looks = submission, 0
        try:
            array = commands.submit(
                submission.path(self._sweep).with_suffix(".sh"),
                submission.name,
                len(submission.tasks),
                limit=self._settings.n_jobs,
                after=after,
                without=overruling_variables(self._settings),
            )
        except NotAnsweredError:
            raise
        except SlurmError:
            self._uncertain = None
            submissions.remove(self._sweep, submission)
            raise
        self._uncertain = None
        return self._note_array(submission, array)

    def _note_array(self, submission: Submission, array: int) -> Submission:
        submission = replace(submission, array=array)
        submission.write(self._sweep)
        return submission
