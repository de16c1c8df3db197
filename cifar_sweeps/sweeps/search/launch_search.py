"""Run a search on this machine: its space, what is proposed, and each trial as a job of a sweep."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import CifarSweepsError, ConfigError
from cifar_sweeps.hydra_support import AbortHydra, get_callbacks
from cifar_sweeps.search.decisions import NAME as DECISIONS
from cifar_sweeps.search.decisions import DecisionLog
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.optuna_search.proposals import Proposer, SamplerName
from cifar_sweeps.search.optuna_search.study_file import StudyFile
from cifar_sweeps.search.rungs import make_ladder
from cifar_sweeps.search.scheduler import Scheduler
from cifar_sweeps.search.searching import SearchScheduler
from cifar_sweeps.search.trials import OBJECTIVES, Objective, Trial
from cifar_sweeps.sweeps.callback import SweepCallback
from cifar_sweeps.sweeps.early_stopping import ENDINGS
from cifar_sweeps.sweeps.launch import (
    check_jobs_per_gpu,
    check_n_jobs,
    choose_parallelism,
    progress_row,
    run_jobs,
    usable_gpus,
)
from cifar_sweeps.sweeps.parent_run import ParentRun
from cifar_sweeps.sweeps.plan import JobPlanner, PlannedJob
from cifar_sweeps.sweeps.previous.launches import PreviousJob, read_previous_jobs
from cifar_sweeps.sweeps.search.space_of_overrides import SearchSpace, read_space
from cifar_sweeps.sweeps.terminal.progress import JobProgress
from cifar_sweeps.tracking.journal_reader import read_curve, read_run
from cifar_sweeps.tracking.store import RecordedRun


@dataclass(frozen=True)
class SearchSettings:
    """What ``conf/hydra/sweeper/optuna.yaml`` sets."""

    n_trials: int
    sampler: SamplerName
    seed: int
    objectives: tuple[Objective, ...]
    conditions: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)


def launch_search(
    context: HydraContext,
    master: DictConfig,
    arguments: Sequence[str],
    settings: SearchSettings,
    n_jobs: int | str,
    jobs_per_gpu: int,
    processes: BaseContext | None,
) -> None:
    """Check the space, then train proposed trials until there are ``n_trials``, those of previous launches included.

    arguments: overrides as typed. The others: see `launch.launch`. Raises AbortHydra, before any trial has started.
    """
    callback = next((each for each in get_callbacks(context) if isinstance(each, SweepCallback)), None)
    if callback is None or callback.command is None or callback.parent_run is None:
        raise RuntimeError("the launcher 'local' runs inside a multirun of cifar-train only")
    parent_run = callback.parent_run
    try:
        _check_settings(settings)
        limit, per_gpu = check_n_jobs(n_jobs), check_jobs_per_gpu(jobs_per_gpu)
        loader, console = context.config_loader, Console(highlight=False)
        space = read_space(settings.params, arguments, settings.conditions, loader)
        rises = [OBJECTIVES[each] for each in settings.objectives]
        proposer = Proposer(space.space, settings.sampler, settings.seed, rises)
        planner = JobPlanner(loader, master, parent_run, console)
        configs = planner.check([space.overrides(values) for values in space.space.samples()])
        _check_objectives(configs, settings)
        shared = [configs[0]] * settings.n_trials
        gpus = usable_gpus(configs)
        parallelism = choose_parallelism(shared, limit, gpus, per_gpu)
        for line in _described(space, settings, configs[0]):
            console.print(line, markup=False, soft_wrap=True)
        if processes is None:
            console.print(f"{settings.n_trials} trials, {parallelism.jobs} at once. Nothing was started.")
            raise AbortHydra(None)
        parent_run.choose_folder([])
        tags = {"jobs": str(settings.n_trials), "n_jobs": str(parallelism.jobs), "threads": str(parallelism.threads)}
        tags |= {"objectives": json.dumps(settings.objectives), "sampler": settings.sampler}
        search = _Search(space, settings, proposer, planner, parent_run, configs[0], console)
        scheduler = search.scheduler()
        parent_run.start(tags | ({"gpus": ",".join(gpus)} if gpus else {}))
        _keep_config(master, parent_run.folder)
        search.open_study_file()
    except CifarSweepsError as error:
        raise AbortHydra(error) from error
    run_jobs(
        context,
        callback.command,
        parent_run,
        [],
        scheduler,
        search.rows,
        parallelism,
        gpus,
        processes,
        plan_job=search.plan_job,
        metric=configs[0].sweep.metric,
        total=search.left,
    )
    search.close()


class _Search:
    """The trials of a search and their jobs."""

    def __init__(
        self,
        space: SearchSpace,
        settings: SearchSettings,
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
        self._study_file: StudyFile | None = None
        self.rows: list[JobProgress] = []
        self._trials = SearchScheduler(
            [self._trial(job) for job in self._previous.values()],
            settings.n_trials,
            proposer.propose,
            self._measure,
            self._write,
            resumes=config.sweep.early_stopping == "none",
        )
        self.left = settings.n_trials - sum(job.is_finished for job in self._previous.values())
        """How many trials are not finished yet."""
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
            )
            for job in self._previous.values()
        ]
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
        self._study_file = StudyFile(folder, folder.name, self._space.space, objectives, rises, trials)
        if self._study_file.was_rewritten:
            self._console.print("Optuna's study file was written anew, from the journals of the runs.")

    def close(self) -> None:
        """Write of the paused trials that they are."""
        if self._study_file is not None:
            self._study_file.close(self._trials.trials.values())

    def _next_candidate(self) -> Candidate | None:
        while (assignment := self._trials.ask()) is not None:
            job = self.plan_job(assignment.job)
            if job is not None:
                return Candidate(job.number, job.name, job.config.total_epochs)
            self._trials.tell(assignment.job, "failed", {})
        return None

    def _trial(self, job: PreviousJob) -> Trial:
        swept = {key: str(value) for key, value in json.loads(job.run.tag("swept") or "{}").items()}
        values = {each.key: swept[each.key] for each in self._space.space.dimensions if each.key in swept}
        ending = ENDINGS.get(job.run.state, "killed")
        objectives = self._objectives(job.run) if ending == "finished" else ()
        curve = read_curve(job.folder, self._config.sweep.metric) if ending == "paused" else {}
        return Trial(job.number, values, ending, objectives, curve)

    def _measure(self, number: int) -> tuple[float, ...]:
        run = read_run(self._folders[number])
        return () if run is None else self._objectives(run)

    def _objectives(self, run: RecordedRun) -> tuple[float, ...]:
        """Return the values of a finished run; none if one of them was not recorded."""
        selected = "best/val_accuracy" if self._config.trainer.select == "best" else "final/val_accuracy"
        names = {"val/accuracy": selected, "epoch_seconds": "seconds_an_epoch"}
        values = [run.metrics.get(names.get(each, each)) for each in self._settings.objectives]
        return tuple(value for value in values if value is not None) if None not in values else ()

    def _write(self, trial: Trial) -> None:
        if self._study_file is not None:
            self._study_file.update(trial)


def _check_settings(settings: SearchSettings) -> None:
    errors = []
    if isinstance(settings.n_trials, bool) or not isinstance(settings.n_trials, int) or settings.n_trials < 1:
        errors.append(f"hydra.sweeper.n_trials={settings.n_trials}: must be at least 1")
    if isinstance(settings.seed, bool) or not isinstance(settings.seed, int):
        errors.append(f"hydra.sweeper.seed={settings.seed}: must be an integer")
    unknown = [str(each) for each in settings.objectives if each not in OBJECTIVES]
    if unknown or not settings.objectives or len(set(settings.objectives)) < len(settings.objectives):
        shown = f"[{','.join(map(str, settings.objectives))}]"
        errors.append(f"hydra.sweeper.objectives={shown}: must be some of {', '.join(OBJECTIVES)}, each once")
    if errors:
        raise ConfigError(errors)


def _check_objectives(configs: Sequence[RunConfig], settings: SearchSettings) -> None:
    sweep = configs[0].sweep
    if sweep.early_stopping != "none" and settings.objectives != (sweep.metric,):
        raise ConfigError(
            f"sweep.early_stopping={sweep.early_stopping}: compares by {sweep.metric}, and the search looks for "
            f"{', '.join(settings.objectives)}; set both to one: hydra.sweeper.objectives=[{sweep.metric}]"
        )
    lengths = {config.total_epochs for config in configs}
    if sweep.early_stopping != "none" and len(lengths) > 1:
        raise ConfigError(
            "sweep.early_stopping: the trials of a search must be equally long; do not search their epochs"
        )


def _described(space: SearchSpace, settings: SearchSettings, config: RunConfig) -> list[str]:
    lines = [f"Search ({settings.sampler}) for {' and '.join(settings.objectives)}, {settings.n_trials} trials, over"]
    for each in space.space.dimensions:
        if each.choices:
            values = ", ".join(each.choices)
        else:
            kind = "integers" if each.is_integer else "numbers"
            values = f"{kind} from {each.text(each.low)} to {each.text(each.high)}"
            values += f", step {each.step:g}" if each.step else ""
            values += ", logarithmic" if each.is_log else ""
        condition = space.conditions.get(each.key)
        lines.append(f"  {each.key}: {values}" + (f"; only if {condition.text}" if condition else ""))
    if config.sweep.early_stopping != "none":
        rungs = make_ladder(
            config.sweep.early_stopping, eta=config.sweep.eta, grace_epochs=config.sweep.grace_epochs
        ).rungs(config.total_epochs)
        lines.append(
            f"Early stopping ({config.sweep.early_stopping}): trials pause after epochs "
            f"{', '.join(map(str, rungs)) or '(none)'} of {config.total_epochs}."
        )
    return lines


def _keep_config(master: DictConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(master, folder / "multirun.yaml")
