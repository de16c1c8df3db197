"""One job in Slurm: what its files and the scheduler say of it together, until it has ended."""

import os
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.sweeps.engines.journal_events import JournalEventReader
from cifar_sweeps.sweeps.engines.slurm import submissions
from cifar_sweeps.sweeps.engines.slurm.commands import FinalState, TaskId
from cifar_sweeps.sweeps.engines.slurm.job_end import explain_end, is_over, overrule
from cifar_sweeps.sweeps.engines.slurm.queue_watch import Sighting
from cifar_sweeps.sweeps.engines.slurm.stops import Stop
from cifar_sweeps.sweeps.engines.slurm.submissions import ArrayTask
from cifar_sweeps.sweeps.jobs import JobExit
from cifar_sweeps.sweeps.tasks import read_exit
from cifar_sweeps.tracking import journal

LOST_SECONDS = 120.0
"""Seconds for which neither Slurm nor the job's own files know of a job until it is given up."""
EXIT_FILE_SECONDS = 10.0
"""Seconds that a file, written on another machine, has to appear on the shared disk, if there is one at all."""
PROMISED_FILE_SECONDS = 90.0
"""The same where there must be one: NFS may keep for a minute that a name does not exist."""


@dataclass(eq=False)
class TrackedJob:
    """A job that the engine has started or adopted, and that has not ended.

    output: what Slurm and the script print. id: None: not submitted yet, or not known to be. stop: how the controller
    has asked it to end.
    """

    task: ArrayTask
    run_folder: Path
    reader: JournalEventReader
    output: Path = Path()
    id: TaskId | None = None
    stop: Stop | None = None
    signalled_at: float | None = None
    _seen: Sighting | None = None
    _seen_at: float = 0.0
    _over_since: float | None = None
    _unknown_since: float | None = None

    @property
    def folder(self) -> Path:
        """Its task folder."""
        return Path(self.task.folder)

    @property
    def may_run(self) -> bool:
        """Whether there may be news in its files: not while it waits in the queue."""
        return self.id is not None and (self._seen is None or self._seen.state != "PENDING")

    def submitted(self, task: TaskId, output: Path) -> None:
        """Take in which task of which array it is."""
        self.id, self.output = task, output
        self._seen = self._over_since = self._unknown_since = None

    def see(self, sighting: Sighting, now: float) -> None:
        """Take in how it stands in the queue."""
        over = sighting.state is not None and is_over(sighting.state)
        self._over_since = (self._over_since or now) if over else None
        self._unknown_since = (self._unknown_since or now) if sighting.state is None else None
        self._seen, self._seen_at = sighting, now

    def end(self, now: float) -> JobExit | None:
        """Return how it has ended; None: it has not, as far as is known."""
        if self._over_since is not None:
            submissions.look_anew(self.folder)
        written = read_exit(self.folder, self.task.attempt)
        if written is not None and (written.cause != "stopped" or self.stop is not None):
            return written
        if self._over_since is not None:
            assert self._seen is not None
            if written is not None:  # Slurm has asked it to stop, and knows why
                return overrule(written, self._seen.final)
            final = self._seen.final or FinalState(self._seen.state or "")
            if now - self._over_since >= self._patience(final):
                return explain_end(self.task.job, final, self.stop, self.output)
        if self._unknown_since is not None and self._seen_at > self._unknown_since and not self._has_run():
            # Of a task that leaves the queue before it has begun, Slurm may keep nothing.
            return explain_end(self.task.job, FinalState("CANCELLED"), self.stop, self.output)
        # Both the first look and the last one must have been answered.
        if self._unknown_since is not None and self._seen_at - self._unknown_since >= LOST_SECONDS:
            if written is not None:
                return written
            if not journal.is_locked(self.run_folder):
                detail = f"Slurm has not known its job {self.name} for {LOST_SECONDS:.0f} seconds, and it left no word"
                return JobExit(self.task.job, "lost", detail=detail)
        return None

    def _patience(self, final: FinalState) -> float:
        """Return how long its files are waited for, once Slurm says that it is over."""
        claim = submissions.read_claim(self.folder, self.task.attempt)
        if claim is not None and claim != self.id:  # another array runs it
            return 0.0
        is_promised = final.state == "COMPLETED" or (claim is None and final.code == os.EX_TEMPFAIL)  # `task_process`
        if is_promised and self.stop is None:  # one that finds itself stopped writes nothing
            return PROMISED_FILE_SECONDS
        return EXIT_FILE_SECONDS if claim is not None else 0.0

    def _has_run(self) -> bool:
        return submissions.read_claim(self.folder, self.task.attempt) is not None

    @property
    def name(self) -> str:
        """Its job in Slurm, as squeue shows it."""
        return "" if self.id is None else f"{self.id[0]}_{self.id[1]}"

    def wants_another_array(self) -> bool:
        """Whether its task has ended at the time limit, but could not be queued again."""
        if self.stop is not None:
            return False
        final = None if self._seen is None else self._seen.final
        # A setup command may end with this status, too: only what has run is run again.
        by_status = final is not None and final.code == os.EX_TEMPFAIL and self._has_run()
        return by_status or submissions.wants_requeue(self.folder, self.task.attempt)

    def leave_array(self) -> None:
        """Become a task that another array can run."""
        submissions.drop_requeue(self.folder, self.task.attempt)
        submissions.drop_claim(self.folder, self.task.attempt)
        self.id = self.signalled_at = None

    def follow_claim(self) -> bool:
        """Take over the id of another array that runs this attempt; say whether there is one."""
        claimed = submissions.read_claim(self.folder, self.task.attempt)
        if claimed is None or claimed == self.id:
            return False
        self.submitted(claimed, self.output)
        return True
