"""The sweep itself: a Hydra callback that opens its record before the first job, and says at its end what came out."""

import contextlib
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from mlflow.exceptions import MlflowException
from omegaconf import DictConfig
from rich.console import Console

from cifar_sweeps.errors import CifarSweepsError, ConfigError, in_one_line
from cifar_sweeps.sweeps import current
from cifar_sweeps.sweeps.faults import Refused
from cifar_sweeps.sweeps.links import UI_ADDRESS, compare_link, ui_command
from cifar_sweeps.sweeps.sweep_file import SweepFile
from cifar_sweeps.sweeps.table import results_table
from cifar_sweeps.tracking.record import NoRecord, Record, State
from cifar_sweeps.tracking.store import DEFAULT_EXPERIMENT, PREFIX, KnownRun, Store, tracking_uri

_LAUNCHER = "hydra_plugins.cifar_sweeps_launcher.LocalLauncher"


@dataclass(frozen=True)
class Failure:
    """A job that did not finish."""

    job: int
    name: str
    reason: str
    log_file: str


class SweepParent(Callback):
    """Opens the store, the experiment and the parent run of a multirun, and closes the parent with a true state."""

    facts: SweepFile

    def __init__(self) -> None:
        self._store: Store | None = None
        self._experiment_id = ""
        self._record: Record = NoRecord()
        self._folder = Path()
        self._overrides = ""
        self._failures: list[Failure] = []
        self._is_open = False
        self._reports = False

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Note the sweep. Raises Refused: Hydra would only warn of another exception."""
        self._folder = Path(config.hydra.sweep.dir)
        study = str(config.study_name or DEFAULT_EXPERIMENT)
        overrides = [str(override) for override in config.hydra.overrides.task]
        self._overrides = shlex.join(overrides)
        swept = tuple(swept_keys(overrides, config.hydra.sweeper.get("params")))
        self.facts = SweepFile(self._folder.name, study, None, swept)
        if config.tracking.backend == "mlflow":
            outputs = Path(config.outputs)
            self._store = Store(tracking_uri(config.tracking.uri, outputs), outputs)
        self._reports = bool(config.sweep.report)
        current.sweep_began(self)
        if config.hydra.launcher.get("_target_") != _LAUNCHER:
            # Ours opens the sweep when all jobs have been checked; another launcher does not know of it.
            try:
                if config.sweep.dry_run:
                    raise ConfigError(
                        "sweep.dry_run=true: is done by hydra/launcher=local alone; leave the launcher out"
                    )
                self.open()
            except CifarSweepsError as fault:
                raise Refused(fault) from fault

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ANN401
        """Note a failure that happened in this process: under Hydra's basic launcher."""
        if job_return.status == JobStatus.FAILED and current.sweep() is self:
            hydra = config.hydra
            log_file = Path(hydra.runtime.output_dir, "run.log")
            name = " ".join(job_return.overrides or ())
            self.note_failure(int(hydra.job.num), name, in_one_line(job_return._return_value), str(log_file))

    def open(self, tags: Mapping[str, str] | None = None) -> None:
        """Make the store, the experiment and the parent run, and write the sweep's file; once.

        tags: more of the parent run's, by their short names.
        Raises TrackingError if the store cannot be used.
        """
        if self._is_open:
            return
        if self._store is not None:
            self._experiment_id = self._store.prepare(self.facts.study)
            own = {
                "sweep_id": self.facts.sweep_id,
                "study": self.facts.study,
                "overrides": self._overrides,
                "role": "sweep",
                **(tags or {}),
            }
            name = f"sweep {self.facts.sweep_id}"
            self._record = self._store.create_run(
                self._experiment_id, name, {f"{PREFIX}{key}": value for key, value in own.items()}
            )
        self.facts = SweepFile(self.facts.sweep_id, self.facts.study, self._record.run_id, self.facts.swept)
        self.facts.write(self._folder)
        self._is_open = True

    def note_failure(self, job: int, name: str, reason: str, log_file: str) -> None:
        """Keep a failure for the summary, and set the job's run, if it still stands as RUNNING, to FAILED."""
        self._failures.append(Failure(job, name, reason, log_file))
        try:
            for child in self._children():
                if child.state == "RUNNING" and child.tag("job") == str(job):
                    self._close_child(child, "FAILED", reason)
        except MlflowException as error:  # the other jobs go on; the sweep's end tries again
            sys.stderr.write(f"The store does not take job {job}'s failure: {in_one_line(error)}\n")

    def end(self, state: State | None = None) -> State:
        """Close the parent run, FINISHED only if all of its jobs are, and print table, failures and links; once.

        Called by the command rather than by Hydra, which tells a callback of a good end alone.
        """
        current.sweep_ended(self)
        if not self._is_open:
            self._remove_folder()
            return state or "FINISHED"
        for child in self._children():
            if child.state == "RUNNING":
                known = next((failure for failure in self._failures if str(failure.job) == child.tag("job")), None)
                if known is not None:
                    self._close_child(child, "FAILED", known.reason)
                else:
                    self._close_child(child, "KILLED", "the sweep was stopped")
        children = self._children()
        bad = bool(self._failures) or any(child.state != "FINISHED" for child in children)
        outcome: State = state or ("FAILED" if bad else "FINISHED")
        self._record.close(outcome, "" if outcome == "FINISHED" else "not all of its runs finished")
        self._print(children)
        if outcome != "KILLED":
            self._report()
        return outcome

    def _report(self) -> None:
        """Keep the report with the sweep's record. A sweep that ended well stays so if it cannot be written."""
        if self._store is None or self._record.run_id is None or not self._reports:
            return
        from cifar_sweeps.studies.report import attach_report  # pandas and matplotlib: at the end, not at the start

        try:
            report = attach_report(
                self._store, self._record.run_id, self.facts.study, self.facts.sweep_id, self._folder / "report"
            )
        except Exception as error:  # noqa: BLE001 (whatever it is, the runs are safe, and can be reported later)
            sys.stderr.write(
                f"The report could not be written: {in_one_line(error)}; "
                f"try again: cifar-sweeps report {self.facts.study} --sweep {self.facts.sweep_id}\n"
            )
            return
        Console(highlight=False).print(f"Report: {report.page}", markup=False, soft_wrap=True)

    def _remove_folder(self) -> None:
        """Remove what Hydra made for a sweep of which no job has begun."""
        with contextlib.suppress(OSError):  # another launcher's files are its own
            (self._folder / "multirun.yaml").unlink()
            self._folder.rmdir()

    def _children(self) -> list[KnownRun]:
        if self._store is None or self._record.run_id is None:
            return []
        return self._store.children(self._experiment_id, self._record.run_id)

    def _close_child(self, child: KnownRun, state: State, reason: str) -> None:
        assert self._store is not None
        self._store.open_run(child.run_id).close(state, reason)

    def _print(self, children: list[KnownRun]) -> None:
        console = Console(highlight=False)
        if children:
            console.print(results_table(children))

        def say(line: str) -> None:
            console.print(line, markup=False, soft_wrap=True)

        for failure in sorted(self._failures, key=lambda failure: failure.job):
            say(f"Job {failure.job} failed ({failure.name}): {failure.reason}")
            say(f"  its log: {failure.log_file}")
        if self._store is None:
            say(f"The runs lie in {self._folder}; they were not recorded (tracking=none).")
            return
        finished = [child for child in children if child.state == "FINISHED"]
        if finished:
            best = max(finished, key=lambda child: child.metrics.get("best/val_accuracy", -1.0))
            say("Repeat a run, the best one for example (each run's description in MLflow says how):")
            say(f"  cifar-sweeps reproduce {best.run_id[:8]}")
            say(f"  {best.tags.get('mlflow.note.content', '').removeprefix('Repeat it: ').strip('`')}")
        say("Look at the runs in MLflow:")
        say(f"  {ui_command()}")
        say(f"  {UI_ADDRESS}{compare_link(self._experiment_id, self.facts.sweep_id)}")
        say(f"Folders, logs and checkpoints: {self._folder}")


def swept_keys(overrides: Iterable[str], params: Mapping[str, Any] | None) -> list[str]:
    """Return the keys that a sweep varies, from its command line and from its study's ``hydra.sweeper.params``.

    The study's keys are among them even where the command line leaves one value: its runs stay comparable with those of
    the whole study.
    """
    parser = OverridesParser.create()
    typed = {override.get_key_element(): override for override in parser.parse_overrides(list(overrides))}
    varied = [key for key, override in typed.items() if override.is_sweep_override() and key not in (params or {})]
    return [key.lstrip("+") for key in (*(params or {}), *varied)]
