"""The process of one job of the local engine: signals, the watch on the parent process, and the worker's outcome."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from cifar_sweeps.sweeps.engines import worker
from cifar_sweeps.sweeps.engines.local.event_socket import EventReporter
from cifar_sweeps.sweeps.jobs import ExitCause

Outcome = tuple[ExitCause, float | None, str]
"""Cause, value and detail of a `JobExit`, as plain values: they are unpickled where other classes may be loaded."""

STOP = signal.SIGUSR1
"""The signal that asks a job to stop at a safe point."""


def run_job_process(payload: str, log_file: str, address: str, job: int, threads: int, gpu: str | None) -> Outcome:
    """Run one job and return its outcome.

    payload: the file of the job's payload. address: the engine's socket. threads, gpu: see `JobSpec`. STOP and SIGTERM
    stop the job at a safe point; another SIGTERM ends it at once.
    """
    _exit_with_the_parent()
    reporter = EventReporter(address, job)
    try:
        for each in (signal.SIGTERM, STOP):
            signal.signal(each, _stop)
        reporter.on_process(os.getpid())
        worker.redirect_output(Path(log_file))
        outcome = worker.run_payload(Path(payload).read_bytes(), reporter, threads, gpu)
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
