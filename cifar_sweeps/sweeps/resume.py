"""Find a sweep's previous launch and decide which jobs to reuse, resume or train; resume a sweep or run by its id."""

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
from cifar_sweeps.sweeps.manifest import RESUME_FOLDER, find_manifests
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run, read_training_hash
from cifar_sweeps.tracking.names import Candidate, choose
from cifar_sweeps.tracking.store import RecordedRun

_WITHOUT_EFFECT = ("hydra", "sweep", "analysis", "outputs", "tracking", "trainer.resume")
"""Groups and keys that say how a sweep runs its jobs, and nothing of what the jobs train."""


@dataclass(frozen=True)
class PreviousJob:
    """A job that a previous launch of the sweep started. identity: `runs.identity.training_hash` of its run."""

    number: int
    folder: Path
    identity: str
    run: RecordedRun

    @property
    def is_finished(self) -> bool:
        """Whether its run has finished, and is reused."""
        return self.run.state == "FINISHED"


class JobNumbering:
    """Numbers the jobs of a launch: those that a previous launch started keep theirs, new ones get the next free."""

    def __init__(self, previous: Sequence[PreviousJob]) -> None:
        self._previous = list(previous)
        self._taken = {job.number for job in previous}
        self._next = 0

    def assign(self, identity: str) -> tuple[int, PreviousJob | None]:
        """Return a job's number, and the previous job with the same training, if any; each of those is given once."""
        for job in self._previous:
            if job.identity == identity:
                self._previous.remove(job)
                return job.number, job
        while self._next in self._taken:
            self._next += 1
        self._taken.add(self._next)
        return self._next, None


def sweep_hash(study: str, store: str, overrides: Iterable[str], swept: Sequence[str]) -> str:
    """Return a hash that two launches share if the second one resumes or extends the first.

    It covers study, store, swept keys, and the overrides that hold for all jobs. The swept values may differ: a launch
    with more of them adds jobs to the sweep.
    """
    fixed = []
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key not in swept and not any(
            key == part or key.startswith((f"{part}.", f"{part}/")) for part in _WITHOUT_EFFECT
        ):
            fixed.append(override)
    content = json.dumps([study, store, sorted(fixed), sorted(swept)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def find_resumable_sweep(folder: Path, identity: str) -> Path | None:
    """Return the folder of the newest previous launch with this `sweep_hash` that no process works on, or None.

    folder: where this launch would lie by itself; previous ones lie beside it, or there.
    """
    for path, manifest in reversed([*find_manifests(folder.parent)]):
        if manifest.identity == identity and not journal.is_locked(path):
            return path
    return None


def read_previous_jobs(folder: Path) -> list[PreviousJob]:
    """Return the jobs that were started in a sweep's folder, by number."""
    jobs = []
    for path in journal.folders(folder):
        run, identity = read_run(path), read_training_hash(path)
        number = None if run is None else run.tag("job")
        if run is not None and identity is not None and number is not None:
            jobs.append(PreviousJob(int(number), path, identity, run))
    return sorted(jobs, key=lambda job: job.number)


@dataclass(frozen=True)
class ResumableRun:
    """A sweep or a single run that was stopped: its ids, and what to type after ``cifar-train`` in ``typed_in``.

    can_resume: whether anything of it is left to train. environment: variables that the command needs besides.
    """

    names: tuple[str, ...]
    name: str
    command: tuple[str, ...]
    typed_in: Path
    can_resume: bool
    environment: Mapping[str, str]


def resume(name: str, outputs: Path) -> NoReturn:
    """Replace this process by the command that resumes a sweep or a single run.

    name: a sweep's id, a run's id in MLflow or its folder's name, the beginning of one, or a single run's name.
    Raises TrackingError if there is none, if two could be meant, or if it is a single run that has finished.
    """
    found = sorted([*_sweeps(outputs), *_single_runs(outputs)], key=lambda each: each.names[0], reverse=True)
    candidates = [Candidate(each, each.names, each.name, f"{each.names[0]} ({each.name})") for each in found]
    try:
        run = choose(name, candidates, "sweep or run", str(outputs))
    except TrackingError:
        for sweep_id in _sweeps_with_job(name, outputs):
            raise TrackingError(f"{name}: is a job of a sweep; resume that: cifar-sweeps resume {sweep_id}") from None
        raise
    if not run.can_resume:
        raise TrackingError(f"{name}: has finished; cifar-sweeps reproduce trains it again")
    sys.stdout.write(f"cifar-train {shlex.join(run.command)}\n")
    sys.stdout.flush()
    environment = {**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs.absolute()), **run.environment}
    if run.typed_in.is_dir():
        os.chdir(run.typed_in)
    # In place of this process, so that signals and the exit status are the command's own.
    os.execve(sys.executable, [sys.executable, "-m", "cifar_sweeps", *run.command], environment)  # noqa: S606


def _sweeps(outputs: Path) -> Iterator[ResumableRun]:
    for path, manifest in find_manifests(outputs / "sweeps"):
        run = read_run(path)
        if run is not None:  # one that is finished has new jobs, or none
            environment = {RESUME_FOLDER: str(path.absolute())}
            names = (manifest.sweep_id, run.run_id)
            yield ResumableRun(names, run.name, manifest.command, Path(manifest.typed_in), True, environment)


def _single_runs(outputs: Path) -> Iterator[ResumableRun]:
    for folder in sorted((outputs / "runs").glob("*")):
        run = read_run(folder) if (folder / journal.NAME).exists() else None
        if run is not None and run.tag("overrides") is not None:
            quoted = str(folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
            command = (*shlex.split(run.tag("overrides") or ""), f"hydra.run.dir='{quoted}'")
            typed_in = Path(run.tag("typed_in") or ".")
            yield ResumableRun((folder.name, run.run_id), run.name, command, typed_in, run.state != "FINISHED", {})


def _sweeps_with_job(run_id: str, outputs: Path) -> Iterator[str]:
    """Yield the ids of the sweeps with a job whose run's id begins so."""
    for folder in journal.folders(outputs / "sweeps"):
        run = read_run(folder)
        if run is not None and run.tag("job") is not None and run.run_id and run.run_id.startswith(run_id):
            yield run.tag("sweep_id") or folder.parent.name
