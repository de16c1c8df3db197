"""Show the progress of a sweep: one live table on a terminal, plain lines elsewhere."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cifar_sweeps.runs.reporters import Work, shows_live_output
from cifar_sweeps.sweeps.jobs import (
    EpochReport,
    JobEvent,
    JobState,
    StepReport,
    TrainingEnded,
    TrainingStarted,
    WorkStarted,
)
from cifar_sweeps.sweeps.manifest import parse_run_name

Phase = Literal["waiting", "queued", "running", "saving", "paused", "finished", "failed", "killed"]
_ORDER: dict[Phase, int] = {
    "running": 0,
    "saving": 1,
    "failed": 2,
    "killed": 3,
    "finished": 4,
    "paused": 5,
    "queued": 6,
    "waiting": 7,
}
_PHASES: dict[JobState, Phase] = {
    "waiting": "waiting",
    "training": "running",
    "wrapping_up": "saving",
    "paused": "paused",
    "finished": "finished",
    "failed": "failed",
    "killed": "killed",
}
"""What the table calls the states of a job."""
_STYLE: dict[Phase, str] = {
    "running": "cyan",
    "saving": "cyan",
    "failed": "red",
    "killed": "yellow",
    "finished": "green",
    "paused": "blue",
    "queued": "dim",
    "waiting": "dim",
}
_MIN_EPOCHS = 0.1
"""Epochs of a job that must be done before its pace is believed."""


@dataclass
class JobProgress:
    """How far one job is. ``done`` is in epochs, and can be between two."""

    number: int
    name: str
    epochs: int
    phase: Phase = "waiting"
    done: float = 0.0
    loss: float | None = None
    best: float | None = None
    began: float = 0.0
    first_step: float | None = None
    resumed_at: float | None = None
    """The whole epochs that were done when its process took its first step; None before a report of it."""
    ended: float = 0.0
    work: Work | None = None
    """What it does after its last epoch; None before that, and where its record does not tell it."""

    @property
    def doing(self) -> str:
        """Its phase, or what it does in it."""
        return self.work if self.work is not None and self.phase in ("running", "saving") else self.phase

    def seconds_an_epoch(self, now: float) -> float | None:
        """Return its pace so far, all that is not training included; None before there is one."""
        here = self.done - (self.resumed_at or 0.0)
        if self.first_step is None or here < _MIN_EPOCHS:
            return None
        return ((self.ended or now) - self.first_step) / here

    def reach(self, done: float) -> None:
        """Take in how many epochs are done; the first report says how many were before this process."""
        if self.resumed_at is None:
            self.resumed_at = max(0.0, math.ceil(done) - 1.0)
        self.done = done

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds that its remaining epochs will take at this pace; None before there is one."""
        pace = self.seconds_an_epoch(now)
        return None if pace is None or self.doing != "running" else pace * (self.epochs - self.done)


@dataclass
class SweepProgress:
    """All jobs of a sweep, as the terminal shows them."""

    jobs: list[JobProgress]
    console: Console
    at_once: int = 1
    total: int | None = None
    """How many jobs there will be, where not all are there yet; None: those that there are."""
    pauses: bool = False
    """Whether jobs are paused before their ends, so that less than all of their epochs may be trained."""
    queues: bool = False
    """Whether a job that is started may wait in a scheduler's queue before it trains."""
    _began: float = field(default_factory=time.monotonic)
    _live: Live | None = None
    _same_keys: bool = False
    _by_number: dict[int, JobProgress] = field(default_factory=dict)
    _over: set[int] = field(default_factory=set)
    """Those that have ended, one way or another, and do not run again."""

    def __enter__(self) -> "SweepProgress":
        if shows_live_output(self.console):
            self._live = Live(console=self.console, get_renderable=self.table, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def job(self, number: int) -> JobProgress:
        """Return a job by its number in the sweep."""
        if number not in self._by_number:  # of a search, that has been added
            self._by_number = {job.number: job for job in self.jobs}
        return self._by_number[number]

    def handle(self, event: JobEvent) -> None:
        """Take in what a job reports."""
        job = self.job(event.job)
        if isinstance(event, TrainingStarted):
            now = time.monotonic()
            if job.phase == "queued":
                job.began = now  # how long the queue was is not the job's
                if self._live is None:
                    self.print_line(f"job {event.job} trains: {job.name}")
            elif self.queues:
                self.print_line(f"job {event.job} trains again, for the scheduler had queued it again: {job.name}")
            job.phase = "running"
            job.epochs, job.first_step, job.resumed_at, job.work = event.epochs, now, None, None
        elif isinstance(event, StepReport):
            job.reach(event.epochs_done)
            job.loss = event.loss
        elif isinstance(event, EpochReport):
            job.reach(event.epoch)
            job.loss = event.loss
            if event.val_accuracy is not None:
                job.best = max(event.val_accuracy, job.best or 0.0)
        elif isinstance(event, TrainingEnded):  # it writes its model and its pictures
            job.phase = "saving"
        elif isinstance(event, WorkStarted):
            job.work = event.work

    def started(self, number: int, resumed: bool = False) -> None:
        """Show that a job runs. resumed: a previous launch of the sweep had started it."""
        job = self.job(number)
        job.phase, job.began, job.work = "queued" if self.queues else "running", time.monotonic(), None
        self._over.discard(number)  # it was paused, or failed and is tried again
        if self._live is None:
            word = "queued" if self.queues else "resumed" if resumed else "started"
            self.print_line(f"job {number} {word}: {job.name}")

    def ended(self, number: int, state: JobState, reason: str = "") -> None:
        """Show how a job ended. A failure is printed at once, on a terminal too."""
        job = self.job(number)
        job.phase, job.ended = _PHASES[state], time.monotonic()
        self._over.add(number)
        count = f"{len(self._over)} of {self._total()}"
        if job.phase in ("failed", "killed"):
            self.print_line(f"job {number} {job.phase} ({count}): {job.name}: {reason}")
        elif self._live is None:
            best = f", best val accuracy {job.best:.4f}" if job.best is not None else ""
            is_part = self.queues and bool(job.resumed_at)  # what it trained before was not seen from here
            took = "" if is_part else f" in {job.ended - job.began:.0f} s"
            self.print_line(f"job {number} {job.phase}{took} ({count}): {job.name}{best}")

    def table(self) -> RenderableType:
        """Draw the table: running jobs first, as many rows as fit, the best run so far marked."""
        now = time.monotonic()
        rows = max(3, self.console.height - 7)
        shown = sorted(self.jobs, key=_sort_key)
        best = max((job.best for job in self.jobs if job.best is not None), default=None)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
        table.add_column("job", justify="right", no_wrap=True)
        keys = {parse_run_name(job.name)[0] for job in self.jobs}
        self._same_keys = len(keys) == 1
        title = " / ".join(keys.pop()) if self._same_keys else "values"
        table.add_column(Text(title), ratio=1, overflow="ellipsis", no_wrap=True)
        for title in ("epoch", "loss", "val acc", "left"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for job in shown[:rows]:
            table.add_row(*self._cells(job, best, now))
        hidden = shown[rows:]
        lines: list[RenderableType] = [table]
        if hidden:
            lines.append(Text(f"and {len(hidden)} more: {_counts(hidden)}", style="dim"))
        lines.append(Text(self._total_line(now)))
        return Group(*lines)

    def _cells(self, job: JobProgress, best: float | None, now: float) -> Iterable[Any]:
        left = job.seconds_left(now)
        is_best = best is not None and job.best == best
        accuracy = "" if job.best is None else f"{'★ ' if is_best else ''}{job.best:.4f}"
        yield str(job.number)
        yield Text(" / ".join(parse_run_name(job.name)[1]) if self._same_keys else job.name)
        yield f"{int(job.done)}/{job.epochs}"
        yield "" if job.loss is None else f"{job.loss:.3f}"
        yield Text(accuracy, style="bold green" if is_best else "")
        yield "" if left is None else _clock(left)
        yield Text(job.doing, style=_STYLE[job.phase])

    def _total(self) -> int:
        return max(len(self.jobs), self.total or 0)

    def _total_line(self, now: float) -> str:
        done = f"{len(self._over)} of {self._total()} jobs done"
        line = f"{done}, {self.at_once} at once, {_clock(now - self._began)} elapsed"
        paces = [pace for job in self.jobs if (pace := job.seconds_an_epoch(now)) is not None]
        if not paces:
            return line
        epochs = sum(
            job.epochs - job.done for job in self.jobs if job.phase in ("waiting", "queued", "running", "saving")
        )
        if self.jobs:  # those that are not there yet will be about as long
            epochs += (self._total() - len(self.jobs)) * sum(job.epochs for job in self.jobs) / len(self.jobs)
        left = epochs * sum(paces) / len(paces) / self.at_once
        return f"{line}, {'at most' if self.pauses else 'about'} {_clock(left)} left"

    def print_line(self, line: str) -> None:
        """Print a line above the table."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _sort_key(job: JobProgress) -> tuple[int, float, int]:
    """Sort by phase, finished jobs by their best accuracy."""
    return _ORDER[job.phase], -(job.best or 0.0) if job.phase == "finished" else 0.0, job.number


def _counts(jobs: Iterable[JobProgress]) -> str:
    phases = [job.phase for job in jobs]
    return ", ".join(f"{phases.count(phase)} {phase}" for phase in _ORDER if phase in phases)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
