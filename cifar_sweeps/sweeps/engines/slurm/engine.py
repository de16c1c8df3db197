"""The Slurm engine: jobs as tasks of job arrays, which go on when the controller is gone.

Slurm's commands may take a minute where its controller is busy. They run in threads; what they have told is taken in by
`SlurmEngine.wait`, in the caller's thread, and nothing else changes the engine's state.
"""

import contextlib
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from cifar_sweeps.errors import MachineError, in_one_line
from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.engines.code_snapshot import code_hash
from cifar_sweeps.sweeps.engines.journal_events import JournalEventReader
from cifar_sweeps.sweeps.engines.slurm import adoption, commands, queue_watch, submissions
from cifar_sweeps.sweeps.engines.slurm.background import run_in_thread
from cifar_sweeps.sweeps.engines.slurm.commands import NotAnsweredError, SlurmError, TaskId
from cifar_sweeps.sweeps.engines.slurm.queue_watch import Sighting, Watched
from cifar_sweeps.sweeps.engines.slurm.settings import SlurmSettings
from cifar_sweeps.sweeps.engines.slurm.stops import send_stops
from cifar_sweeps.sweeps.engines.slurm.submissions import ArrayTask
from cifar_sweeps.sweeps.engines.slurm.submitter import Outcome, Submitter
from cifar_sweeps.sweeps.engines.slurm.tracked_job import TrackedJob
from cifar_sweeps.sweeps.jobs import JobEvent, JobExit, JobSpec
from cifar_sweeps.sweeps.tasks import read_task, write_task

_JOURNAL_SECONDS = 1.0
"""Seconds between two looks into the journals."""
_SIGNAL_SECONDS = 10.0
"""Seconds after which a job that is to stop is asked again: it may not have been able to hear."""
_ADOPT_SECONDS = 60.0
"""Seconds that Slurm has to say which jobs of a previous controller are left."""
_LEAVE_SECONDS = 120.0
"""Seconds that Slurm has to take the jobs of a sweep that is left."""
_STEP_SECONDS = 0.05
_HELD_STATES = ("REQUEUE_HOLD", "SPECIAL_EXIT")
_STUCK = re.compile(
    "held|PartitionTimeLimit|PartitionNodeLimit|BadConstraints|Invalid|NeverSatisfied"
    # A limit for one job, which no other job's end makes room under: QOSMaxCpuPerJobLimit, MaxMemPerLimit …
    "|Max.*PerJob|MaxMemPerLimit|MaxWallDuration|NotAllowed|PartitionDown|PartitionInactive|ReqNodeNotAvail",
    re.IGNORECASE,
)
"""Reasons for which a job waits that do not pass by themselves."""
_KEYS = (
    ("TimeLimit|Wall", "time"),
    ("Mem", "memory"),
    ("Cpu", "cpus"),
    ("Gres|Gpu", "gpus"),
    ("Account", "account"),
    ("Partition|NodeLimit", "partition"),
)
"""What of a job's request such a reason is about, and its key in the config."""


class SlurmEngine:
    """Runs the jobs of a sweep in Slurm.

    sweep: its folder, on a disk that the nodes share. say: prints a line for the user. delivers: whether jobs send to
    the store what they record. clock: seconds that only grow.
    """

    def __init__(
        self,
        sweep: Path,
        settings: SlurmSettings,
        say: Callable[[str], None],
        delivers: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sweep, self._settings, self._say, self._delivers, self._clock = sweep, settings, say, delivers, clock
        known = submissions.read_submissions(sweep)
        self._submitter = Submitter(sweep, settings, 1 + max((each.number for each in known), default=-1))
        self._channel = EventChannel()
        self._jobs: dict[int, TrackedJob] = {}
        self._collected: list[ArrayTask] = []
        self._submission: Future[Outcome] | None = None
        self._look: Future[dict[TaskId, Sighting]] | None = None
        self._signal: Future[None] | None = None
        self._due = {"submit": 0.0, "journals": 0.0, "queue": 0.0}
        self._trouble: dict[str, str] = {}
        self._explained: set[str] = set()
        self._is_full = False
        self._is_closed = False

    def start(self, job: JobSpec) -> None:
        """Write down what the job is, for the next array."""
        try:
            folder = write_task(self._sweep, job, code_hash(), self._delivers)
            task = ArrayTask(job.number, read_task(folder).attempt, str(folder))
        except OSError as error:
            self._channel.put(JobExit(job.number, "lost", detail=in_one_line(error)))
            return
        reader = JournalEventReader(job.number, job.folder)
        reader.poll()  # what a previous attempt has left
        self._jobs[job.number] = TrackedJob(task, job.folder, reader)
        self._collected.append(task)

    def stop(self, job: int, *, now: bool = False) -> None:
        """Take a job out of the queue, or signal it; it is asked again until it has ended."""
        tracked = self._jobs.get(job)
        if tracked is None or tracked.stop == "kill" or (tracked.stop == "stop" and not now):
            return
        tracked.stop, tracked.signalled_at = "kill" if now else "stop", None
        with contextlib.suppress(OSError):  # a full disk; the signal reaches all but those that are starting
            submissions.note_stop(tracked.folder, tracked.task.attempt)
        if tracked.task in self._collected:
            self._collected.remove(tracked.task)
            self._put_exit(JobExit(job, "stopped"))

    def wait(self, seconds: float) -> Sequence[JobEvent | JobExit]:
        """Return what has come in, waiting up to ``seconds`` for the first of it."""
        end = self._clock() + seconds
        while True:
            self._step()
            items = self._channel.drain(0)
            left = end - self._clock()
            if items or left <= 0:
                return items
            time.sleep(min(left, _STEP_SECONDS))

    def adopt(self, sweep: Path) -> Mapping[int, str | None]:
        """Return the jobs that a previous controller has left waiting or running; this waits for Slurm a while."""
        end = self._clock() + _ADOPT_SECONDS
        while True:
            try:
                left = adoption.left_jobs(sweep)
                self._note("queue", None)
                break
            except NotAnsweredError as error:
                self._note("queue", str(error))
                if self._clock() > end:  # rather wait for a job that is gone than run one twice
                    left = adoption.presumed_jobs(sweep)
                    break
                time.sleep(min(1.0, self._settings.poll_seconds))
        for job in left:
            self._jobs[job.task.job] = job
            for event in adoption.last_training(job.reader.poll()):
                self._channel.put(event)
        return {job.task.job: None for job in left}

    def leave(self) -> Collection[int]:
        """Submit what is still to be submitted, and let the jobs run on; say of each that is not submitted why.

        Raises MachineError if none is.
        """
        end = self._clock() + _LEAVE_SECONDS
        self._is_full = False
        while self._is_submitting and not self._is_full and self._clock() <= end:
            self._submit()
            time.sleep(_STEP_SECONDS)
        reasons = self._why_not_submitted()
        is_known = self._submission is None and not self._submitter.is_uncertain
        if reasons and is_known and all(job.id is None for job in self._jobs.values()):
            raise MachineError(f"hydra/launcher=slurm: no job has been submitted: {'; '.join(reasons)}")
        for reason, jobs in reasons.items():
            count = "1 job has" if len(jobs) == 1 else f"{len(jobs)} jobs have"
            numbers = ", ".join(map(str, jobs))
            self._say(f"{count} not been submitted ({numbers}): {reason}; cifar-sweeps attach submits what is missing")
        if not is_known:
            self._say("Slurm has not said whether it has taken all jobs; cifar-sweeps attach submits what is missing")
        self._is_closed = True
        return [number for jobs in reasons.values() for number in jobs]

    @property
    def _is_submitting(self) -> bool:
        return bool(self._collected) or self._submission is not None or self._submitter.is_uncertain

    def _why_not_submitted(self) -> dict[str, list[int]]:
        """Return the jobs that have been started and are not in Slurm, by the reason."""
        reasons: dict[str, list[int]] = {}
        for item in self._channel.drain(0):
            if isinstance(item, JobExit) and item.cause == "lost":
                reasons.setdefault(item.detail, []).append(item.job)
        if self._collected:
            limit = f"hydra.launcher.n_jobs={self._settings.n_jobs}: as many wait or run already"
            why = self._trouble.get("submit") or (limit if self._is_full else "Slurm does not answer")
            reasons.setdefault(why.partition("; ")[0], []).extend(task.job for task in self._collected)
        return reasons

    def close(self) -> None:
        """Cancel what still waits or runs."""
        if self._is_closed:
            return
        self._is_closed = True
        self._collected = []
        if self._submission is not None:  # what it submits must not stay behind
            with contextlib.suppress(SlurmError):
                self._submission.exception()
            self._submit()
        try:
            commands.cancel([job.id for job in self._jobs.values() if job.id is not None])
        except SlurmError as error:
            self._say(f"Slurm: {error}; what still waits or runs of the sweep: scancel it")
        self._jobs = {}

    def _step(self) -> None:
        self._submit()
        self._read_files()
        self._ask_queue()
        self._send_signals()

    def _submit(self) -> None:
        """Submit what has been collected since the last time, and what Slurm did not take then."""
        if self._submission is None:
            if (self._collected or self._submitter.is_uncertain) and self._is_due("submit"):
                tasks, self._collected = self._collected, []
                live = sum(job.id is not None for job in self._jobs.values())
                self._submission = run_in_thread(self._submitter.submit, tasks, live)
            return
        if not self._submission.done():
            return
        outcome, self._submission = self._submission.result(), None
        for submission in outcome.submitted:
            assert submission.array is not None
            for index, task in enumerate(submission.tasks):
                job = self._jobs.get(task.job)
                if job is not None and job.task == task:
                    job.submitted((submission.array, index), submission.output(self._sweep, index))
        for task, reason in outcome.refused:
            self._put_exit(JobExit(task.job, "lost", detail=f"Slurm refused it: {reason}"))
        self._collected = outcome.left + self._collected
        self._is_full = outcome.is_full
        self._note("submit", outcome.trouble)
        self._again("submit", self._settings.poll_seconds if outcome.trouble or outcome.left else 0.0)

    def _read_files(self) -> None:
        """Read what the jobs have written: events from their journals, and how they ended."""
        if not self._is_due("journals"):
            return
        self._again("journals", _JOURNAL_SECONDS)
        for job in [each for each in self._jobs.values() if each.may_run]:
            job_exit = job.end(self._clock())
            job.reader.feed(self._channel)  # after it was seen to have ended: all that it has written
            if job_exit is None:
                continue
            if job.wants_another_array():
                job.leave_array()
                self._collected.append(job.task)
            elif not job.follow_claim():
                self._put_exit(job_exit)

    def _ask_queue(self) -> None:
        """Ask squeue how the jobs stand."""
        if self._look is None:
            watched = [
                Watched(job.id, job.folder, job.task.attempt) for job in self._jobs.values() if job.id is not None
            ]
            if watched and self._is_due("queue"):
                self._look = run_in_thread(queue_watch.look, watched)
            return
        if not self._look.done():
            return
        look, self._look = self._look, None
        self._again("queue", self._settings.poll_seconds)
        try:
            sightings = look.result()
        except NotAnsweredError as error:
            self._note("queue", f"{error}; its jobs run on")
            return
        self._note("queue", None)
        for job in self._jobs.values():
            if job.id is not None and (sighting := sightings.get(job.id)) is not None:
                job.see(sighting, self._clock())
                self._explain_waiting(job, sighting)

    def _send_signals(self) -> None:
        """Take jobs that are to stop out of the queue, or signal them; again until they have ended."""
        if self._signal is not None:
            if not self._signal.done():
                return
            error, self._signal = self._signal.exception(), None
            self._note("stop", None if error is None else f"{error}; trying again")
            self._again("queue", min(1.0, self._settings.poll_seconds))
        now, orders = self._clock(), []
        for job in self._jobs.values():
            is_due = job.signalled_at is None or now - job.signalled_at >= _SIGNAL_SECONDS
            if job.stop is not None and job.id is not None and is_due:
                job.signalled_at = now
                orders.append((job.id, job.stop))
        if orders:
            self._signal = run_in_thread(send_stops, orders)

    def _is_due(self, what: str) -> bool:
        return self._clock() >= self._due[what]

    def _again(self, what: str, seconds: float) -> None:
        self._due[what] = self._clock() + seconds

    def _note(self, what: str, trouble: str | None) -> None:
        """Say that something does not work, once, and that it works again."""
        if trouble is not None and what not in self._trouble:
            self._say(f"Slurm: {trouble}")
        elif trouble is None and what in self._trouble:
            self._say("Slurm answers again")
        if trouble is None:
            self._trouble.pop(what, None)
        else:
            self._trouble[what] = trouble

    def _explain_waiting(self, job: TrackedJob, sighting: Sighting) -> None:
        """Say why a job waits that will wait for ever, once for each reason."""
        if sighting.state in _HELD_STATES or (sighting.state == "PENDING" and _STUCK.search(sighting.reason)):
            reason = sighting.reason if sighting.state == "PENDING" else f"{sighting.state} {sighting.reason}"
            if reason not in self._explained:
                self._explained.add(reason)
                key = next((key for pattern, key in _KEYS if re.search(pattern, reason, re.IGNORECASE)), None)
                advice = "" if key is None else f"; it may wait for ever: Ctrl-C, and change hydra.launcher.{key}"
                self._say(f"job {job.task.job} waits in Slurm (its job {job.name}): {reason}{advice}")

    def _put_exit(self, job_exit: JobExit) -> None:
        del self._jobs[job_exit.job]
        self._channel.put(job_exit)
