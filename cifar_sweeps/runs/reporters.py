"""What a person sees of one run while it trains: a bar on a terminal, plain lines elsewhere, a log file always."""

import logging
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cifar_sweeps.training.metrics import EpochMetrics, StepProgress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunDescription:
    """What is known of a run before its first step."""

    name: str
    folder: str
    epochs: int
    lines: tuple[str, ...]
    """What a reader should know: data set and splits, model, device; one fact a line."""


class RunReporter(Protocol):
    """Is told how a run goes."""

    def on_start(self, facts: RunDescription) -> None:
        """The first epoch is about to begin."""

    def on_step(self, progress: StepProgress) -> None:
        """Some steps are done; called a few times a second."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is done."""

    def on_message(self, words: str) -> None:
        """Something that is worth a line of its own."""

    def on_end(self, words: str) -> None:
        """The run is over; ``words`` say how."""


class LogReporter:
    """Writes plain lines into the run's log file."""

    def on_start(self, facts: RunDescription) -> None:
        """Log what will be trained."""
        log.info("%s -> %s", facts.name, facts.folder)
        for line in facts.lines:
            log.info("%s", line)
        self._epochs = facts.epochs

    def on_step(self, progress: StepProgress) -> None:
        """Nothing: a log has a line an epoch."""

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Log the epoch."""
        log.info("%s", epoch_line(metrics, self._epochs))

    def on_message(self, words: str) -> None:
        """Log it."""
        log.info("%s", words)

    def on_end(self, words: str) -> None:
        """Log the outcome."""
        log.info("%s", words)


class TerminalReporter:
    """Draws a bar on a terminal, or prints a line an epoch where the output is a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs = 0

    def on_start(self, facts: RunDescription) -> None:
        """Print what will be trained, and begin the bar."""
        self._print(f"{facts.name} -> {facts.folder}")
        for line in facts.lines:
            self._print(f"  {line}")
        self._epochs = facts.epochs
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task("", total=facts.epochs, figures="")
            self._bar.start()

    def on_step(self, progress: StepProgress) -> None:
        """Move the bar."""
        if self._bar is not None:
            figures = f"loss {progress.loss:.3f}  acc {progress.accuracy:.3f}  {progress.images_per_second:,.0f} img/s"
            done = progress.epoch - 1 + progress.step / progress.steps
            self._bar.update(self._task, completed=done, figures=figures)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Print the epoch's line above the bar."""
        self._print(f"  {epoch_line(metrics, self._epochs)}")
        if self._bar is not None:
            self._bar.update(self._task, completed=metrics.epoch)

    def on_message(self, words: str) -> None:
        """Print it above the bar."""
        self._print(f"  {words}")

    def on_end(self, words: str) -> None:
        """Take the bar away and print the outcome."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._print(words)

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class ReporterGroup:
    """Tells several watchers the same."""

    def __init__(self, *watchers: RunReporter) -> None:
        self._watchers = watchers

    def on_start(self, facts: RunDescription) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_start(facts)

    def on_step(self, progress: StepProgress) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_step(progress)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_epoch(metrics)

    def on_message(self, words: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_message(words)

    def on_end(self, words: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_end(words)


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Return one epoch in one line of fewer than 80 columns."""
    width = len(str(epochs))
    line = f"epoch {metrics.epoch:{width}}/{epochs}  train {metrics.train_loss:.3f} {metrics.train_accuracy:.3f}"
    if metrics.val_loss is not None and metrics.val_accuracy is not None:
        line += f"  val {metrics.val_loss:.3f} {metrics.val_accuracy:.3f}"
    return f"{line}  {metrics.images_per_second:,.0f} img/s  {metrics.epoch_seconds:.1f} s"
