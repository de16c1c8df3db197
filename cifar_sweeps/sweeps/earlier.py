"""Earlier starts of a sweep: which of its jobs need no second training, and where the others go on."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.sweeps import sweep_file
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journaled import identity_of, journaled_run
from cifar_sweeps.tracking.store import KnownRun

_WITHOUT_EFFECT = ("hydra", "sweep", "analysis", "outputs", "tracking", "trainer.resume")
"""Groups and keys that say how a sweep goes about its jobs, and nothing of what they are."""


@dataclass(frozen=True)
class EarlierJob:
    """A job that an earlier start of the sweep began. identity: of config and images."""

    number: int
    folder: Path
    identity: str
    run: KnownRun

    @property
    def is_finished(self) -> bool:
        """Whether its run needs no second training."""
        return self.run.state == "FINISHED"


class Numbers:
    """The jobs' numbers: those of earlier starts keep theirs, new ones have the next that are free."""

    def __init__(self, earlier: Sequence[EarlierJob]) -> None:
        self._earlier = list(earlier)
        self._taken = {job.number for job in earlier}
        self._next = 0

    def of(self, identity: str) -> tuple[int, EarlierJob | None]:
        """Return the number of a job, and what an earlier start began of it: each of those once."""
        for job in self._earlier:
            if job.identity == identity:
                self._earlier.remove(job)
                return job.number, job
        while self._next in self._taken:
            self._next += 1
        self._taken.add(self._next)
        return self._next, None


def sweep_identity(study: str, store: str, overrides: Iterable[str], swept: Sequence[str]) -> str:
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


def earlier_start(folder: Path, identity: str) -> Path | None:
    """Return the folder of the newest earlier start of a sweep that nobody is at work on.

    folder: where the sweep would lie by itself; its earlier starts lie beside it, or there.
    """
    for path, held in reversed([*sweep_file.known(folder.parent)]):
        if held.identity == identity and not journal.is_being_written(path):
            return path
    return None


def earlier_jobs(folder: Path) -> list[EarlierJob]:
    """Return the jobs that have begun in a sweep's folder, by their numbers."""
    found = []
    for path in journal.folders(folder):
        run, identity = journaled_run(path), identity_of(path)
        number = None if run is None else run.tag("job")
        if run is not None and identity is not None and number is not None:
            found.append(EarlierJob(int(number), path, identity, run))
    return sorted(found, key=lambda job: job.number)
