"""The sweep itself: its record is opened before the first job, and closed with a true state."""

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, open_dict
from rich.console import Console

from cifar_sweeps.errors import ConfigError, TrackingError, in_one_line
from cifar_sweeps.sweeps import current
from cifar_sweeps.sweeps.manifest import RESUME_FOLDER, SweepManifest, swept_keys
from cifar_sweeps.sweeps.resume import JobNumbering, PreviousJob, find_resumable_sweep, read_previous_jobs, sweep_hash
from cifar_sweeps.sweeps.terminal.summary import JobFailure, SweepSummary, print_summary
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import deliver, read_delivery_state, undelivered_folders
from cifar_sweeps.tracking.journal import State
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.recovery import append_end, recover_abandoned_runs
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import DEFAULT_EXPERIMENT, PREFIX, RecordedRun, Store, configured_uri, tracking_uri

_LOCK_TIMEOUT = 10.0
"""Seconds that a process which was told to end may take to do so."""


class ParentRun:
    """Opens the store, the experiment and the parent run of a multirun, and closes the parent with a true state."""

    manifest: SweepManifest
    folder: Path

    def __init__(self, config: DictConfig, is_ours: bool) -> None:
        """config: the multirun's, as Hydra composed it. is_ours: whether our own launcher will run the jobs."""
        self.folder = Path(config.hydra.sweep.dir)
        self.reused: set[int] = set()
        self.requested: dict[int, str] = {}
        self._config = config
        self._is_ours = is_ours
        self._store: Store | None = None
        self._record: RunLogger | None = None
        self._failures: list[JobFailure] = []
        self._numbers: JobNumbering | None = None

    def prepare(self) -> None:
        """Note the sweep, or find the earlier start that it goes on with. Raises ConfigError or TrackingError."""
        config = self._config
        study = str(config.study_name or DEFAULT_EXPERIMENT)
        overrides = [str(override) for override in config.hydra.overrides.task]
        swept = tuple(swept_keys(overrides, config.hydra.sweeper.get("params")))
        store = "none"
        if config.tracking.backend == "mlflow":
            outputs = Path(config.outputs)
            self._store = Store(tracking_uri(config.tracking.uri, outputs), outputs)
            store = configured_uri(config.tracking.uri) or "embedded"  # which may be moved with its outputs
        identity = sweep_hash(study, store, overrides, swept)
        if not self._is_ours:
            identity = f"other-{identity}"  # nobody goes on with it: a later start with our launcher looks past it
        if self._is_ours and config.sweep.rerun != "all":
            named = os.environ.get(RESUME_FOLDER)
            self._go_on_in(Path(named) if named else find_resumable_sweep(self.folder, identity))
        self.manifest = SweepManifest(self.folder.name, study, swept, identity, tuple(sys.argv[1:]), str(Path.cwd()))
        current.sweep_began(self)
        batch = config.hydra.sweeper.get("max_batch_size")
        if self._is_ours and batch is not None:  # Hydra drops the batches after one in which a job failed
            at_once = "all jobs are checked first, and hydra.launcher.n_jobs of them run at once"
            raise ConfigError(f"hydra.sweeper.max_batch_size={batch}: {at_once}; leave it out")
        if not self._is_ours:
            # Ours opens the sweep when all jobs have been checked; another launcher does not know of it.
            _refuse_what_only_ours_does(config)
            self.start()

    def job_ended(self, config: DictConfig, job_return: JobReturn) -> None:
        """Note a failure that happened in this process: under Hydra's basic launcher."""
        if job_return.status == JobStatus.FAILED:
            hydra = config.hydra
            log_file = Path(hydra.runtime.output_dir, "run.log")
            name = " ".join(job_return.overrides or ())
            self.record_failure(int(hydra.job.num), name, in_one_line(job_return._return_value), log_file)

    def numbering(self) -> JobNumbering:
        """Return what numbers the jobs of this start, all batches of them. Raises ConfigError as `_earlier_jobs`."""
        if self._numbers is None:
            self._numbers = JobNumbering(self._earlier_jobs())
        return self._numbers

    def _earlier_jobs(self) -> list[PreviousJob]:
        """Return what earlier starts began. Raises ConfigError if that is in the way of a new sweep."""
        found = read_previous_jobs(self.folder)
        if found and self._config.sweep.rerun == "all":
            raise ConfigError(
                f"sweep.rerun=all: is a new sweep, and {self.folder} holds an earlier one; leave hydra.sweep.dir out"
            )
        return found

    def start(self, tags: Mapping[str, str] | None = None) -> None:
        """Make the store, the experiment and the parent run, and write the sweep's file; once.

        tags: more of the parent run's, by their short names.
        Raises TrackingError if the store cannot be used.
        """
        if self._record is not None:
            return
        recover_abandoned_runs(Path(self._config.outputs), _complain)
        if self._store is not None:
            trouble = self._store.availability_error(self.manifest.study)
            if trouble:
                _complain(trouble)
        self.manifest.write(self.folder)
        own = {
            "sweep_id": self.manifest.sweep_id,
            "study": self.manifest.study,
            "overrides": shlex.join(str(override) for override in self._config.hydra.overrides.task),
            "role": "sweep",
        }
        self._record = RunLogger(
            RunHeader(
                folder=self.folder,
                outputs=Path(self._config.outputs),
                backend=self._config.tracking.backend,
                uri=configured_uri(self._config.tracking.uri),
                study=self.manifest.study,
                name=f"sweep {self.manifest.sweep_id}",
                tags={f"{PREFIX}{key}": value for key, value in own.items()},
                identity=self.manifest.identity,
            )
        )
        self._record.set_tags({f"{PREFIX}{key}": value for key, value in (tags or {}).items()})

    def record_failure(
        self, job: int, name: str, reason: str, log_file: Path, state: State = "FAILED", overrule: bool = False
    ) -> None:
        """Keep a failure for the summary, and close the job's journal if its process left it open.

        overrule: even if the process closed it, as one that was told to stop does.
        """
        self._failures.append(JobFailure(job, name, reason, str(log_file)))
        run = read_run(log_file.parent)
        if run is not None and (run.state == "RUNNING" or overrule):  # a finished one is told as such
            try:
                append_end(log_file.parent, state, reason, _LOCK_TIMEOUT)
            except TrackingError as error:  # the other jobs go on; the next command finds it abandoned
                _complain(str(error))

    def end(self, state: State | None = None) -> State:
        """Close the parent run, FINISHED only if all of its jobs are, and print table, failures and links; once.

        Called by the command rather than by Hydra, which tells a callback of a good end alone.
        """
        current.sweep_ended(self)
        if self._record is None:
            self._remove_folder()
            return state or "FINISHED"
        try:
            self._close_what_is_open()
            trouble = self._deliver_what_is_left()
        except KeyboardInterrupt:  # the store may take its time; the journals have all of it
            self._record.end_run("KILLED", "interrupted")
            raise
        runs = self._runs()
        asked = [run for run in runs if not self.requested or int(run.tag("job") or -1) in self.requested]
        bad = bool(self._failures) or any(run.state != "FINISHED" for run in asked)
        outcome: State = state or ("FAILED" if bad else "FINISHED")
        self._record.end_run(outcome, "" if outcome == "FINISHED" else "not all of its runs finished")
        trouble = trouble or self._record.delivery_error
        if trouble is not None:
            _complain(str(trouble))
        unsent = len(undelivered_folders(self.folder))
        print_summary(self._ending(outcome, runs, unsent), Console(highlight=False))
        if outcome != "KILLED" and not unsent:
            self._report()
        return outcome

    def _ending(self, outcome: State, runs: list[RecordedRun], unsent: int) -> SweepSummary:
        experiment_id = None
        if self._store is not None and not unsent:
            experiment_id = self._store.prepare(self.manifest.study)
        return SweepSummary(
            manifest=self.manifest,
            folder=self.folder,
            state=outcome,
            runs=runs,
            reused=frozenset(self.reused),
            failures=self._failures,
            recorded=self._store is not None,
            experiment_id=experiment_id,
            unsent=unsent,
            can_resume=self._is_ours,
            not_started=self._not_started(runs),
        )

    def _not_started(self, runs: list[RecordedRun]) -> list[str]:
        begun = {int(run.tag("job") or -1) for run in runs} | {failure.job for failure in self._failures}
        return [name for number, name in self.requested.items() if number not in begun]

    def _go_on_in(self, folder: Path | None) -> None:
        if folder is None:
            return
        self.folder = folder
        with open_dict(self._config):
            self._config.hydra.sweep.dir = str(folder)

    def _close_what_is_open(self) -> None:
        """Mark the runs whose processes are gone: this sweep is over."""
        for folder in journal.folders(self.folder):
            run = read_run(folder)
            if folder != self.folder and run is not None and run.state == "RUNNING":
                with contextlib.suppress(TrackingError):  # it still writes: under a launcher that does not wait
                    append_end(folder, "KILLED", "the sweep was stopped")

    def _deliver_what_is_left(self) -> TrackingError | None:
        for folder in undelivered_folders(self.folder):
            if folder != self.folder:
                try:
                    deliver(folder)
                except TrackingError as error:  # the others would wait for the same store
                    return error
        return None

    def _runs(self) -> list[RecordedRun]:
        found = [read_run(folder) for folder in journal.folders(self.folder) if folder != self.folder]
        return [run for run in found if run is not None]

    def _report(self) -> None:
        """Keep the report with the sweep's record. A sweep that ended well stays so if it cannot be written."""
        run_id = read_delivery_state(self.folder).run_id
        if self._store is None or run_id is None or not self._config.sweep.report:
            return
        from cifar_sweeps.studies.reports.study_report import (
            attach_report,  # pandas and matplotlib: at the end, not at the start
        )

        try:
            report = attach_report(
                self._store, run_id, self.manifest.study, self.manifest.sweep_id, self.folder / "report"
            )
        except Exception as error:  # noqa: BLE001 (whatever it is, the runs are safe, and can be reported later)
            _complain(
                f"The report could not be written: {in_one_line(error)}; "
                f"try again: cifar-sweeps report {self.manifest.study} --sweep {self.manifest.sweep_id}"
            )
            return
        Console(highlight=False).print(f"Report: {report.page}", markup=False, soft_wrap=True)

    def _remove_folder(self) -> None:
        """Remove what Hydra made for a sweep of which no job has begun."""
        if (self.folder / journal.NAME).exists():  # an earlier start of it has
            return
        with contextlib.suppress(OSError):  # another launcher's files are its own
            (self.folder / "multirun.yaml").unlink()
            self.folder.rmdir()


def _refuse_what_only_ours_does(config: DictConfig) -> None:
    """Raise ConfigError for what another launcher would leave undone without a word."""
    plain = {"dry_run": False, "timeout": None, "retries": 0, "fail_fast": False, "rerun": "failed"}
    asked = [f"sweep.{key}={config.sweep[key]}" for key, value in plain.items() if config.sweep[key] != value]
    if asked:
        raise ConfigError(f"{', '.join(asked)}: is done by hydra/launcher=local alone; leave it, or the launcher, out")


def _complain(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
