"""Explain why a job did not finish, in one line for a person."""

import signal

from cifar_sweeps.sweeps.jobs import MAYBE_OUT_OF_MEMORY, ExitCause, JobExit

STOPPED = "it was stopped"
_SCHEDULERS: dict[ExitCause, str] = {
    "cancelled": "it was cancelled in the scheduler's queue",
    "preempted": "the scheduler ended it for a job that goes first",
    "node_failed": "the machine that it ran on is gone",
}


def explain_exit(job_exit: JobExit, timeout: float | None) -> str:
    """Return the reason, with the keys to change where there are any. timeout: ``sweep.timeout``, in seconds."""
    cause, code = job_exit.cause, job_exit.code
    if cause == "stopped":
        return STOPPED
    if cause in ("timed_out", "out_of_memory") and job_exit.detail:
        return job_exit.detail
    if cause == "timed_out":
        limit = "its time limit" if timeout is None else f"sweep.timeout={timeout:g} seconds"
        return f"it took longer than {limit}"
    if cause in _SCHEDULERS:
        return f"{_SCHEDULERS[cause]}{f' ({job_exit.detail})' if job_exit.detail else ''}"
    if cause == "exited":
        said = f"; the last that it said: {job_exit.detail}" if job_exit.detail else ""
        return f"its process ended with status {code}{said}"
    if cause == "out_of_memory":
        advice = "run fewer jobs at once (hydra.launcher.n_jobs), or use smaller batches (trainer.batch_size)"
        return f"its process was killed by SIGKILL: out of memory; {advice}"
    if cause == "signalled":
        perhaps = "; the system does so when memory runs out" if job_exit.detail == MAYBE_OUT_OF_MEMORY else ""
        return f"its process was killed by {_signal_name(code)}{perhaps}"
    return job_exit.detail or "the engine lost it"


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
