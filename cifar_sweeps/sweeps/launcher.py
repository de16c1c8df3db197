"""Every job of a sweep in a process of its own: started from a server that has imported torch, watched, replaced."""

import concurrent.futures
import signal
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from pebble import ProcessExpired, ProcessPool
from rich.console import Console

from cifar_sweeps.cores import Share, available_cores, share_cores
from cifar_sweeps.errors import CifarSweepsError, ConfigError, in_one_line
from cifar_sweeps.sweeps import current, fork_server, worker
from cifar_sweeps.sweeps.dry_run import print_plan
from cifar_sweeps.sweeps.faults import Refused
from cifar_sweeps.sweeps.news import NewsDesk
from cifar_sweeps.sweeps.plan import PlannedJob, plan
from cifar_sweeps.sweeps.progress import JobProgress, SweepProgress
from cifar_sweeps.training.precision import resolve_device

LOG_NAME = "run.log"


class JobFailedError(CifarSweepsError):
    """What a sweeper gets in place of a failed job's value."""


class FailedJob(JobReturn):
    """A failed job's return: raises quietly, for the sweep's summary tells of it."""

    @property  # type: ignore[misc]  # it is never set
    def return_value(self) -> Any:  # noqa: ANN401 (as Hydra has it)
        """Raise JobFailedError."""
        raise self._return_value


def launch(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first_number: int,
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
        jobs = plan(hydra_context.config_loader, master, job_overrides, first_number, sweep.facts.swept)
        if processes is None:
            print_plan(jobs, _share(jobs, at_once))
            raise Refused(None)
        share = _share(jobs, at_once)
        sweep.open({"n_jobs": str(share.jobs), "threads": str(share.threads)})
    except BaseException as error:
        fork_server.stop()
        if isinstance(error, CifarSweepsError):
            raise Refused(error) from error
        raise
    return _Launch(hydra_context, task_function, jobs, share, sweep, processes).run()


def _n_jobs(configured: int | str) -> int | None:
    if configured == "auto":
        return None
    if isinstance(configured, int) and not isinstance(configured, bool) and configured >= 1:
        return configured
    raise ConfigError(f"hydra.launcher.n_jobs={configured}: must be auto, or at least 1")


def _share(jobs: Sequence[PlannedJob], n_jobs: int | None) -> Share:
    devices = {resolve_device(job.config.trainer.device).type for job in jobs}
    threads = [job.config.trainer.threads for job in jobs if job.config.trainer.threads != "auto"]
    return share_cores(
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
        share: Share,
        sweep: current.OpenSweep,
        context: BaseContext,
    ) -> None:
        self._jobs, self._share, self._sweep, self._context = jobs, share, sweep, context
        self._hydra_context, self._task_function = hydra_context, task_function
        rows = [JobProgress(job.number, job.name, job.config.trainer.epochs) for job in jobs]
        self._progress = SweepProgress(rows, Console(highlight=False), share.jobs)

    def run(self) -> list[JobReturn]:
        """Run them, as many at once as the share says."""
        desk = NewsDesk(self._progress.hear)
        pool = ProcessPool(max_workers=self._share.jobs, max_tasks=1, context=self._context)
        returns: dict[int, JobReturn] = {}
        waiting = list(self._jobs)
        running: dict[concurrent.futures.Future[worker.Outcome], PlannedJob] = {}
        try:
            with self._progress:
                while waiting or running:
                    while waiting and len(running) < self._share.jobs:
                        job = waiting.pop(0)
                        running[self._start(pool, job, desk.address)] = job
                    done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        job = running.pop(future)
                        returns[job.number] = self._ended(job, future)
        finally:
            # After a good end nobody works any more; after an interrupt whoever does is stopped.
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
            desk.close()
        return [returns[job.number] for job in self._jobs]

    def _start(self, pool: ProcessPool, job: PlannedJob, address: str) -> "concurrent.futures.Future[worker.Outcome]":
        with open_dict(job.node):
            if job.node.trainer.threads == "auto":
                job.node.trainer.threads = self._share.threads
        payload = cloudpickle.dumps((self._hydra_context, job.node, self._task_function, Singleton.get_state()))
        self._progress.started(job.number)
        arguments = (payload, str(_log_file(job)), address, job.number)
        return pool.schedule(worker.work, args=arguments)

    def _ended(self, job: PlannedJob, future: "concurrent.futures.Future[worker.Outcome]") -> JobReturn:
        try:
            outcome, value = future.result()
        except ProcessExpired as expired:
            outcome, value = "failed", _how_it_died(expired.exitcode)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever went wrong around a job is its failure)
            outcome, value = "failed", in_one_line(error)
        if outcome == "finished":
            self._progress.ended(job.number, "finished")
            return JobReturn(
                overrides=list(job.overrides), cfg=job.node, status=JobStatus.COMPLETED, _return_value=value
            )
        self._progress.ended(job.number, "failed", str(value))
        self._sweep.note_failure(job.number, job.name, str(value), str(_log_file(job)))
        return FailedJob(
            overrides=list(job.overrides),
            cfg=job.node,
            status=JobStatus.FAILED,
            _return_value=JobFailedError(str(value)),
        )


def _log_file(job: PlannedJob) -> Path:
    return Path(job.node.hydra.sweep.dir, job.node.hydra.sweep.subdir, LOG_NAME).absolute()


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; the system does so when memory runs out" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint}"
    return f"its process ended with status {exit_code}"
