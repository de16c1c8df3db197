"""Types that controller and engines exchange: what to start, what a job reports, how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cifar_sweeps.runs.reporters import Work

JobState = Literal["waiting", "training", "wrapping_up", "paused", "finished", "failed", "killed"]
"""Where a job stands. ``wrapping_up``: trained, its figures and artifacts are being written; the next job may start."""

ExitCause = Literal[
    "returned",
    "raised",
    "stopped",
    "exited",
    "signalled",
    "out_of_memory",
    "timed_out",
    "cancelled",
    "preempted",
    "node_failed",
    "lost",
]
"""How a job's execution ended, in the engine's words:

returned: its task function returned; raised: it raised; stopped: it reached a safe point after it was asked to stop;
exited: its process ended by itself with a status; signalled: a signal ended it; out_of_memory: the system killed it for
want of memory; timed_out: the engine ended it at its time limit; cancelled: somebody took it out of the scheduler's
queue; preempted: the scheduler ended it for another one; node_failed: its machine is gone; lost: the engine could not
start it, or no longer knows of it.
"""


@dataclass(frozen=True)
class JobSpec:
    """What an engine needs to start a job.

    payload: what the worker runs, see `engines.worker`. log_file: where its output is appended. threads: what
    ``trainer.threads=auto`` means. timeout: seconds after which the engine ends it; None: never. gpu: what the job
    sees as its only GPU, as CUDA_VISIBLE_DEVICES names it; None: all that the machine has. until: the epoch after
    which it pauses, with its checkpoint; None: it trains to its end. identity: the training hash, as planned.
    swept: the job's values of the keys that the sweep varies.
    """

    number: int
    folder: Path
    log_file: Path
    payload: bytes = field(repr=False)
    threads: int
    timeout: float | None = None
    gpu: str | None = None
    until: int | None = None
    identity: str = ""
    swept: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingStarted:
    """A job is about to take its first step. epochs: how many it will train in all."""

    job: int
    epochs: int


@dataclass(frozen=True)
class StepReport:
    """Some steps are done. epochs_done: with a fraction; loss: mean cross-entropy of the epoch so far, in nats."""

    job: int
    epochs_done: float
    loss: float


@dataclass(frozen=True)
class EpochReport:
    """An epoch is done. epoch: from 1; loss: mean cross-entropy in nats; val_accuracy: None where not measured."""

    job: int
    epoch: int
    loss: float
    val_accuracy: float | None


@dataclass(frozen=True)
class TrainingEnded:
    """A job's training is over, one way or another; artifacts may be left to write."""

    job: int


@dataclass(frozen=True)
class WorkStarted:
    """A job begins this after its last epoch: what takes seconds in which no epoch is seen."""

    job: int
    work: Work


@dataclass(frozen=True)
class ProcessStarted:
    """A job's process runs; for the local engine, which signals it by its id."""

    job: int
    process_id: int


JobEvent = ProcessStarted | TrainingStarted | StepReport | EpochReport | TrainingEnded | WorkStarted
"""What a job reports while it runs."""

MAYBE_OUT_OF_MEMORY = "maybe out of memory"
"""Detail of a `JobExit` by SIGKILL where the system does not say whether it was for want of memory."""


@dataclass(frozen=True)
class JobExit:
    """A job's execution has ended. Whether the job has failed is the controller's to decide, with the journal.

    value: what the task function returned. detail: the first line of what was raised. code: the exit status, or the
    signal's number.
    """

    job: int
    cause: ExitCause
    value: float | None = None
    detail: str = ""
    code: int | None = None


@dataclass(frozen=True)
class JobResult:
    """The final state of a job, what its task function returned, or the reason why it did not finish."""

    state: JobState
    value: float | None = None
    reason: str = ""
