"""What is left to do when a sweep's last job has ended: runs closed and sent, the best one's model, the report."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cifar_sweeps.errors import TrackingError, in_one_line
from cifar_sweeps.sweeps.manifest import SweepManifest
from cifar_sweeps.sweeps.terminal.summary import best_run
from cifar_sweeps.system.scripts import shell_command
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import read_delivery_state, undelivered_folders
from cifar_sweeps.tracking.delivery_thread import END_PATIENCE, deliver_patiently
from cifar_sweeps.tracking.journal import State
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.page_links import NOTE
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.tracking.recovery import append_end
from cifar_sweeps.tracking.store import Store, StoreUnavailableError
from cifar_sweeps.tracking.store_calls import log_values


@dataclass(frozen=True)
class SweepEnd:
    """Ends the runs of a sweep, and makes of them what is made once for all.

    folder: the sweep's. store: None with tracking=none. environment: the variables that a command needs to find it.
    makes_model: whether the best run gets a model for ``mlflow.pyfunc``. has_report: whether a report is written.
    cache: the folder of decoded images that the sweep was told to use, if its data set has one.
    """

    folder: Path
    manifest: SweepManifest
    store: Store | None
    environment: Mapping[str, str]
    makes_model: bool
    has_report: bool
    cache: str | None

    def close_open_runs(self) -> None:
        """Mark the runs whose processes are gone as killed: this sweep is over."""
        for folder in self._run_folders():
            run = read_run(folder)
            if run is not None and run.state == "RUNNING":
                with contextlib.suppress(TrackingError):  # it still writes: under a launcher that does not wait
                    append_end(folder, "KILLED", "the sweep was stopped")

    def deliver_runs(self) -> TrackingError | None:
        """Send what the store lacks of the runs, waiting for it a while; return why some of it could not be sent."""
        problem = None
        for folder in undelivered_folders(self.folder):
            if folder != self.folder:
                try:
                    deliver_patiently(folder, END_PATIENCE)
                except StoreUnavailableError as error:  # the others would wait for the same store
                    return error
                except TrackingError as error:
                    problem = error
        return problem

    def runs(self) -> list[RecordedRun]:
        """Return the runs, from their journals."""
        return [run for folder in self._run_folders() if (run := read_run(folder)) is not None]

    def model_lines(self, outcome: State, runs: Sequence[RecordedRun]) -> Iterator[str]:
        """Yield what is to be known of the best run's model, and make it: ``analysis.log_model=best``.

        Not of a sweep that was stopped: it goes on, perhaps with another best run. One that was the best of an earlier
        launch keeps its model.
        """
        best = best_run(runs)
        if self.store is None or best is None or outcome == "KILLED" or not self.makes_model:
            return
        # torch.export and what else it needs: at the end, not at the start
        from cifar_sweeps.sweeps.best_model import best_model_lines

        yield from best_model_lines(best, self.store, self.environment, self.cache)

    def write_report(self, description: Callable[[], str]) -> None:
        """Write the report and log it with the parent run. A sweep that ended well stays so if this fails.

        description: returns the parent run's, once there is a report.
        """
        run_id = read_delivery_state(self.folder).run_id
        if self.store is None or run_id is None or not self.has_report:
            return
        # pandas and matplotlib: at the end, not at the start
        from cifar_sweeps.studies.reports.study_report import attach_report

        study, sweep_id = self.manifest.study, self.manifest.sweep_id
        try:
            report = attach_report(self.store, run_id, study, sweep_id, self.folder / "report")
            # Like the report itself not in the journal, which ended before it.
            log_values(self.store.client(), run_id, tags={NOTE: description()})
        except Exception as error:  # noqa: BLE001 (whatever it is, the runs are safe, and can be reported later)
            again = f"try again: {self._report_command()}"
            sys.stderr.write(f"The report could not be written: {in_one_line(error)}; {again}\n")
            sys.stderr.flush()
            return
        _say(f"Report: {report.page}")

    def say_that_there_is_no_report(self) -> None:
        """Say of a sweep whose runs are not all in the store that its report is not written, and how it will be."""
        if self.store is not None and self.has_report:
            _say(f"Report: not written, for it reads the store; once all is there:\n  {self._report_command()}")

    def _run_folders(self) -> Iterator[Path]:
        return (folder for folder in journal.folders(self.folder) if folder != self.folder)

    def _report_command(self) -> str:
        sweep = ["report", self.manifest.study, "--sweep", self.manifest.sweep_id]
        return shell_command("cifar-sweeps", sweep, self.environment)


def _say(line: str) -> None:
    Console(highlight=False).print(line, markup=False, soft_wrap=True)
