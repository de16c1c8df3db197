"""What this process runs: the sweep, in the command; the watcher of its run, in a job's process.

Hydra makes its callback and its launcher itself, tells the callback only of a good end, and calls a job with nothing
but its config; so they find each other here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cifar_sweeps.sweeps.manifest import SweepManifest
from cifar_sweeps.tracking.journal import State

if TYPE_CHECKING:  # they import mlflow or torch, which `cifar-train --help` can do without
    from cifar_sweeps.runs.reporters import RunReporter
    from cifar_sweeps.sweeps.resume import JobNumbering


class OpenSweep(Protocol):
    """A sweep that has begun."""

    facts: SweepManifest
    folder: Path
    reused: set[int]
    """Numbers of the jobs that an earlier start had finished."""
    asked: dict[int, str]
    """Names of the jobs of this start by their numbers; empty where the launcher does not tell."""

    def numbers(self) -> "JobNumbering":
        """Return what numbers the jobs of this start."""

    def open(self, tags: Mapping[str, str] | None = None) -> None:
        """Make ready what the jobs will share: the store, the parent run (with ``tags``), the sweep's file."""

    def note_failure(
        self, job: int, name: str, reason: str, log_file: Path, state: State = "FAILED", overrule: bool = False
    ) -> None:
        """Keep what went wrong with a job, for the summary and for its record."""

    def end(self, state: State | None = None) -> State:
        """Close the sweep's record, say what came out, and return how the sweep ended."""


_sweeps: list[OpenSweep] = []
_watchers: "list[RunReporter]" = []
_threads: list[int] = []


def sweep() -> OpenSweep | None:
    """Return the sweep that has begun and not ended."""
    return _sweeps[-1] if _sweeps else None


def sweep_began(sweep: OpenSweep) -> None:
    """Note that ``sweep`` has begun."""
    _sweeps.append(sweep)


def sweep_ended(sweep: OpenSweep) -> None:
    """Note that ``sweep`` has ended."""
    if sweep in _sweeps:
        _sweeps.remove(sweep)


def watcher() -> "RunReporter | None":
    """Return who watches the run of this process, if a sweep has said so."""
    return _watchers[-1] if _watchers else None


def set_watcher(watcher: "RunReporter") -> None:
    """Say who watches the run of this process."""
    _watchers.append(watcher)


def threads() -> int | None:
    """Return what ``trainer.threads=auto`` means in this process, if a sweep has said so."""
    return _threads[-1] if _threads else None


def set_threads(threads: int) -> None:
    """Say what ``trainer.threads=auto`` means in this process."""
    _threads.append(threads)
