"""The local engine: each job in a process of its own on this machine, forked from a server that has imported torch."""

import concurrent.futures
import contextlib
import os
import queue
import signal
from collections.abc import Sequence, Set
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.sweeps.engines.local import process
from cifar_sweeps.sweeps.engines.local.event_socket import EventListener, Message, parse_event
from cifar_sweeps.sweeps.engines.local.oom_kills import OomKillCounter
from cifar_sweeps.sweeps.jobs import JobEvent, JobExit, JobSpec

_MAYBE_OUT_OF_MEMORY = "the system does so when memory runs out"


class LocalEngine:
    """Runs jobs in processes of this machine; they end with the process that made the engine.

    context: how processes are made, see `fork_server.start`. n_jobs: how many train at once.
    """

    def __init__(self, context: BaseContext, n_jobs: int) -> None:
        self._arrived: queue.SimpleQueue[Message | int] = queue.SimpleQueue()
        """What other threads hand to `wait`: a job's message, or the number of a job whose process is over."""
        self._listener = EventListener(self._arrived.put)
        # Twice as many processes as jobs that train: one that still writes its artifacts does not hold up the next job.
        self._pool = ProcessPool(max_workers=2 * n_jobs, max_tasks=1, context=context)
        self._futures: dict[int, concurrent.futures.Future[process.Outcome]] = {}
        self._process_ids: dict[int, int] = {}
        self._asked_to_stop: set[int] = set()
        self._oom_kills = OomKillCounter()
        self._is_closed = False

    def start(self, job: JobSpec) -> None:
        """Start a job in a process of its own."""
        self._process_ids.pop(job.number, None)  # of a previous attempt
        self._asked_to_stop.discard(job.number)
        self._oom_kills.job_starts(job.number)
        try:
            future = process.start_process(self._pool, job, self._listener.folder, self._listener.address)
        except (OSError, RuntimeError) as error:  # a full disk; a pool that has broken down
            future = concurrent.futures.Future()
            future.set_exception(error)
        self._futures[job.number] = future
        future.add_done_callback(lambda _: self._arrived.put(job.number))

    def stop(self, job: int, *, now: bool = False) -> None:
        """Signal a job's process to stop at a safe point; once, for at a second signal it would end at once."""
        if now:
            self._kill(job)
        elif job in self._futures and job not in self._asked_to_stop:
            self._asked_to_stop.add(job)
            self._signal(job, process.STOP)

    def wait(self, seconds: float) -> Sequence[JobEvent | JobExit]:
        """Return what has come in, waiting up to ``seconds`` for the first of it."""
        items: list[JobEvent | JobExit] = []
        try:
            arrived: Message | int = self._arrived.get(timeout=seconds)
            while True:
                item = self._exit(arrived) if isinstance(arrived, int) else self._event(arrived)
                if item is not None:
                    items.append(item)
                arrived = self._arrived.get_nowait()
        except queue.Empty:
            return items

    def adopt(self, sweep: Path) -> Set[int]:
        """Return no jobs: those of a local engine end with their controller."""
        return frozenset()

    def close(self) -> None:
        """Kill the processes that still run, and stop listening."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._listener.close()

    def _event(self, message: Message) -> JobEvent | None:
        job = int(message["job"])
        if job not in self._futures:  # it was on its way when the process ended
            return None
        if message["kind"] == "process":
            self._process_ids[job] = int(message["id"])
            if job in self._asked_to_stop:  # it was on its way when the job was asked to stop
                self._signal(job, process.STOP)
            return None
        return parse_event(message)

    def _exit(self, job: int) -> JobExit:
        future = self._futures.pop(job)
        if future.cancelled():
            return JobExit(job, "signalled", code=signal.SIGKILL)
        error = future.exception()  # not raised: an interrupt of the job must not pass for one of the sweep
        if error is None:
            return _outcome(job, *future.result())
        if isinstance(error, ProcessExpired):
            return self._death(job, error.exitcode)
        if isinstance(error, concurrent.futures.TimeoutError):
            return JobExit(job, "timed_out")
        if isinstance(error, KeyboardInterrupt):
            return JobExit(job, "stopped")
        return JobExit(job, "lost", detail=in_one_line(error))

    def _death(self, job: int, exit_code: int | None) -> JobExit:
        if exit_code is None or exit_code >= 0:
            return JobExit(job, "exited", code=exit_code)
        if -exit_code != signal.SIGKILL:
            return JobExit(job, "signalled", code=-exit_code)
        was_oom = self._oom_kills.was_oom_killed(job)
        if was_oom:
            return JobExit(job, "out_of_memory", code=signal.SIGKILL)
        return JobExit(job, "signalled", detail="" if was_oom is False else _MAYBE_OUT_OF_MEMORY, code=signal.SIGKILL)

    def _kill(self, job: int) -> None:
        if job in self._futures:
            self._futures[job].cancel()  # pebble kills the process of a task that runs
            self._signal(job, signal.SIGKILL)

    def _signal(self, job: int, number: int) -> None:
        process_id = self._process_ids.get(job)
        if process_id is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, number)


def _outcome(job: int, cause: Any, value: float | None, detail: str) -> JobExit:  # noqa: ANN401 (from another process)
    return JobExit(job, cause, value=value, detail=detail)
