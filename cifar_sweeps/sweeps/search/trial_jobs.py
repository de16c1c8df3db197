"""The trials of a search and their jobs: which is planned next, and what came of each."""

import json
from collections.abc import Callable, Mapping
from functools import partial

from rich.console import Console

from cifar_sweeps.config.grid.exclusion import typed_values
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import CifarSweepsError, in_one_line
from cifar_sweeps.search.decisions import NAME as DECISIONS
from cifar_sweeps.search.decisions import DecisionLog
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.optuna_search.proposals import Proposer
from cifar_sweeps.search.optuna_search.study_file import StudyFile
from cifar_sweeps.search.rungs import make_ladder
from cifar_sweeps.search.scheduler import Scheduler
from cifar_sweeps.search.searching import SearchScheduler
from cifar_sweeps.search.space import Dimension
from cifar_sweeps.search.trials import OBJECTIVES, Trial
from cifar_sweeps.sweeps.early_stopping import ENDINGS
from cifar_sweeps.sweeps.launch import progress_row
from cifar_sweeps.sweeps.parent_run import ParentRun
from cifar_sweeps.sweeps.plan import JobPlanner, PlannedJob
from cifar_sweeps.sweeps.previous.launches import PreviousJob, read_previous_jobs
from cifar_sweeps.sweeps.search.settings import SearchSettings
from cifar_sweeps.sweeps.search.space_of_overrides import SearchSpace
from cifar_sweeps.sweeps.tasks import read_tasks
from cifar_sweeps.sweeps.terminal.progress import JobProgress
from cifar_sweeps.tracking.journal_reader import read_curve, read_run
from cifar_sweeps.tracking.recorded_run import RecordedRun


class TrialJobs:
    """The trials of a search and their jobs.

    total: how many trials there will be. config: of any of them. rows: what is shown of those that were planned. left:
    how many are not finished yet.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: SearchSettings,
        total: int,
        proposer: Proposer,
        planner: JobPlanner,
        parent_run: ParentRun,
        config: RunConfig,
        console: Console,
    ) -> None:
        self._space, self._settings, self._proposer = space, settings, proposer
        self._planner, self._parent_run, self._config, self._console = planner, parent_run, config, console
        self._previous = {job.number: job for job in read_previous_jobs(parent_run.folder)}
        self._folders = {number: job.folder for number, job in self._previous.items()}
        self._planned: dict[int, PlannedJob] = {}
        self._queued = {
            number: Trial(number, self._of_space(task.swept), "killed")
            for number, task in read_tasks(parent_run.folder).items()
            if number not in self._previous and task.swept
        }
        """Trials that were placed on other machines and have left no record yet, as if they had been killed."""
        self._study_file: StudyFile | None = None
        self.rows: list[JobProgress] = []
        self._trials = SearchScheduler(
            [*(self._trial(job) for job in self._previous.values()), *self._queued.values()],
            settings.n_trials,
            proposer.propose,
            self._measure,
            self._write,
            resumes=config.sweep.early_stopping == "none" and config.sweep.rerun == "failed",
        )
        self.left = total - sum(job.is_finished for job in self._previous.values())
        for job in self._previous.values():
            parent_run.requested[job.number] = job.run.name
            if job.is_finished:
                parent_run.record_reused(job.number)

    def scheduler(self) -> Scheduler:
        """Return what decides over the trials: the search alone, or early stopping that asks it for new ones."""
        sweep = self._config.sweep
        if sweep.early_stopping == "none":
            return self._trials
        candidates = [
            Candidate(
                job.number,
                job.run.name,
                self._config.total_epochs,
                ENDINGS.get(job.run.state, "killed"),
                read_curve(job.folder, sweep.metric),
                is_left=sweep.rerun == "never",
            )
            for job in self._previous.values()
            if sweep.rerun == "failed" or job.run.state in ("FINISHED", "PAUSED")
        ]
        queued = [job for number in self._queued if (job := self.plan_job(number)) is not None]
        candidates += [Candidate(job.number, job.name, job.config.total_epochs) for job in queued]
        return EarlyStoppingScheduler(
            candidates,
            make_ladder(sweep.early_stopping, eta=sweep.eta, grace_epochs=sweep.grace_epochs),
            DecisionLog(self._parent_run.folder / DECISIONS),
            rises=sweep.metric == "val/accuracy",
            source=self._next_candidate,
            listener=self._trials.tell,
        )

    def plan_job(self, number: int) -> PlannedJob | None:
        """Compose a trial's job; None if that fails, which a line says: the space has such values only inside it."""
        if number in self._planned:
            return self._planned[number]
        if number not in self._trials.trials:
            return None
        values = self._trials.trials[number].values
        try:
            job = self._planner.plan(number, self._space.overrides(values), self._previous.get(number))
        except CifarSweepsError as error:
            shown = " ".join(f"{key}={text}" for key, text in values.items())
            self._console.print(f"trial {number} cannot be trained ({shown}): {error}", markup=False, soft_wrap=True)
            return None
        self._planned[number] = job
        self._folders[number] = job.folder
        self._parent_run.requested[number] = job.name
        self.rows.append(progress_row(job))
        return job

    def open_study_file(self) -> None:
        """Write the study for Optuna's dashboard, or go on with it."""
        folder, objectives = self._parent_run.folder, self._settings.objectives
        rises = [OBJECTIVES[each] for each in objectives]
        trials = self._trials.trials.values()

        def opened() -> None:
            self._study_file = StudyFile(folder, folder.name, self._space.space, objectives, rises, trials)

        self._to_study_file(opened)
        if self._study_file is not None and self._study_file.was_rewritten:
            self._console.print("Optuna's study file was written anew, from the journals of the runs.")

    def close(self) -> None:
        """Write of the paused trials that they are."""
        if self._study_file is not None:
            self._to_study_file(partial(self._study_file.close, self._trials.trials.values()))

    def _to_study_file(self, write: Callable[[], None]) -> None:
        """Write to the study file, a copy for others to look at: no search ends because that cannot be written."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 (whatever it is, the runs are recorded)
            self._study_file = None
            line = (
                f"Optuna's study file is not written any further ({in_one_line(error)}); the next launch writes it anew"
            )
            self._console.print(line, markup=False, soft_wrap=True)

    def _next_candidate(self) -> Candidate | None:
        while (assignment := self._trials.ask()) is not None:
            job = self.plan_job(assignment.job)
            if job is not None:
                return Candidate(job.number, job.name, job.config.total_epochs)
            self._trials.tell(assignment.job, "failed", {})
        return None

    def _trial(self, job: PreviousJob) -> Trial:
        swept = {key: str(value) for key, value in json.loads(job.run.tag("swept") or "{}").items()}
        values = self._of_space(swept)
        ending = ENDINGS.get(job.run.state, "killed")
        objectives = self._objectives(job.run) if ending == "finished" else ()
        curve = read_curve(job.folder, self._config.sweep.metric) if ending == "paused" else {}
        return Trial(job.number, values, ending, objectives, curve)

    def _of_space(self, swept: Mapping[str, str]) -> dict[str, str]:
        return {
            each.key: _as_typed_now(each, swept[each.key]) for each in self._space.space.dimensions if each.key in swept
        }

    def _measure(self, number: int) -> tuple[float, ...]:
        run = read_run(self._folders[number])
        return () if run is None else self._objectives(run)

    def _objectives(self, run: RecordedRun) -> tuple[float, ...]:
        """Return the values of a finished run; none if one of them was not recorded."""
        values = [run.metrics.get(metric) for metric in self._parent_run.objectives.values()]
        return tuple(value for value in values if value is not None) if None not in values else ()

    def _write(self, trial: Trial) -> None:
        if self._study_file is not None:
            self._to_study_file(partial(self._study_file.update, trial))


def _as_typed_now(dimension: Dimension, text: str) -> str:
    """Return a recorded value as the space writes it: earlier versions wrote ``a\\ b`` for what is ``'a b'``."""
    if not dimension.choices or text in dimension.choices:
        return text
    values = typed_values([f"{dimension.key}={text}"])
    same = (each for each in dimension.choices if typed_values([f"{dimension.key}={each}"]) == values)
    return next(same, text)
