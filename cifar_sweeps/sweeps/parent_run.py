"""The parent run of a sweep: started before the first job, and ended with the state that the sweep really has."""

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf, read_write
from rich.console import Console

from cifar_sweeps.config.upgrades import logged_models
from cifar_sweeps.errors import ConfigError, TrackingError, in_one_line
from cifar_sweeps.hydra_support import hydra_config, job_error, task_overrides
from cifar_sweeps.sweeps.checks.job_folders import check_own_folder
from cifar_sweeps.sweeps.checks.resolvers import replace_task, resolve_task, resolved_sweep
from cifar_sweeps.sweeps.controller_note import controller_text, write_note
from cifar_sweeps.sweeps.manifest import NAME, RESUME_FOLDER, SweepManifest, read_manifest, swept_keys
from cifar_sweeps.sweeps.mlflow_page.description import describe_sweep
from cifar_sweeps.sweeps.mlflow_page.view import sweep_page, sweep_view
from cifar_sweeps.sweeps.previous.differences import (
    NewJob,
    changed_selection,
    difference,
    fixed_values,
    selection_settings,
)
from cifar_sweeps.sweeps.previous.launches import (
    JobNumbering,
    queued_jobs,
    read_previous_jobs,
    resumable_sweeps,
    sweep_hash,
)
from cifar_sweeps.sweeps.sweep_end import SweepEnd
from cifar_sweeps.sweeps.tasks import remove_placement
from cifar_sweeps.sweeps.terminal.summary import JobFailure, SweepSummary, print_summary
from cifar_sweeps.sweeps.warm_up import WarmUp
from cifar_sweeps.system.scripts import needed_environment, recorded_command, shell_command, store_environment
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import undelivered_folders
from cifar_sweeps.tracking.journal import State
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.page_links import NOTE
from cifar_sweeps.tracking.recorded_run import PREFIX, RecordedRun
from cifar_sweeps.tracking.recovery import append_end, recover_abandoned_runs, restore_deleted
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import DEFAULT_EXPERIMENT, Store
from cifar_sweeps.tracking.store_uri import configured_uri, jobs_may_send, tracking_uri

_SEARCH = "hydra_plugins.cifar_sweeps_optuna.OptunaSweeper"
_LOCK_TIMEOUT = 10.0
"""Seconds to wait for a job's process that was stopped to let go of its journal."""


class ParentRun:
    """The MLflow run of a whole sweep, its manifest, and the summary that is printed at its end.

    config: the multirun's, as Hydra composed it. is_ours: whether a launcher of ours runs the jobs. manifest: set by
    `prepare`. folder: the sweep's. requested: names of the jobs of this launch by their numbers; empty where the
    launcher does not say. objectives: of a search, with the metrics of a run that they are. is_left: whether its jobs
    run on when the command ends.
    """

    manifest: SweepManifest

    def __init__(self, config: DictConfig, is_ours: bool) -> None:
        with hydra_config(config):  # its name may refer to it
            self.folder = self._own_folder = Path(config.hydra.sweep.dir)
        with read_write(config.hydra.sweep):  # Hydra's sweeper reads it where it may not refer to it
            config.hydra.sweep.dir = str(self.folder)
        self.requested: dict[int, str] = {}
        self.objectives: dict[str, str] = {}
        self.is_left = False
        self._config = config
        self._is_ours = is_ours
        self._store: Store | None = None
        self._logger: RunLogger | None = None
        self._failures: list[JobFailure] = []
        self._reused: set[int] = set()
        self._overrides: list[str] = []
        self._new_folders = [each for each in self.folder.parents if not each.exists()]  # the deepest first
        self._candidates: list[tuple[Path, SweepManifest]] = []
        self._warm_up: WarmUp | None = None

    def prepare(self) -> None:
        """Find the previous launches that this one may join. Raises ConfigError or TrackingError.

        Nothing of another sweep that lies in its folder has been overwritten when this refuses it.
        """
        config = self._config
        typed_in_full = task_overrides(config.hydra)
        overrides = self._overrides = resolved_sweep(typed_in_full, config)
        command = sys.argv[1:]
        if overrides != typed_in_full:  # so that it is the same sweep when it is resumed
            command = [*(each for each in command if each not in typed_in_full), *overrides]
        replace_task(config, resolve_task(config, of_sweep=True))
        study = str(config.study_name or DEFAULT_EXPERIMENT)
        swept = tuple(swept_keys(overrides, config.hydra.sweeper.get("params")))
        store = "none"
        if config.tracking.backend == "mlflow":
            outputs = Path(config.outputs)
            self._store = Store(tracking_uri(config.tracking.uri, outputs), outputs)
            store = configured_uri(config.tracking.uri) or "embedded"  # which may be moved with its outputs
        identity = sweep_hash(study, store, overrides, swept)
        is_search = config.hydra.sweeper.get("_target_") == _SEARCH
        if is_search:
            identity = f"search-{identity}"  # its jobs have the numbers of their trials
        if not self._is_ours:
            identity = f"other-{identity}"  # it is not resumed: a later launch with our launcher ignores it
        fixed = fixed_values(config, swept)
        selection = selection_settings(config, is_search)
        self.manifest = SweepManifest(
            self.folder.name, study, swept, identity, tuple(command), str(Path.cwd()), fixed, selection
        )
        check_own_folder("hydra.sweep.dir", self.folder, Path(config.outputs))
        self._check_folder()
        if self._is_ours and config.sweep.rerun != "all":
            self._candidates = _candidates(self.folder, identity)
        batch = config.hydra.sweeper.get("max_batch_size")
        if self._is_ours and batch is not None:  # Hydra drops the batches after one in which a job failed
            at_once = "all jobs are checked first, and hydra.launcher.n_jobs of them run at once"
            raise ConfigError(f"hydra.sweeper.max_batch_size={batch}: {at_once}; leave it out")
        if not self._is_ours:
            # Ours starts the parent run when all jobs have been checked; another launcher does not know of it.
            if is_search:  # others take a batch, and say nothing until all of it is over
                raise ConfigError(
                    "hydra/sweeper=optuna: works with hydra/launcher=local, slurm or ray alone; leave yours out"
                )
            _check_no_local_options(config)
            self.start()

    def job_ended(self, config: DictConfig, job_return: JobReturn) -> None:
        """Record a failure that happened in this process: under Hydra's basic launcher."""
        error = job_error(job_return)
        if error is not None:
            hydra = config.hydra
            log_file = Path(hydra.runtime.output_dir, "run.log")
            name = " ".join(job_return.overrides or ())
            self.record_failure(int(hydra.job.num), name, in_one_line(error), log_file)

    def choose_folder(self, jobs: Sequence[NewJob], total: int | None = None) -> JobNumbering:
        """Join the newest previous launch that differs in its swept values alone, and number the jobs.

        jobs: of this launch; of a search some of those that it may propose. total: how many a search will have in all.
        Says in one line which sweep is joined, or why one that the same command started is not. Raises ConfigError if
        that one was asked for by its id, or lies in the folder that was chosen for this one.
        """
        reason = ""
        for folder, manifest in self._candidates:
            previous = read_previous_jobs(folder)
            changed = difference(jobs, self.manifest.fixed, manifest, previous)
            if not changed:
                self.folder = folder
                self.manifest = replace(self.manifest, sweep_id=folder.name)
                if not self._config.sweep.dry_run:
                    restore_deleted(folder, self.manifest.study)
                known = {job.identity for job in previous}
                new = sum(job.identity not in known for job in jobs)
                queued = queued_jobs(folder, previous)
                new = new if total is None else max(0, total - len(previous) - len(queued))
                left = left_text([job.run.state for job in previous])
                count = "1 job" if len(previous) == 1 else f"{len(previous)} jobs"
                _say(f"Joins sweep {folder.name}: {count} there{left}, {new} new")
                changed = changed_selection(manifest.selection, self.manifest.selection)
                if changed:
                    _say(changed)
                return JobNumbering(previous, queued)
            named = _named_folder()
            if named or folder == self._own_folder:
                how = "the same command again starts a new sweep" if named else "choose another hydra.sweep.dir"
                raise ConfigError(f"sweep {folder.name} cannot be resumed: {changed}; {how}")
            reason = reason or f"Not joined to sweep {folder.name}: {changed}. This is a new sweep."
        if reason:
            _say(reason)
        return JobNumbering([])

    def start(self, tags: Mapping[str, str] | None = None) -> None:
        """Create the store, the experiment and the parent run, and write the manifest; once.

        tags: further ones of the parent run, by their short names. Raises TrackingError if the store cannot be used.
        """
        if self._logger is not None:
            return
        recover_abandoned_runs(Path(self._config.outputs), _print_error)
        if self._store is not None:
            problem = self._store.availability_error(self.manifest.study)
            if problem:
                _print_error(problem)
        own = {
            "sweep_id": self.manifest.sweep_id,
            "study": self.manifest.study,
            "overrides": shlex.join(self._overrides),
            "role": "sweep",
            "command": self._command(),
        }
        config_dir = _config_dir()
        own |= {"config_dir": config_dir} if config_dir else {}
        self.folder.mkdir(parents=True, exist_ok=True)
        header = RunHeader(
            folder=self.folder,
            outputs=Path(self._config.outputs),
            backend=self._config.tracking.backend,
            uri=configured_uri(self._config.tracking.uri, self._config.outputs),
            study=self.manifest.study,
            name=f"sweep {self.manifest.sweep_id}",
            tags={f"{PREFIX}{key}": value for key, value in own.items()},
            identity=self.manifest.identity,
        )
        try:
            self._logger = RunLogger(header)
        except TrackingError as error:
            if not journal.is_locked(self.folder):
                raise
            sweep = self.manifest.sweep_id
            shown = shell_command("cifar-sweeps", ["status", sweep], self._environment())
            raise TrackingError(f"sweep {sweep}: {controller_text(self.folder)}; {shown} shows it") from error
        # Not before: where another command has this sweep, its manifest and its note stay as they are.
        self._keep_hydras_config()
        self.manifest.write(self.folder)
        write_note(self.folder)
        self._logger.set_tags({f"{PREFIX}{key}": value for key, value in (tags or {}).items()})
        self._show_in_mlflow(self._logger)
        if not journal.has_locks(self.folder):
            _print_error(
                f"{self.folder}: this file system has no file locks, so that a sweep that was killed looks like one "
                f"at work, and the same command would start anew; then: cifar-sweeps resume {self.manifest.sweep_id}"
            )

    def warm_up(self) -> None:
        """Begin to import what `end` needs, while the jobs train in other processes."""
        if self._store is not None and not self.detaches:
            report = bool(self._config.sweep.report)
            self._warm_up = WarmUp(logged_models(self._config.analysis.log_model) == "best", report)

    def record_failure(
        self, job: int, name: str, reason: str, log_file: Path, state: State = "FAILED", overrule: bool = False
    ) -> None:
        """Keep a failure for the summary, and end the job's journal if its process left it open.

        overrule: even if the process ended it, as one that was stopped does.
        """
        self._failures.append(JobFailure(job, name, reason, str(log_file), state))
        run = read_run(log_file.parent)
        if run is not None and (run.state == "RUNNING" or overrule):  # a finished one stays finished
            try:
                append_end(log_file.parent, state, reason, _LOCK_TIMEOUT)
            except TrackingError as error:  # the other jobs continue; the next command finds this one abandoned
                _print_error(str(error))

    def record_reused(self, job: int) -> None:
        """Keep that a previous launch had finished a job."""
        self._reused.add(job)

    def end(self, state: State | None = None) -> State:
        """End the parent run, FINISHED only if all of its jobs are, and print table, failures and links; once.

        Called by the command rather than by Hydra, which tells a callback of a good end alone.
        """
        if self._logger is None:
            self._remove_folder()
            return state or "FINISHED"
        if self.is_left:
            self._logger.leave()
            self._say_that_it_is_left()
            return "FINISHED"
        end = self._sweep_end()
        try:
            if self._warm_up is not None:
                (self._warm_up.cancel if state == "KILLED" else self._warm_up.finish)()
            end.close_open_runs()
            problem = end.deliver_runs()
        except KeyboardInterrupt:  # the store may take its time; the journals have all of it
            self._logger.end_run("KILLED", "interrupted")
            raise
        remove_placement(self.folder)
        runs = end.runs()
        requested = [run for run in runs if not self.requested or _job_number(run) in self.requested]
        unfinished = [run for run in requested if run.state not in ("FINISHED", "PAUSED")]
        is_whole = not (self._failures or unfinished or self._not_started(runs))
        outcome: State = state or ("FINISHED" if is_whole else "FAILED")
        self._show_in_mlflow(self._logger, runs)
        self._logger.end_run(outcome, "" if outcome == "FINISHED" else "not all of its runs finished")
        problem = problem or self._logger.delivery_error
        if problem is not None:
            _print_error(str(problem))
        unsent = len(undelivered_folders(self.folder))
        print_summary(self._summary(outcome, runs, unsent, end), Console(highlight=False))
        if outcome != "KILLED" and not unsent:
            end.write_report(partial(self._description, runs, has_report=True))
        elif unsent:
            end.say_that_there_is_no_report()
        return outcome

    @property
    def may_join(self) -> list[Path]:
        """The folders of the sweeps of previous launches that this one may join."""
        return [folder for folder, _ in self._candidates]

    @property
    def detaches(self) -> bool:
        """Whether the command is to leave the jobs once they are placed: ``sweep.detach``."""
        return bool(self._config.sweep.get("detach"))

    @property
    def jobs_deliver(self) -> bool:
        """Whether jobs send to the store what they record; else this command does."""
        return self._config.tracking.backend != "mlflow" or jobs_may_send(self._config.tracking.uri)

    def _say_that_it_is_left(self) -> None:
        sweep = self.manifest.sweep_id
        _say(f"Left to run: sweep {sweep}. Its jobs go on without this command:")
        for name, what in (
            ("status", "how far they are"),
            ("attach", "watch them, retry and promote, and close the sweep"),
            ("stop", "stop them; nothing that was trained is lost"),
        ):
            _say(f"  {shell_command('cifar-sweeps', [name, sweep], self._environment())}  # {what}")

    def _sweep_end(self) -> SweepEnd:
        makes_model = logged_models(self._config.analysis.log_model) == "best"
        has_report = bool(self._config.sweep.report)
        cache = OmegaConf.select(self._config, "data.source.cache", throw_on_resolution_failure=False)
        return SweepEnd(self.folder, self.manifest, self._store, self._environment(), makes_model, has_report, cache)

    def _summary(self, outcome: State, runs: list[RecordedRun], unsent: int, end: SweepEnd) -> SweepSummary:
        page = ""
        if self._store is not None and not unsent:
            page = sweep_page(self._store.prepare(self.manifest.study), self.manifest.sweep_id)
        return SweepSummary(
            manifest=self.manifest,
            folder=self.folder,
            outputs=Path(self._config.outputs),
            state=outcome,
            runs=runs,
            reused=frozenset(self._reused),
            failures=self._failures,
            store="" if self._store is None else self._store.uri,
            page=page,
            unsent=unsent,
            can_resume=self._is_ours,
            not_started=self._not_started(runs),
            environment=self._environment(),
            objectives=self.objectives,
            model_lines=partial(end.model_lines, outcome, runs),
        )

    def _show_in_mlflow(self, logger: RunLogger, runs: Sequence[RecordedRun] = ()) -> None:
        """Write the sweep's saved view and its parent's description; runs: those trained, none at its start.

        They go through the journal, so that they wait for a store that does not answer, as all else does.
        """
        if self._store is None:
            return
        logger.set_experiment_tags(sweep_view(self.manifest, logger.started, self._jobs(runs), runs))
        logger.set_tags({NOTE: self._description(runs)})

    def _description(self, runs: Sequence[RecordedRun], has_report: bool = False) -> str:
        about = (self.manifest, self._command(), self._environment(), self._jobs(runs))
        return describe_sweep(*about, runs, self._failures, frozenset(self._reused), has_report)

    def _jobs(self, runs: Sequence[RecordedRun]) -> int:
        return max(len(self.requested), len(runs))

    def _command(self) -> str:
        """Return what was typed, with the variables that stood ahead of it."""
        config, typed = self._config, self.manifest.command
        uri = configured_uri(config.tracking.uri, config.outputs) if self._store is not None else None
        return recorded_command("cifar-train", typed, needed_environment(typed, config.outputs, uri))

    def _environment(self) -> dict[str, str]:
        config = self._config
        uri = configured_uri(config.tracking.uri, config.outputs) if self._store is not None else None
        return store_environment(config.outputs, uri)

    def _not_started(self, runs: list[RecordedRun]) -> list[str]:
        begun = {_job_number(run) for run in runs} | {failure.job for failure in self._failures}
        return [name for number, name in self.requested.items() if number not in begun]

    def _check_folder(self) -> None:
        """Raise ConfigError if the folder of this launch holds another sweep."""
        if not (self._own_folder / NAME).exists():
            return
        try:
            there = read_manifest(self._own_folder)
        except (OSError, ValueError, KeyError, TypeError):
            there = None
        if there is None or there.identity != self.manifest.identity:
            raise ConfigError(
                f"hydra.sweep.dir={self._own_folder}: holds another sweep; choose another folder, or leave it out"
            )
        # Without locks a killed sweep looks like one at work: who names it by its id says that it is not.
        if journal.is_locked(self._own_folder) and not (_named_folder() and not journal.has_locks(self._own_folder)):
            raise ConfigError(f"hydra.sweep.dir={self._own_folder}: a sweep is running there; choose another folder")
        if self._config.sweep.rerun == "all":
            raise ConfigError(
                f"sweep.rerun=all: starts a new sweep, but {self._own_folder} holds one; leave hydra.sweep.dir out"
            )

    def _keep_hydras_config(self) -> None:
        """Move what Hydra wrote for this launch into the folder of the sweep that it joins."""
        if self.folder != self._own_folder:
            with contextlib.suppress(OSError):  # Hydra's record of the command; nothing reads it
                (self._own_folder / "multirun.yaml").replace(self.folder / "multirun.yaml")
                self._own_folder.rmdir()

    def _remove_folder(self) -> None:
        """Remove what Hydra created for a sweep of which no job has started."""
        with contextlib.suppress(OSError):  # another launcher's files are its own; a name too long is told already
            if (self._own_folder / journal.NAME).exists():  # a previous launch's
                return
            (self._own_folder / "multirun.yaml").unlink()
            for each in (self._own_folder, *self._new_folders):
                each.rmdir()


def left_text(states: Sequence[str]) -> str:
    """Return how many of a joined sweep's jobs, in these states, are paused or otherwise not finished; each if any."""
    paused = states.count("PAUSED")
    others = len(states) - paused - states.count("FINISHED")
    counts = [f"{paused} of them paused"] if paused else []
    counts += [f"{others} {'' if paused else 'of them '}not finished"] if others else []
    return "".join(f", {each}" for each in counts)


def _named_folder() -> Path | None:
    """Return the folder of the sweep that `cifar-sweeps resume` was asked for by its id."""
    named = os.environ.get(RESUME_FOLDER)
    return Path(named) if named else None


def _candidates(folder: Path, identity: str) -> list[tuple[Path, SweepManifest]]:
    """Return the previous launches that a launch may join; the one that `cifar-sweeps resume` names, if it does."""
    named = _named_folder()
    if named:
        return [(named, read_manifest(named))]
    return [*resumable_sweeps(folder, identity)]


def _config_dir() -> str | None:
    """Return the folder of the user's own config files that was typed, absolute; None without one."""
    arguments = sys.argv[1:]
    for number, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option in ("--config-dir", "-cd"):
            value = value or next(iter(arguments[number + 1 :]), "")
            return str(Path(value).expanduser().absolute()) if value else None
    return None


def _job_number(run: RecordedRun) -> int:
    return int(run.tag("job") or -1)


def _check_no_local_options(config: DictConfig) -> None:
    """Raise ConfigError for options that another launcher would silently ignore."""
    defaults = {"dry_run": False, "timeout": None, "retries": 0, "fail_fast": False, "rerun": "failed"}
    defaults |= {"early_stopping": "none", "detach": False}
    changed = [f"sweep.{key}={config.sweep[key]}" for key, value in defaults.items() if config.sweep[key] != value]
    if changed:
        raise ConfigError(
            f"{', '.join(changed)}: only the launchers local, slurm and ray do this; leave it, or the launcher, out"
        )


def _say(line: str) -> None:
    Console(highlight=False).print(line, markup=False, soft_wrap=True)


def _print_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
