"""Every job of a sweep in a process of its own: started from a server that has imported torch, watched, replaced."""

import concurrent.futures
import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.context import BaseContext

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from pebble import ProcessPool
from rich.console import Console

from cifar_sweeps.data import cache
from cifar_sweeps.errors import CifarSweepsError, ConfigError
from cifar_sweeps.sweeps import current
from cifar_sweeps.sweeps.command import AbortHydra
from cifar_sweeps.sweeps.engines import worker
from cifar_sweeps.sweeps.engines.local import fork_server
from cifar_sweeps.sweeps.engines.local.engine import JobEnd, MemoryKills, failed, job_end, returned
from cifar_sweeps.sweeps.engines.local.event_socket import News, NewsDesk
from cifar_sweeps.sweeps.plan import PlannedJob, plan_jobs
from cifar_sweeps.sweeps.terminal.dry_run import print_plan
from cifar_sweeps.sweeps.terminal.progress import JobProgress, SweepProgress
from cifar_sweeps.system.cores import Parallelism, available_cores, plan_parallelism
from cifar_sweeps.system.signals import defer_signals
from cifar_sweeps.tracking.journal import State
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.store import RecordedRun
from cifar_sweeps.training.metrics import DivergedError
from cifar_sweeps.training.precision import resolve_device

_GLANCE = 0.2
"""Seconds after which a signal that came in the meantime is seen."""
_GRACE = 60.0
"""Seconds that jobs have to reach a safe point."""
_NOT_STARTED = "it was not started: sweep.fail_fast"


def launch(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    n_jobs: int | str,
    processes: BaseContext | None,
) -> list[JobReturn]:
    """Check all jobs, then run each in its own process; return what each returned, in their order.

    processes: how they are made; None if the sweep is to be shown only.
    Raises Refused, before any job has started, with the faults of all of them, or with none when the sweep was shown.
    """
    sweep = current.sweep()
    if sweep is None:
        raise RuntimeError("the launcher 'local' runs inside a multirun of cifar-train only")
    try:
        at_once = _n_jobs(n_jobs)
        jobs = plan_jobs(hydra_context.config_loader, master, job_overrides, sweep)
        sweep.asked |= {job.number: job.name for job in jobs}
        if processes is None:
            print_plan(jobs, _share(jobs, at_once))
            raise AbortHydra(None)
        share = _share(jobs, at_once)
        sweep.open({"n_jobs": str(share.jobs), "threads": str(share.threads)})
    except CifarSweepsError as error:
        raise AbortHydra(error) from error
    return _Launch(hydra_context, task_function, jobs, share, sweep, processes).run()


def _n_jobs(configured: int | str) -> int | None:
    if configured == "auto":
        return None
    if isinstance(configured, int) and not isinstance(configured, bool) and configured >= 1:
        return configured
    raise ConfigError(f"hydra.launcher.n_jobs={configured}: must be auto, or at least 1")


def _share(jobs: Sequence[PlannedJob], n_jobs: int | None) -> Parallelism:
    devices = {resolve_device(job.config.trainer.device).type for job in jobs}
    threads = [job.config.trainer.threads for job in jobs if job.config.trainer.threads != "auto"]
    return plan_parallelism(
        available_cores(),
        len(jobs),
        device="cpu" if devices == {"cpu"} else "gpu",
        n_jobs=n_jobs,
        threads=max(int(count) for count in threads) if threads else None,
    )


class _Launch:
    """One batch of jobs on their way."""

    def __init__(
        self,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        jobs: Sequence[PlannedJob],
        share: Parallelism,
        sweep: current.OpenSweep,
        context: BaseContext,
    ) -> None:
        self._jobs, self._share, self._sweep, self._context = jobs, share, sweep, context
        self._hydra_context, self._task_function = hydra_context, task_function
        self._waiting = [job for job in jobs if job.needs_training]
        rows = [JobProgress(job.number, job.name, job.config.trainer.epochs) for job in self._waiting]
        self._progress = SweepProgress(rows, Console(highlight=False), share.jobs)
        self._running: dict[concurrent.futures.Future[worker.Outcome], PlannedJob] = {}
        self._processes: dict[int, int] = {}
        self._trained: set[int] = set()
        self._attempts: Counter[int] = Counter()
        self._memory_kills = MemoryKills()
        self._to_try_again: dict[int, JobEnd] = {}
        self._returns: dict[int, JobReturn] = {}
        self._stops_since: float | None = None
        self._stopped_by = worker.TOLD_TO_STOP
        self._something_ended = threading.Event()

    def run(self) -> list[JobReturn]:
        """Run them, as many at once as the share says."""
        for job in self._jobs:
            if not job.needs_training:
                self._returns[job.number] = self._earlier_return(job)
        if self._waiting:
            self._run_waiting()
        return [self._returns.get(job.number) or failed(job, _NOT_STARTED) for job in self._jobs]

    def _run_waiting(self) -> None:
        with defer_signals(fork_server.stop) as interrupts:
            desk = NewsDesk(self._hear)
            # Twice as many processes as jobs at once: a job that draws its pictures does not hold up the next one.
            pool = ProcessPool(max_workers=2 * self._share.jobs, max_tasks=1, context=self._context)
            try:
                with self._progress:
                    while (self._waiting or self._running) and not interrupts.arrived and not self._grace_is_over():
                        self._look_after_jobs(pool, desk)
                    if interrupts.arrived:
                        self._tell_to_stop("Stopping at a safe point (Ctrl-C again: at once) …")
                        while self._running and not self._grace_is_over():
                            self._look_after_jobs(pool, desk)
            finally:
                # After a good end nobody works any more; after an interrupt whoever still does is stopped.
                pool.stop()  # type: ignore[no-untyped-call]
                pool.join()
                desk.close()

    def _look_after_jobs(self, pool: ProcessPool, desk: NewsDesk) -> None:
        while self._waiting and self._training() < self._share.jobs:
            self._start(pool, self._waiting.pop(0), desk)
        self._something_ended.wait(_GLANCE)
        self._something_ended.clear()  # ahead of the look at what it was
        for future in [future for future in self._running if future.done()]:
            self._ended(self._running.pop(future), future)

    def _training(self) -> int:
        return sum(job.number not in self._trained for job in self._running.values())

    def _hear(self, news: News) -> None:
        job = int(news["job"])
        if news["kind"] == "born":
            self._processes[job] = int(news["process"])
            if self._is_stopping:  # it was on its way when the others were told
                self._stop_at_a_safe_point(job)
        elif news["kind"] == "trained":
            self._trained.add(job)
            self._something_ended.set()
        else:
            self._progress.hear(news)

    def _start(self, pool: ProcessPool, job: PlannedJob, desk: NewsDesk) -> None:
        # In a file, for two of them fill the pipe to the workers: a pool that is stopped then would wait for ever.
        payload = desk.folder / f"job-{job.number}"
        hydra = (self._hydra_context, job.node, self._task_function, Singleton.get_state())
        payload.write_bytes(cloudpickle.dumps((*hydra, cache.export_verified())))
        self._trained.discard(job.number)
        self._processes.pop(job.number, None)  # of an earlier attempt
        self._attempts[job.number] += 1
        self._to_try_again.pop(job.number, None)
        self._memory_kills.job_starts(job.number)
        self._progress.started(job.number, goes_on=job.previous is not None)
        arguments = (str(payload), str(job.log_file), desk.address, job.number, self._share.threads)
        future = pool.schedule(worker.work, args=arguments, timeout=job.config.sweep.timeout)
        self._running[future] = job
        future.add_done_callback(lambda _: self._something_ended.set())

    def _tell_to_stop(self, why: str) -> None:
        """Start no more jobs, and tell the running ones to stop at a safe point."""
        self._stops_since = time.monotonic()
        self._progress.say(why)
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            if job.number in self._to_try_again:
                self._give_up(job, self._to_try_again[job.number])
        for job in self._running.values():
            self._stop_at_a_safe_point(job.number)

    @property
    def _is_stopping(self) -> bool:
        return self._stops_since is not None

    def _grace_is_over(self) -> bool:
        return self._stops_since is not None and time.monotonic() - self._stops_since > _GRACE

    def _stop_at_a_safe_point(self, job: int) -> None:
        process = self._processes.pop(job, None)  # told once: a second time it would stop at once
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, worker.STOP)

    def _ended(self, job: PlannedJob, future: "concurrent.futures.Future[worker.Outcome]") -> None:
        end = job_end(job, future, self._memory_kills)
        end = _as_recorded(job, end)
        if end.outcome == "finished":
            self._progress.ended(job.number, "finished")
            self._returns[job.number] = returned(job, end.value)
        elif self._may_try_again(job, end):
            self._progress.say(f"job {job.number} failed and is tried again: {end.value}")
            self._to_try_again[job.number] = end
            self._waiting.append(job)  # after the others: what stood in its way may have passed by then
        else:
            self._give_up(job, end)

    def _may_try_again(self, job: PlannedJob, end: JobEnd) -> bool:
        # A training that diverged does so again: it is the same one.
        is_hopeless = str(end.value).startswith(DivergedError.__name__)
        return self._attempts[job.number] <= job.config.sweep.retries and not is_hopeless and not self._is_stopping

    def _give_up(self, job: PlannedJob, end: JobEnd) -> None:
        reason = self._stopped_by if end.value == worker.TOLD_TO_STOP else str(end.value)
        killed = end.outcome == "killed"
        self._progress.ended(job.number, "killed" if killed else "failed", reason)
        state: State = "KILLED" if killed else "FAILED"
        self._sweep.note_failure(job.number, job.name, reason, job.log_file, state, end.overrules)
        self._returns[job.number] = failed(job, reason)
        if job.config.sweep.fail_fast and not self._is_stopping:
            self._stopped_by = f"stopped by sweep.fail_fast when job {job.number} failed"
            self._tell_to_stop(f"job {job.number} failed, the others are stopped: sweep.fail_fast")

    def _earlier_return(self, job: PlannedJob) -> JobReturn:
        """Return what the job returned when an earlier start of the sweep ran it."""
        assert job.previous is not None
        run = job.previous.run
        if job.previous.is_finished:
            self._sweep.reused.add(job.number)
            return returned(job, _value(job, run))
        reason = f"{run.tag('failure') or run.state.lower()} (an earlier start; sweep.rerun=never)"
        self._sweep.note_failure(job.number, job.name, reason, job.log_file)
        return failed(job, reason)


def _as_recorded(job: PlannedJob, end: JobEnd) -> JobEnd:
    """Return the end that the job's journal has, if its process met another one afterwards, or was told to stop."""
    if end.outcome == "finished":
        return end
    run = read_run(job.log_file.parent)
    if run is not None and run.state == "FINISHED":
        return JobEnd("finished", _value(job, run))
    if run is not None and run.state == "FAILED" and end.value == worker.TOLD_TO_STOP:
        return JobEnd("failed", run.tag("failure"))
    return end


def _value(job: PlannedJob, run: RecordedRun) -> float | None:
    """Return what the job's task returned, from its run."""
    return run.metrics.get("best/val_accuracy" if job.config.trainer.select == "best" else "final/val_accuracy")
