"""The controller of a sweep: it owns the state of every job, and decides what starts, is retried, stopped and reported.

Engines execute jobs (`sweeps.engines`), schedulers choose among them (`search.scheduler`), the parent run records
(`sweeps.parent_run`); none of them changes a job's state. All of this happens in one thread: events and exits come out
of `Engine.wait`.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from cifar_sweeps.errors import MachineError
from cifar_sweeps.search.scheduler import Scheduler
from cifar_sweeps.sweeps.engines.base import Engine
from cifar_sweeps.sweeps.job_states import JobStates
from cifar_sweeps.sweeps.jobs import (
    JobEvent,
    JobExit,
    JobResult,
    JobSpec,
    JobState,
    ProcessStarted,
    TrainingEnded,
    TrainingStarted,
)
from cifar_sweeps.sweeps.plan import PlannedJob
from cifar_sweeps.sweeps.retry_policy import NOT_ITS_FAULT, should_retry
from cifar_sweeps.sweeps.tasks import read_tasks
from cifar_sweeps.sweeps.terminal.exit_reason import STOPPED, explain_exit
from cifar_sweeps.tracking.journal import State
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.recorded_run import RecordedRun

_POLL_SECONDS = 0.2
"""Seconds after which a signal that came in the meantime is seen."""
STOP_SECONDS = 60.0
"""Seconds that jobs have to reach a safe point; then they are killed."""
_KILL_SECONDS = 5.0
"""Seconds that the engine has to report the end of jobs that were killed."""

_KILLING = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals after which a job counts as killed rather than failed: somebody meant it to end."""
_KNOWN_TO_THE_ENGINE = frozenset({"timed_out", "out_of_memory", "cancelled", "preempted", "node_failed"})
"""Ends that the engine alone can tell: the job itself has recorded that it was stopped, if anything."""
_RUNNING: tuple[JobState, ...] = ("training", "wrapping_up")


class Display(Protocol):
    """What a person sees of the sweep while it runs; see `sweeps.terminal.progress`."""

    def __enter__(self) -> object:
        """Begin to show it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Show it no longer."""

    def started(self, number: int, resumed: bool = False) -> None:
        """Show that a job has been started."""

    def handle(self, event: JobEvent) -> None:
        """Show what a job reports."""

    def ended(self, number: int, state: JobState, reason: str = "") -> None:
        """Show how a job ended."""

    def print_line(self, line: str) -> None:
        """Print a line."""


class SweepRecord(Protocol):
    """The record of the sweep, for jobs that did not train to their end in this launch; see `sweeps.parent_run`."""

    def record_failure(
        self, job: int, name: str, reason: str, log_file: Path, state: State = "FAILED", overrule: bool = False
    ) -> None:
        """Keep a failure for the summary and for the job's own record. overrule: even if that says otherwise."""

    def record_reused(self, job: int) -> None:
        """Keep that a job had been finished by a previous launch."""


class StopRequest(Protocol):
    """Whether a signal asks the sweep to stop; see `system.signals.DeferredSignals`."""

    @property
    def arrived(self) -> bool:
        """Whether one has arrived."""

    @property
    def is_hangup(self) -> bool:
        """Whether the terminal is gone."""


class Controller:
    """Runs the jobs of one sweep on an engine.

    jobs: in their order. make_spec: what the engine needs of a job, the GPU that it is to use, and the epoch after
    which it pauses. n_jobs: how many train at once. gpus: those that jobs are given, by their CUDA names; empty: none
    is given. read_run: the run that a job's folder holds, from its journal; read_curve: what the scheduler compares, by
    epoch. plan_job: makes a job that the scheduler asks for and that is not among the jobs; None where it cannot be
    made, which has been said. can_be_left: whether jobs of this engine run on without a controller. clock: seconds that
    only grow. was_left: whether `run` has left jobs to run on.
    """

    def __init__(
        self,
        jobs: Sequence[PlannedJob],
        engine: Engine,
        scheduler: Scheduler,
        *,
        make_spec: Callable[[PlannedJob, str | None, int | None], JobSpec],
        n_jobs: int,
        gpus: Sequence[str],
        display: Display,
        record: SweepRecord,
        read_curve: Callable[[Path], Mapping[int, float]],
        read_run: Callable[[Path], RecordedRun | None] = read_run,
        plan_job: Callable[[int], PlannedJob | None] | None = None,
        can_be_left: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = {job.number: job for job in jobs}
        self._engine, self._scheduler = engine, scheduler
        self._make_spec, self._n_jobs, self._gpus = make_spec, n_jobs, tuple(gpus)
        self._display, self._record, self._plan_job = display, record, plan_job
        self._read_run, self._read_curve, self._clock = read_run, read_curve, clock
        self._states = JobStates(self._jobs)
        self._results: dict[int, JobResult] = {}
        self._failures: Counter[int] = Counter()
        self._moves: Counter[int] = Counter()
        """How often each job has ended through no fault of its own, and was started again elsewhere."""
        self._to_retry: dict[int, JobExit] = {}
        """Jobs that failed and are tried again, with how they failed; in the order in which they did."""
        self._until: dict[int, int | None] = {}
        """The epoch after which each job that was started pauses; None: it trains to its end."""
        self._overdue: set[int] = set()
        """Jobs that were killed because they did not stop in time."""
        self._gpu_of: dict[int, str] = {}
        self._can_be_left = can_be_left
        self.was_left = False
        self._stopping_since: float | None = None
        self._stop_reason = STOPPED
        self._not_started_reason = "it was not started: the sweep was stopped"

    def run(self, interrupts: StopRequest, sweep: Path, detach: bool = False) -> list[JobResult]:
        """Run the jobs and return what came of each, in their order. The engine is closed then.

        interrupts: when a signal arrives, the jobs are stopped at a safe point; where they can be left and the terminal
        is gone, they are left. sweep: its folder. detach: start what can be started now, and leave it. Raises
        MachineError if there is nothing to leave then.
        """
        for job in self._jobs.values():
            if not job.needs_training:
                self._reuse(job)
            elif job.previous is not None and job.previous.run.state == "PAUSED":  # unless it is promoted
                self._results[job.number] = JobResult("paused", job.previous.run.metrics.get("val/accuracy"))
                self._states.put(job.number, "paused")
        try:
            if self._plan_job is not None or any(job.needs_training for job in self._jobs.values()):
                self._run(interrupts, sweep, detach)
        finally:
            if not self.was_left:
                self._engine.close()
        if self.was_left:
            left = {number: JobResult(state) for number, state in self._states.items() if number not in self._results}
            return [left.get(number) or self._results[number] for number in self._jobs]
        not_started = JobResult("waiting", reason=self._not_started_reason)
        return [self._results.get(number, not_started) for number in self._jobs]

    def _run(self, interrupts: StopRequest, sweep: Path, detach: bool) -> None:
        with self._display:
            self._adopt(sweep)
            is_interrupted = False
            while True:
                if interrupts.arrived and not is_interrupted:
                    is_interrupted = True
                    if self._can_be_left and interrupts.is_hangup:
                        self._leave()
                        return
                    self.stop_all("Stopping at a safe point (Ctrl-C again: at once) …")
                self._start_jobs()
                if not self._running():
                    return
                if detach and self._stopping_since is None:
                    self._leave()
                    return
                if self._stopping_since is not None and self._clock() - self._stopping_since > STOP_SECONDS:
                    self._kill_all()
                    return
                self._handle(self._engine.wait(_POLL_SECONDS))

    def _leave(self) -> None:
        """Let the jobs run on without a controller; one that is attached goes on where this one was.

        Raises MachineError if none does.
        """
        for number in self._engine.leave():
            self._states.put(number, "waiting")
        if not self._running():
            raise MachineError(
                "no job was left to run: none could be placed yet; without sweep.detach=true the command waits until "
                "there is room"
            )
        self.was_left = True
        running, waiting = len(self._running()), self._states.count(["waiting"])
        others = "further trials are" if self._plan_job is not None else f"{waiting} {'is' if waiting == 1 else 'are'}"
        if waiting or self._plan_job is not None:
            goes = "1 job runs on" if running == 1 else f"{running} jobs run on"
            self._display.print_line(f"{goes}; {others} started by cifar-sweeps attach")

    def _adopt(self, sweep: Path) -> None:
        """Take over the jobs that a controller which is gone has left running."""
        found = self._engine.adopt(sweep)
        tasks = read_tasks(sweep) if found else {}
        for number, gpu in found.items():
            job = self._find(number)
            if job is None:
                self._display.print_line(f"job {number} runs, and is none of this command's: it is stopped")
            if job is None or self._states.get(number) not in ("waiting", "paused"):  # or finished, as it is recorded
                self._engine.stop(number)
                continue
            if number in tasks:
                self._until[number] = tasks[number].until
            self._scheduler.adopt(number, self._until.get(number))
            self._states.put(number, "training")
            if gpu is not None:
                self._gpu_of[number] = gpu
            self._display.started(number, resumed=True)

    def _find(self, number: int) -> PlannedJob | None:
        """Return a job, which is planned first if the scheduler alone knows of it; None if that cannot be done."""
        if self._plan_job is not None and number not in self._jobs:
            job = self._plan_job(number)
            if job is not None:
                self._jobs[number] = job
                self._states.put(number, "waiting")
        return self._jobs.get(number)

    def stop_all(self, message: str) -> None:
        """Start no more jobs, and ask the running ones to stop at a safe point."""
        self._stopping_since = self._clock()
        self._display.print_line(message)
        for number, job_exit in self._to_retry.items():
            self._fail(self._jobs[number], job_exit)
        self._to_retry = {}
        for number in self._running():
            self._engine.stop(number)

    def _running(self) -> list[int]:
        return self._states.running

    def _start_jobs(self) -> None:
        """Start jobs until as many train as may.

        A job that only wraps up does not hold up the next one, unless which one that is depends on it.
        """
        while self._stopping_since is None and self._busy() < self._n_jobs:
            number = self._ask()
            if number is None and self._to_retry:  # after all others: what stood in its way may have passed by then
                number = next(iter(self._to_retry))
            if number is None:
                return
            self._start(self._jobs[number])

    def _busy(self) -> int:
        """Return how many jobs take up a slot."""
        return self._states.count(_RUNNING if self._scheduler.waits_for_results else ("training",))

    def _ask(self) -> int | None:
        """Return the job that the scheduler wants to be started or resumed."""
        assignment = self._scheduler.ask()
        if assignment is None:
            return None
        number = assignment.job
        if self._find(number) is None and self._plan_job is not None:
            self._scheduler.tell(number, "failed", {})
            return self._ask()
        if self._states.get(number) not in ("waiting", "paused"):
            raise RuntimeError(f"the scheduler asks for job {number}, which is {self._states.get(number) or 'unknown'}")
        self._until[number] = assignment.until
        return number

    def _start(self, job: PlannedJob) -> None:
        gpu = self._free_gpu()
        self._to_retry.pop(job.number, None)
        self._states.put(job.number, "training")
        if gpu is not None:
            self._gpu_of[job.number] = gpu
        self._display.started(job.number, resumed=job.previous is not None or job.number in self._results)
        self._engine.start(self._make_spec(job, gpu, self._until.get(job.number)))

    def _free_gpu(self) -> str | None:
        """Return the GPU on which the fewest jobs train, and of those the one with the fewest jobs that wrap up."""
        if not self._gpus:
            return None
        training = Counter(gpu for job, gpu in self._gpu_of.items() if self._states.get(job) == "training")
        wrapping_up = Counter(gpu for job, gpu in self._gpu_of.items() if self._states.get(job) == "wrapping_up")
        return min(self._gpus, key=lambda gpu: (training[gpu], wrapping_up[gpu]))

    def _handle(self, items: Sequence[JobEvent | JobExit]) -> None:
        for item in items:
            if isinstance(item, JobExit):
                self._handle_exit(item)
            else:
                self._handle_event(item)

    def _handle_event(self, event: JobEvent) -> None:
        if not self._states.is_running(event.job):
            return
        if isinstance(event, ProcessStarted):
            return
        if isinstance(event, TrainingEnded):
            self._states.put(event.job, "wrapping_up")
        elif isinstance(event, TrainingStarted):  # anew, where the scheduler had it stopped and queued again
            self._states.put(event.job, "training")
        self._display.handle(event)

    def _handle_exit(self, job_exit: JobExit) -> None:
        job = self._jobs.get(job_exit.job)
        if job is None or not self._states.is_running(job.number):  # adopted and not wanted
            return
        run = self._read_run(job.folder)
        if run is not None and self._is_paused(job, run):
            self._pause(job, run)
            return
        # The journal is the truth: a run that was closed as FINISHED is finished, however its process ended afterwards.
        if job_exit.cause == "returned":
            if run is None or run.state == "FINISHED":  # none: the parent run counts its jobs at the end
                self._finish(job, job_exit.value)
                return
            job_exit = JobExit(job.number, "raised", detail="it returned, but its record does not say that it finished")
        if run is not None and run.state == "FINISHED":
            self._finish(job, job.recorded_value(run))
            return
        if job_exit.cause == "stopped" and run is not None and run.state == "FAILED":  # it failed before it was stopped
            job_exit = JobExit(job.number, "raised", detail=str(run.tag("failure")))
        is_moved = job_exit.cause in NOT_ITS_FAULT
        (self._moves if is_moved else self._failures)[job.number] += 1
        if self._should_retry(job, job_exit):
            reason = self._failure_reason(job, job_exit)
            how = "is started again elsewhere" if is_moved else "failed and is tried again"
            self._display.print_line(f"job {job.number} {how}: {reason}")
            self._states.put(job.number, "waiting")
            self._to_retry[job.number] = job_exit
        else:
            self._fail(job, job_exit)

    def _should_retry(self, job: PlannedJob, job_exit: JobExit) -> bool:
        failures, moves = self._failures[job.number], self._moves[job.number]
        may_retry = should_retry(job_exit, failures, job.config.sweep.retries, moves)
        return may_retry and self._stopping_since is None

    def _finish(self, job: PlannedJob, value: float | None) -> None:
        self._set_result(job, JobResult("finished", value))
        self._display.ended(job.number, "finished")

    def _is_paused(self, job: PlannedJob, run: RecordedRun) -> bool:
        """Whether a job has come to the epoch after which it was to pause: not if it stands where it did before."""
        until = self._until.get(job.number, 0)  # not known of one that an earlier version placed
        return run.state == "PAUSED" and until is not None and int(run.tag("early_stopped") or 0) >= until

    def _pause(self, job: PlannedJob, run: RecordedRun) -> None:
        self._set_result(job, JobResult("paused", run.metrics.get("val/accuracy")))
        self._display.ended(job.number, "paused", run.state_text)

    def _fail(self, job: PlannedJob, job_exit: JobExit) -> None:
        reason = self._stop_reason if job_exit.cause == "stopped" else self._failure_reason(job, job_exit)
        is_killed = job_exit.cause in ("stopped", "out_of_memory", "cancelled", "preempted", "node_failed") or (
            job_exit.cause == "signalled" and job_exit.code in _KILLING
        )
        self._display.ended(job.number, "killed" if is_killed else "failed", reason)
        state: State = "KILLED" if is_killed else "FAILED"
        overrule = job_exit.cause in _KNOWN_TO_THE_ENGINE
        self._record.record_failure(job.number, job.name, reason, job.log_file, state, overrule)
        self._set_result(job, JobResult("killed" if is_killed else "failed", reason=reason))
        if job.config.sweep.fail_fast and self._stopping_since is None:
            self._stop_reason = f"stopped by sweep.fail_fast when job {job.number} failed"
            self._not_started_reason = "it was not started: sweep.fail_fast"
            self.stop_all(f"job {job.number} failed, the others are stopped: sweep.fail_fast")

    def _kill_all(self) -> None:
        """Kill the jobs that have not reached a safe point in time. Each ends as its journal and its exit say."""
        self._overdue.update(self._running())
        for number in self._running():
            self._engine.stop(number, now=True)
        end = self._clock() + _KILL_SECONDS
        while self._running() and self._clock() < end:
            self._handle(self._engine.wait(_POLL_SECONDS))
        for number in self._running():  # the engine does not say how they ended
            self._handle_exit(JobExit(number, "signalled", code=signal.SIGKILL))

    def _reuse(self, job: PlannedJob) -> None:
        """Take over what a previous launch of the sweep left of a job. A scheduler that compares has been told."""
        assert job.previous is not None
        run = job.previous.run
        if job.previous.is_finished:
            self._record.record_reused(job.number)
            result = JobResult("finished", job.recorded_value(run))
        elif run.state == "PAUSED":  # sweep.rerun=never: it stays so
            result = JobResult("paused", run.metrics.get("val/accuracy"))
        else:
            reason = f"{run.tag('failure') or run.state.lower()} (a previous launch; sweep.rerun=never)"
            self._record.record_failure(job.number, job.name, reason, job.log_file)
            result = JobResult("failed", reason=reason)
        self._states.put(job.number, result.state)
        self._results[job.number] = result

    def _set_result(self, job: PlannedJob, result: JobResult) -> None:
        self._states.put(job.number, result.state)
        self._results[job.number] = result
        if result.state in ("paused", "finished", "failed", "killed"):
            self._scheduler.tell(job.number, result.state, self._read_curve(job.folder))

    def _failure_reason(self, job: PlannedJob, job_exit: JobExit) -> str:
        if job.number in self._overdue:
            return f"it was killed: it did not stop within {STOP_SECONDS:.0f} seconds"
        return explain_exit(job_exit, job.config.sweep.timeout)
