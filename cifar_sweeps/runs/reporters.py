"""Report the progress of one run: a bar on a terminal, plain lines elsewhere, and always a log file."""

import logging
import sys
from dataclasses import dataclass
from typing import IO, Literal, Protocol, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cifar_sweeps.runs.loading import LoadingBar, LoadingMessage
from cifar_sweeps.system.streams import ForgivingText
from cifar_sweeps.training.metrics import EpochMetrics, StepProgress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunDescription:
    """Description of a run before its first step."""

    name: str
    folder: str
    epochs: int
    lines: tuple[str, ...]
    """Data set and splits, budget, model, device; one fact a line."""


def shows_live_output(console: Console) -> bool:
    """Return whether the console can redraw what it shows: a real terminal, and not one of ``TERM=dumb``.

    FORCE_COLOR asks for colours in a file, not for a bar that is drawn a thousand times.
    """
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


def notebook_console() -> Console:
    """Return a console for a run that a script or a notebook starts: its lines, with nothing that could stop it."""
    # As plain text in a notebook: a bar there needs a package (ipywidgets) that may be missing.
    return Console(file=cast(IO[str], ForgivingText(sys.stdout)), force_jupyter=False, highlight=False)


Work = Literal["testing", "pictures", "model", "record"]
"""What a run does after its last epoch: tests on the test images, draws, exports its model, closes its record."""


class RunReporter(Protocol):
    """Receives the progress of a run."""

    def on_loading(self, what: str, done: int, total: int) -> None:
        """Called while images are read, drawn or downloaded: how many are done, and of how many (0: not counted)."""

    def on_start(self, description: RunDescription) -> None:
        """Called before the first epoch."""

    def on_step(self, progress: StepProgress) -> None:
        """Called a few times a second while an epoch trains."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Called after each epoch."""

    def on_work(self, work: Work) -> None:
        """Called when the run begins this after its last epoch."""

    def on_message(self, text: str) -> None:
        """Called with a message for the user."""

    def on_end(self, text: str) -> None:
        """Called when the run ends; ``text`` is its outcome."""


class LogReporter:
    """Writes lines to the run's log file."""

    _loading: LoadingMessage | None = None

    def on_loading(self, what: str, done: int, total: int) -> None:
        """Log what takes long, once."""
        if self._loading is None:
            self._loading = LoadingMessage(lambda line: log.info("%s", line))
        self._loading(what, done, total)

    def on_start(self, description: RunDescription) -> None:
        """Log the description."""
        log.info("%s -> %s", description.name, description.folder)
        for line in description.lines:
            log.info("%s", line)
        self._epochs = description.epochs

    def on_step(self, progress: StepProgress) -> None:
        """Do nothing: the log has one line an epoch."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Log the epoch."""
        log.info("%s", epoch_line(metrics, self._epochs))

    def on_work(self, work: Work) -> None:
        """Do nothing: a message says what takes long."""

    def on_message(self, text: str) -> None:
        """Log the message."""
        log.info("%s", text)

    def on_end(self, text: str) -> None:
        """Log the outcome."""
        log.info("%s", text)


class TerminalReporter:
    """Shows a progress bar on a terminal, or prints a line an epoch if the output is a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_live = shows_live_output(console)
        self._loading = LoadingBar(console)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs = 0

    def on_loading(self, what: str, done: int, total: int) -> None:
        """Show a bar while images are loaded."""
        self._loading(what, done, total)

    def on_start(self, description: RunDescription) -> None:
        """Print the description, and start the bar."""
        self._print(f"{description.name} -> {description.folder}")
        for line in description.lines:
            self._print(f"  {line}")
        self._epochs = description.epochs
        if self._is_live:
            self._bar = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[metrics]}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task("", total=description.epochs, metrics="")
            self._bar.start()

    def on_step(self, progress: StepProgress) -> None:
        """Update the bar."""
        if self._bar is not None:
            text = f"loss {progress.loss:.3f}  acc {progress.accuracy:.3f}  {progress.images_per_second:,.0f} img/s"
            done = progress.epoch - 1 + progress.step / progress.steps
            self._bar.update(self._task, completed=done, metrics=text)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Print the epoch's line above the bar."""
        self._print(f"  {epoch_line(metrics, self._epochs)}")
        if self._bar is not None:
            self._bar.update(self._task, completed=metrics.epoch)

    def on_work(self, work: Work) -> None:
        """Do nothing: a message says what takes long."""

    def on_message(self, text: str) -> None:
        """Print the message above the bar."""
        self._print(f"  {text}")

    def on_end(self, text: str) -> None:
        """Remove the bar and print the outcome."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._print(text)

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class ReporterGroup:
    """Forwards every call to several reporters."""

    def __init__(self, *reporters: RunReporter) -> None:
        self._reporters = reporters

    def on_loading(self, what: str, done: int, total: int) -> None:
        """Forward the call."""
        for reporter in self._reporters:
            reporter.on_loading(what, done, total)

    def on_start(self, description: RunDescription) -> None:
        """Forward the call."""
        for reporter in self._reporters:
            reporter.on_start(description)

    def on_step(self, progress: StepProgress) -> None:
        """Forward the call."""
        for reporter in self._reporters:
            reporter.on_step(progress)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Forward the call."""
        for reporter in self._reporters:
            reporter.on_epoch(metrics)

    def on_work(self, work: Work) -> None:
        """Forward the call."""
        for reporter in self._reporters:
            reporter.on_work(work)

    def on_message(self, text: str) -> None:
        """Forward the call."""
        for reporter in self._reporters:
            reporter.on_message(text)

    def on_end(self, text: str) -> None:
        """Forward the call."""
        for reporter in self._reporters:
            reporter.on_end(text)


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Return one epoch's metrics in a line of fewer than 80 columns."""
    width = len(str(epochs))
    line = f"epoch {metrics.epoch:{width}}/{epochs}  train {metrics.train_loss:.3f} {metrics.train_accuracy:.3f}"
    if metrics.val_loss is not None and metrics.val_accuracy is not None:
        line += f"  val {metrics.val_loss:.3f} {metrics.val_accuracy:.3f}"
    return f"{line}  {metrics.images_per_second:,.0f} img/s  {metrics.epoch_seconds:.1f} s"
