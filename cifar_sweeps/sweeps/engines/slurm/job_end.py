"""How a job ended, from what its process wrote and what Slurm says, in the controller's words."""

import dataclasses
import os
import re
import signal
from pathlib import Path

from cifar_sweeps.sweeps.engines.slurm.commands import FinalState
from cifar_sweeps.sweeps.jobs import MAYBE_OUT_OF_MEMORY, ExitCause, JobExit

_CAUSES: dict[str, tuple[ExitCause, str]] = {
    "TIMEOUT": ("timed_out", "Slurm ended it at its time limit; more time: hydra.launcher.time"),
    "DEADLINE": ("timed_out", "Slurm ended it at its deadline"),
    "OUT_OF_MEMORY": ("out_of_memory", "Slurm ended it, OUT_OF_MEMORY; more memory: hydra.launcher.memory"),
    "CANCELLED": ("cancelled", ""),
    "PREEMPTED": ("preempted", ""),
    "NODE_FAIL": ("node_failed", "Slurm says NODE_FAIL"),
    "BOOT_FAIL": ("node_failed", "Slurm says BOOT_FAIL"),
}
_MEMORY = re.compile(r"exceeded (?:job |step )?memory limit|oom-kill event", re.IGNORECASE)
"""What Slurm prints where it, or the node's kernel, kills for memory; the job's state may say FAILED alone."""
_OVER = frozenset({*_CAUSES, "COMPLETED", "FAILED"})


def is_over(state: str) -> bool:
    """Say whether a job in this state of Slurm's has ended for good; all others wait, run, or run again."""
    return state in _OVER


def explain_end(job: int, final: FinalState, stop: str | None, output: Path) -> JobExit:
    """Return the exit of a job whose process wrote none.

    stop: how the controller has asked it to end, ``stop`` or ``kill``. output: what Slurm and the script printed.
    """
    if stop == "kill":
        return JobExit(job, "signalled", code=signal.SIGKILL)
    if stop is not None and (final.state in ("CANCELLED", "COMPLETED") or final.code == os.EX_TEMPFAIL):
        return JobExit(job, "stopped")
    if final.state in _CAUSES:
        cause, detail = _CAUSES[final.state]
        return JobExit(job, cause, detail=detail)
    if final.signal == signal.SIGKILL and any(_MEMORY.search(line) for line in _last_lines(output)):
        return JobExit(job, "out_of_memory", detail="Slurm ended it for its memory; more: hydra.launcher.memory")
    if final.signal:
        detail = MAYBE_OUT_OF_MEMORY if final.signal == signal.SIGKILL else ""
        return JobExit(job, "signalled", detail=detail, code=final.signal)
    return JobExit(job, "exited", detail=last_line(output), code=final.code)


def overrule(job_exit: JobExit, final: FinalState | None) -> JobExit:
    """Return why a job was stopped that the controller has not asked to stop: Slurm has, and knows why."""
    if final is None or final.state not in _CAUSES:
        return job_exit
    cause, detail = _CAUSES[final.state]
    return dataclasses.replace(job_exit, cause=cause, detail=detail)


def last_line(output: Path) -> str:
    """Return the last line that Slurm or the script printed, or ``""``."""
    return next(iter(_last_lines(output)), "")


def _last_lines(output: Path) -> list[str]:
    """Return the last lines that are not empty, the last one first."""
    try:
        with output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return []
    return [line.strip() for line in reversed(lines) if line.strip()]
