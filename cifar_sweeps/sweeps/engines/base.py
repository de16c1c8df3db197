"""The engine protocol: what the controller asks of whatever executes jobs."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cifar_sweeps.sweeps.jobs import JobEvent, JobExit, JobSpec

ENDED = "ended: "
"""How the engine's word on a job begins that neither waits nor runs any more; why follows, in the engine's words."""


class Engine(Protocol):
    """Places jobs, signals them, and says what they report and how they ended. It decides nothing about a job.

    Guarantees: each job that was started or adopted ends in exactly one `JobExit`, unless the engine is closed first; a
    job's events come in their order, and none after its exit; no method but `wait` blocks for long, and all are called
    from one thread. Events may be lost (they are for the display and the scheduler); exits are not. The journal in the
    job's folder is the truth about its run.
    """

    def start(self, job: JobSpec) -> None:
        """Start a job and return at once. A job that cannot be started comes back as a `JobExit` (``lost``).

        A number may be started again after its exit.
        """

    def stop(self, job: int, *, now: bool = False) -> None:
        """Ask a job to end at its next safe point, with its checkpoint written; ``now``: kill it.

        Idempotent; of a job that does not run (any more) nothing is done. A job that has been started and has no
        process yet is asked as soon as it has one.
        """

    def wait(self, seconds: float) -> Sequence[JobEvent | JobExit]:
        """Return what has come since the last call, as soon as there is anything, at latest after ``seconds``."""

    def adopt(self, sweep: Path) -> Mapping[int, str | None]:
        """Return the jobs of this sweep that already run, each with its GPU; a controller that is gone started them.

        sweep: its folder. Their events and exits come out of `wait` from now on. An engine whose jobs end with their
        controller returns none.
        """

    def leave(self) -> Collection[int]:
        """Hand over what was started and not yet placed, and free this process's resources: the jobs run on.

        Returns those that could not be handed over, of which the engine has said why: a later controller is to start
        them. Called in place of `close`, and only of an engine whose setup says that it can be left. Raises
        MachineError if no job has been placed; then `close` follows.
        """

    def close(self) -> None:
        """Kill what still runs and free all resources. May be called twice."""
