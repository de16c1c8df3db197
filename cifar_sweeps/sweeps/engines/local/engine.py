"""The local engine: each job in a process of its own on this machine, forked from a server that has imported torch."""

import concurrent.futures
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import NoReturn

from pebble import ProcessExpired, ProcessPool

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.engines.local import process
from cifar_sweeps.sweeps.engines.local.event_socket import EventListener
from cifar_sweeps.sweeps.engines.local.oom_kills import OomKillCounter
from cifar_sweeps.sweeps.engines.worker import Outcome
from cifar_sweeps.sweeps.jobs import MAYBE_OUT_OF_MEMORY, JobEvent, JobExit, JobSpec, ProcessStarted

_Future = concurrent.futures.Future[Outcome]


class LocalEngine:
    """Runs jobs in processes of this machine; they end with the process that made the engine.

    context: how processes are made, see `fork_server.start`. n_jobs: how many train at once. delivers: whether jobs
    send to the store what they record.
    """

    def __init__(self, context: BaseContext, n_jobs: int, delivers: bool = True) -> None:
        self._delivers = delivers
        self._channel = EventChannel()
        self._listener = EventListener(self._channel)
        # Twice as many processes as jobs that train: one that still writes its artifacts does not hold up the next job.
        self._pool = ProcessPool(max_workers=2 * n_jobs, max_tasks=1, context=context)
        self._running: set[int] = set()
        self._process_ids: dict[int, int] = {}
        self._signals: dict[int, signal.Signals] = {}
        """The signal that each job was sent, or is sent as soon as its process is known."""
        self._oom_kills = OomKillCounter()
        self._is_closed = False

    def start(self, job: JobSpec) -> None:
        """Start a job in a process of its own."""
        number = job.number
        self._process_ids.pop(number, None)  # of a previous attempt
        self._signals.pop(number, None)
        self._oom_kills.job_starts(number)
        self._running.add(number)
        try:
            future = process.start_process(
                self._pool, job, self._listener.folder, self._listener.address, self._delivers
            )
        except (OSError, RuntimeError) as error:  # a full disk; a pool that has broken down
            self._channel.put(JobExit(number, "lost", detail=in_one_line(error)))
            return
        future.add_done_callback(lambda done: self._channel.put(self._exit(number, done)))

    def stop(self, job: int, *, now: bool = False) -> None:
        """Signal a job's process to stop at a safe point; once, for at a second signal it would end at once."""
        number = signal.SIGKILL if now else process.STOP
        if job in self._running and (now or job not in self._signals):
            self._signals[job] = number
            self._signal(job, number)

    def wait(self, seconds: float) -> Sequence[JobEvent | JobExit]:
        """Return what has come in, waiting up to ``seconds`` for the first of it."""
        items: list[JobEvent | JobExit] = []
        for item in self._channel.drain(seconds):
            if item.job not in self._running:  # it was on its way when the process ended
                continue
            if isinstance(item, ProcessStarted):
                self._process_ids[item.job] = item.process_id
                if item.job in self._signals:  # it was on its way when the job was asked to stop
                    self._signal(item.job, self._signals[item.job])
                continue
            if isinstance(item, JobExit):
                self._running.discard(item.job)
            items.append(item)
        return items

    def adopt(self, sweep: Path) -> Mapping[int, str | None]:
        """Return no jobs: those of a local engine end with their controller."""
        return {}

    def leave(self) -> NoReturn:
        """Refuse: the processes end with the one that made them."""
        raise RuntimeError("a local engine cannot be left")

    def close(self) -> None:
        """Kill the processes that still run, and stop listening."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._listener.close()

    def remove_files(self) -> None:
        """Remove the engine's temporary files, where the command ends at once and closes nothing."""
        self._listener.remove_folder()

    def _exit(self, job: int, future: _Future) -> JobExit:
        if future.cancelled():
            return JobExit(job, "signalled", code=signal.SIGKILL)
        error = future.exception()  # not raised: an interrupt of the job must not pass for one of the sweep
        if error is None:
            cause, value, detail = future.result()
            return JobExit(job, cause, value=value, detail=detail)
        if isinstance(error, ProcessExpired):
            return self._exit_of_dead_process(job, error.exitcode)
        if isinstance(error, concurrent.futures.TimeoutError):
            return JobExit(job, "timed_out")
        if isinstance(error, KeyboardInterrupt):
            return JobExit(job, "stopped")
        return JobExit(job, "lost", detail=in_one_line(error))

    def _exit_of_dead_process(self, job: int, exit_code: int | None) -> JobExit:
        if exit_code is None or exit_code >= 0:
            return JobExit(job, "exited", code=exit_code)
        if -exit_code != signal.SIGKILL:
            return JobExit(job, "signalled", code=-exit_code)
        was_oom = self._oom_kills.was_oom_killed(job)
        if was_oom:
            return JobExit(job, "out_of_memory", code=signal.SIGKILL)
        return JobExit(job, "signalled", detail=MAYBE_OUT_OF_MEMORY if was_oom is None else "", code=signal.SIGKILL)

    def _signal(self, job: int, number: signal.Signals) -> None:
        process_id = self._process_ids.get(job)
        if process_id is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, number)
