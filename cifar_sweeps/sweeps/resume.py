"""Earlier starts of a sweep: which of its jobs need no second training, and where the others go on."""

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.sweeps import manifest
from cifar_sweeps.sweeps.manifest import RESUME_FOLDER
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run, read_training_hash
from cifar_sweeps.tracking.store import RecordedRun

_WITHOUT_EFFECT = ("hydra", "sweep", "analysis", "outputs", "tracking", "trainer.resume")
"""Groups and keys that say how a sweep goes about its jobs, and nothing of what they are."""


@dataclass(frozen=True)
class PreviousJob:
    """A job that an earlier start of the sweep began. identity: of config and images."""

    number: int
    folder: Path
    identity: str
    run: RecordedRun

    @property
    def is_finished(self) -> bool:
        """Whether its run needs no second training."""
        return self.run.state == "FINISHED"


class JobNumbering:
    """The jobs' numbers: those of earlier starts keep theirs, new ones have the next that are free."""

    def __init__(self, earlier: Sequence[PreviousJob]) -> None:
        self._earlier = list(earlier)
        self._taken = {job.number for job in earlier}
        self._next = 0

    def assign(self, identity: str) -> tuple[int, PreviousJob | None]:
        """Return the number of a job, and what an earlier start began of it: each of those once."""
        for job in self._earlier:
            if job.identity == identity:
                self._earlier.remove(job)
                return job.number, job
        while self._next in self._taken:
            self._next += 1
        self._taken.add(self._next)
        return self._next, None


def sweep_hash(study: str, store: str, overrides: Iterable[str], swept: Sequence[str]) -> str:
    """Return what two starts of a sweep have in common: study, store, swept keys, and the overrides of all jobs.

    The swept values may differ: a start with more of them adds jobs to the sweep.
    """
    fixed = []
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key not in swept and not any(
            key == part or key.startswith((f"{part}.", f"{part}/")) for part in _WITHOUT_EFFECT
        ):
            fixed.append(override)
    facts = json.dumps([study, store, sorted(fixed), sorted(swept)])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def find_resumable_sweep(folder: Path, identity: str) -> Path | None:
    """Return the folder of the newest earlier start of a sweep that nobody is at work on.

    folder: where the sweep would lie by itself; its earlier starts lie beside it, or there.
    """
    for path, held in reversed([*manifest.find_manifests(folder.parent)]):
        if held.identity == identity and not journal.is_locked(path):
            return path
    return None


def read_previous_jobs(folder: Path) -> list[PreviousJob]:
    """Return the jobs that have begun in a sweep's folder, by their numbers."""
    found = []
    for path in journal.folders(folder):
        run, identity = read_run(path), read_training_hash(path)
        number = None if run is None else run.tag("job")
        if run is not None and identity is not None and number is not None:
            found.append(PreviousJob(int(number), path, identity, run))
    return sorted(found, key=lambda job: job.number)


@dataclass(frozen=True)
class ResumableRun:
    """What may be gone on with: its names, and what to type after ``cifar-train`` in the folder ``typed_in``."""

    names: tuple[str, ...]
    command: tuple[str, ...]
    typed_in: Path
    can_resume: bool
    environment: Mapping[str, str]


def resume(what: str, outputs: Path) -> NoReturn:
    """Become the command that goes on with a sweep or a single run.

    what: a sweep's id, or a run's id in MLflow or folder's name, or the beginning of one.
    Raises TrackingError if there is none, more than one, or if it is a single run that has finished.
    """
    known = [*_sweeps(outputs), *_single_runs(outputs)]
    meant = [stopped for stopped in known if any(name.startswith(what) for name in stopped.names if name)]
    if len(meant) != 1:
        names = ", ".join(stopped.names[0] for stopped in (meant or known)[-3:]) or "there is none at all"
        raise TrackingError(
            f"{what}: {'no sweep or single run' if not meant else f'{len(meant)} sweeps or runs'} in {outputs} "
            f"{'has' if not meant else 'have'} an id that begins so; the newest: {names}"
        )
    stopped = meant[0]
    if not stopped.can_resume:
        raise TrackingError(f"{what}: has finished; cifar-sweeps reproduce trains it again")
    sys.stdout.write(f"cifar-train {shlex.join(stopped.command)}\n")
    sys.stdout.flush()
    environment = {**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs.absolute()), **stopped.environment}
    if stopped.typed_in.is_dir():
        os.chdir(stopped.typed_in)
    # In place of this process, so that signals and the exit status are the command's own.
    os.execve(sys.executable, [sys.executable, "-m", "cifar_sweeps", *stopped.command], environment)  # noqa: S606


def _sweeps(outputs: Path) -> Iterator[ResumableRun]:
    for path, held in manifest.find_manifests(outputs / "sweeps"):
        run = read_run(path)
        if run is not None:  # one that is finished has new jobs, or none
            yield ResumableRun(
                (held.sweep_id, run.run_id),
                held.command,
                Path(held.typed_in),
                True,
                {RESUME_FOLDER: str(path.absolute())},
            )


def _single_runs(outputs: Path) -> Iterator[ResumableRun]:
    for folder in sorted((outputs / "runs").glob("*")):
        run = read_run(folder) if (folder / journal.NAME).exists() else None
        if run is not None and run.tag("overrides") is not None:
            there = str(folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
            command = (*shlex.split(run.tag("overrides") or ""), f"hydra.run.dir='{there}'")
            yield ResumableRun(
                (folder.name, run.run_id), command, Path(run.tag("typed_in") or "."), run.state != "FINISHED", {}
            )
