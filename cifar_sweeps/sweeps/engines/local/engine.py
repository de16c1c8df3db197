"""How a job of a sweep ended: with a value, with a failure, or by a signal."""

import concurrent.futures
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra.core.utils import JobReturn, JobStatus
from pebble import ProcessExpired

from cifar_sweeps.errors import JobFailedError, in_one_line
from cifar_sweeps.sweeps.engines import worker
from cifar_sweeps.sweeps.plan import PlannedJob

_STOPPING = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

_COUNTERS = Path("/proc/vmstat")


class FailedJob(JobReturn):
    """A failed job's return: whoever asks for its value gets the failure."""

    @property  # type: ignore[misc]  # it is never set
    def return_value(self) -> Any:  # noqa: ANN401 (as Hydra has it)
        """Raise JobFailedError."""
        raise self._return_value


@dataclass(frozen=True)
class JobEnd:
    """How a job's process ended. value: what the task returned, or why it did not.

    overrules: even if the job itself has recorded another end.
    """

    outcome: Literal["finished", "failed", "killed"]
    value: object
    overrules: bool = False


def job_end(
    job: PlannedJob, future: "concurrent.futures.Future[worker.Outcome]", memory_kills: "MemoryKills"
) -> JobEnd:
    """Return how the job ended whose process ``future`` stands for; it is over."""
    error = future.exception()  # not raised: an interrupt of the job must not pass for one of the sweep
    if error is None:
        return JobEnd(*future.result())
    if isinstance(error, ProcessExpired):
        killed = error.exitcode is not None and -error.exitcode in _STOPPING
        return JobEnd("killed" if killed else "failed", _how_it_died(error.exitcode, job.number, memory_kills))
    if isinstance(error, concurrent.futures.TimeoutError):
        reason = f"it took longer than sweep.timeout={job.config.sweep.timeout:g} seconds"
        return JobEnd("failed", reason, overrules=True)
    if isinstance(error, KeyboardInterrupt):
        return JobEnd("killed", worker.TOLD_TO_STOP)
    return JobEnd("failed", in_one_line(error))


def returned(job: PlannedJob, value: object) -> JobReturn:
    """Return what Hydra gets of a job that finished."""
    return JobReturn(overrides=list(job.overrides), cfg=job.node, status=JobStatus.COMPLETED, _return_value=value)


def failed(job: PlannedJob, reason: str) -> JobReturn:
    """Return what Hydra gets of a job that did not."""
    error = JobFailedError(reason)
    return FailedJob(overrides=list(job.overrides), cfg=job.node, status=JobStatus.FAILED, _return_value=error)


class MemoryKills:
    """Which jobs the system killed for want of memory, by its count of such kills: each explains one job's death.

    Source: ``oom_kill`` in Linux's /proc/vmstat, which counts those in containers too.
    """

    def __init__(self) -> None:
        self._explained = _kills() or 0
        self._at_start: dict[int, int | None] = {}

    def job_starts(self, job: int) -> None:
        """Note what the count is when a job starts."""
        self._at_start[job] = _kills()

    def explain(self, job: int) -> bool | None:
        """Say whether a job that was killed since it started was so by the system; None where it does not tell."""
        now, before = _kills(), self._at_start.get(job)
        if now is None or before is None:
            return None
        accounted = max(before, self._explained)
        if now > accounted:
            self._explained = accounted + 1
        return now > accounted


def _kills() -> int | None:
    try:
        lines = _COUNTERS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _how_it_died(exit_code: int | None, job: int, memory_kills: MemoryKills) -> str:
    if exit_code is None or exit_code >= 0:
        return f"its process ended with status {exit_code}"
    died = f"its process was killed by {signal.Signals(-exit_code).name}"
    if -exit_code != signal.SIGKILL:
        return died
    for_want_of_memory = memory_kills.explain(job)
    if for_want_of_memory is None:
        return f"{died}; the system does so when memory runs out"
    if not for_want_of_memory:
        return died
    return f"{died}: out of memory; run fewer jobs at once (hydra.launcher.n_jobs), or take smaller batches"
