"""Find the previous launches of a sweep, and the jobs that they started."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.config.grid.zips import is_zip
from cifar_sweeps.sweeps.manifest import SweepManifest, find_manifests
from cifar_sweeps.sweeps.tasks import planned_identities
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run, read_training_hash
from cifar_sweeps.tracking.recorded_run import RecordedRun

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
    """Numbers the jobs of a launch: those that a previous launch started keep theirs, new ones get the next free.

    queued: identities of jobs that were placed on other machines and have not begun, by their numbers, which they keep.
    """

    def __init__(self, previous: Sequence[PreviousJob], queued: Mapping[int, str] | None = None) -> None:
        self._previous = list(previous)
        self._queued = dict(queued or {})
        self._taken = {job.number for job in previous} | {*self._queued}
        self._next = 0

    def assign(self, identity: str) -> tuple[int, PreviousJob | None]:
        """Return a job's number, and the previous job with the same training, if any; each of those is given once."""
        for job in self._previous:
            if job.identity == identity:
                self._previous.remove(job)
                return job.number, job
        for number, known in self._queued.items():
            if known == identity:
                del self._queued[number]
                return number, None
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
        if is_zip(override):  # its keys are swept, and its name means nothing
            continue
        if key not in swept and not any(
            key == part or key.startswith((f"{part}.", f"{part}/")) for part in _WITHOUT_EFFECT
        ):
            fixed.append(override)
    content = json.dumps([study, store, sorted(fixed), sorted(swept)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def resumable_sweeps(folder: Path, identity: str) -> Iterator[tuple[Path, SweepManifest]]:
    """Yield the previous launches with this `sweep_hash` that no process works on, with their manifests, newest first.

    folder: where this launch would lie by itself; previous ones lie beside it, or there.
    """
    for path, manifest in reversed([*find_manifests(folder.parent)]):
        if manifest.identity == identity and not journal.is_locked(path):
            yield path, manifest


def read_previous_jobs(folder: Path) -> list[PreviousJob]:
    """Return the jobs that were started in a sweep's folder, by number."""
    jobs, planned = [], planned_identities(folder)
    for path in journal.folders(folder):
        run, identity = read_run(path), read_training_hash(path)
        number = None if run is None else run.tag("job")
        if run is not None and identity is not None and number is not None:
            jobs.append(PreviousJob(int(number), path, planned.get(int(number), identity), run))
    return sorted(jobs, key=lambda job: job.number)


def queued_jobs(folder: Path, previous: Sequence[PreviousJob]) -> dict[int, str]:
    """Return the identities of the jobs that were placed on other machines and have no record yet, by their numbers."""
    begun = {job.number for job in previous}
    return {number: identity for number, identity in planned_identities(folder).items() if number not in begun}
