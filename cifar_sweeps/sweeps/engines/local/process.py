"""Start the process of a job, and what runs in it: signals, the watch on the parent process, the worker's outcome."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from pebble import ProcessPool

from cifar_sweeps.sweeps.engines import worker
from cifar_sweeps.sweeps.engines.local.event_socket import EventReporter
from cifar_sweeps.sweeps.jobs import JobSpec
from cifar_sweeps.tracking.delivery_thread import hold_back

STOP = signal.SIGUSR1
"""The signal that asks a job to stop at a safe point."""


def start_process(
    pool: ProcessPool, job: JobSpec, folder: Path, address: str, delivers: bool
) -> "concurrent.futures.Future[worker.Outcome]":
    """Start a job's process from the pool, and return the future of its outcome.

    folder: the engine's private one. address: the engine's socket. delivers: whether the process sends to the store
    what it records. Raises OSError or RuntimeError if it cannot start.
    """
    # In a file, for two payloads fill the pipe to the workers: a pool that is stopped then would wait for ever.
    payload = folder / f"job-{job.number}"
    payload.write_bytes(job.payload)
    arguments = (str(payload), str(job.log_file), address, job.number, job.threads, job.gpu, job.until, delivers)
    future: concurrent.futures.Future[worker.Outcome] = pool.schedule(
        run_job_process, args=arguments, timeout=job.timeout
    )
    return future


def run_job_process(
    payload: str,
    log_file: str,
    address: str,
    job: int,
    threads: int,
    gpu: str | None,
    until: int | None,
    delivers: bool,
) -> worker.Outcome:
    """Run one job and return its outcome.

    payload: the file of the job's payload. address: the engine's socket. threads, gpu, until: see `JobSpec`. delivers:
    see `start_process`. STOP and SIGTERM stop the job at a safe point; another SIGTERM ends it at once.
    """
    _exit_with_the_parent()
    reporter = EventReporter(address, job)
    try:
        for each in (signal.SIGTERM, STOP):
            signal.signal(each, _stop)
        reporter.send_process_id(os.getpid())
        worker.redirect_output(Path(log_file))
        if not delivers:
            hold_back()
        outcome = worker.run_payload(Path(payload).read_bytes(), reporter, threads, gpu, until)
        for each in (signal.SIGTERM, STOP):  # what is left to do is to hand over the outcome
            signal.signal(each, signal.SIG_IGN)
    except KeyboardInterrupt:
        return "stopped", None, ""
    return outcome


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(STOP, signal.SIG_IGN)  # the engine's own signal may follow a SIGTERM to all of the sweep's processes
    raise KeyboardInterrupt


def _exit_with_the_parent() -> None:
    """End this process when the command that started it is gone, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()  # returns when the pipe to the parent breaks
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    for each in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group; the sweep decides
        signal.signal(each, signal.SIG_IGN)
