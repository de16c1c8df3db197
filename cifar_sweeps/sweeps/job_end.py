"""How a job of a sweep ended: with a value, with a failure, or by a signal."""

import concurrent.futures
import signal
from dataclasses import dataclass
from typing import Any, Literal

from hydra.core.utils import JobReturn, JobStatus
from pebble import ProcessExpired

from cifar_sweeps.errors import JobFailedError, in_one_line
from cifar_sweeps.sweeps import worker
from cifar_sweeps.sweeps.plan import PlannedJob

_STOPPING = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


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


def job_end(job: PlannedJob, future: "concurrent.futures.Future[worker.Outcome]") -> JobEnd:
    """Return how the job ended whose process ``future`` stands for; it is over."""
    error = future.exception()  # not raised: an interrupt of the job must not pass for one of the sweep
    if error is None:
        return JobEnd(*future.result())
    if isinstance(error, ProcessExpired):
        killed = error.exitcode is not None and -error.exitcode in _STOPPING
        return JobEnd("killed" if killed else "failed", _how_it_died(error.exitcode))
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


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"its process ended with status {exit_code}"
    name = signal.Signals(-exit_code).name
    hint = "; the system does so when memory runs out" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}"
