"""What a person sees of one run while it trains: a bar on a terminal, plain lines elsewhere, a log file always."""

import logging
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cifar_sweeps.training.metrics import EpochMetrics, StepProgress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before its first step."""

    name: str
    folder: str
    epochs: int
    lines: tuple[str, ...]
    """What a reader should know: data set and splits, model, device; one fact a line."""


class Watcher(Protocol):
    """Is told how a run goes."""

    def started(self, facts: RunFacts) -> None:
        """The first epoch is about to begin."""

    def step(self, progress: StepProgress) -> None:
        """Some steps are done; called a few times a second."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is done."""

    def note(self, words: str) -> None:
        """Something that is worth a line of its own."""

    def ended(self, words: str) -> None:
        """The run is over; ``words`` say how."""


class LogWatcher:
    """Writes plain lines into the run's log file."""

    def started(self, facts: RunFacts) -> None:
        """Log what will be trained."""
        log.info("%s -> %s", facts.name, facts.folder)
        for line in facts.lines:
            log.info("%s", line)
        self._epochs = facts.epochs

    def step(self, progress: StepProgress) -> None:
        """Nothing: a log has a line an epoch."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """Log the epoch."""
        log.info("%s", epoch_line(metrics, self._epochs))

    def note(self, words: str) -> None:
        """Log it."""
        log.info("%s", words)

    def ended(self, words: str) -> None:
        """Log the outcome."""
        log.info("%s", words)


class TerminalWatcher:
    """Draws a bar on a terminal, or prints a line an epoch where the output is a file or a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs = 0

    def started(self, facts: RunFacts) -> None:
        """Print what will be trained, and begin the bar."""
        self._say(f"{facts.name} -> {facts.folder}")
        for line in facts.lines:
            self._say(f"  {line}")
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

    def step(self, progress: StepProgress) -> None:
        """Move the bar."""
        if self._bar is not None:
            figures = f"loss {progress.loss:.3f}  acc {progress.accuracy:.3f}  {progress.images_per_second:,.0f} img/s"
            done = progress.epoch - 1 + progress.step / progress.steps
            self._bar.update(self._task, completed=done, figures=figures)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Print the epoch's line above the bar."""
        self._say(f"  {epoch_line(metrics, self._epochs)}")
        if self._bar is not None:
            self._bar.update(self._task, completed=metrics.epoch)

    def note(self, words: str) -> None:
        """Print it above the bar."""
        self._say(f"  {words}")

    def ended(self, words: str) -> None:
        """Take the bar away and print the outcome."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._say(words)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Watchers:
    """Tells several watchers the same."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def started(self, facts: RunFacts) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.started(facts)

    def step(self, progress: StepProgress) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.step(progress)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.epoch(metrics)

    def note(self, words: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.note(words)

    def ended(self, words: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.ended(words)


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Return one epoch in one line of fewer than 80 columns."""
    width = len(str(epochs))
    line = f"epoch {metrics.epoch:{width}}/{epochs}  train {metrics.train_loss:.3f} {metrics.train_accuracy:.3f}"
    if metrics.val_loss is not None and metrics.val_accuracy is not None:
        line += f"  val {metrics.val_loss:.3f} {metrics.val_accuracy:.3f}"
    return f"{line}  {metrics.images_per_second:,.0f} img/s  {metrics.epoch_seconds:.1f} s"
