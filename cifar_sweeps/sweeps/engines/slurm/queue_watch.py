"""See how submitted tasks stand in Slurm's queue: one squeue for all of them, and what is known of those that ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.sweeps.engines.slurm import commands
from cifar_sweeps.sweeps.engines.slurm.commands import FinalState, QueueState, TaskId
from cifar_sweeps.sweeps.engines.slurm.job_end import is_over
from cifar_sweeps.sweeps.tasks import read_exit


@dataclass(frozen=True)
class Watched:
    """A task in the queue, and the attempt at a job that it runs."""

    task: TaskId
    folder: Path
    attempt: str


@dataclass(frozen=True)
class Sighting:
    """How a task stands. state: in Slurm's word; None: nobody knows it. final: how it ended, where that matters."""

    state: str | None
    reason: str = ""
    node: str = ""
    final: FinalState | None = None


def look(tasks: Sequence[Watched]) -> dict[TaskId, Sighting]:
    """Return how each of the tasks stands. Raises NotAnsweredError; waits for Slurm, so it is called in a thread."""
    states = commands.queued_states({each.task[0] for each in tasks})
    return {each.task: _sighting(each, states.get(each.task)) for each in tasks}


def _sighting(watched: Watched, queued: QueueState | None) -> Sighting:
    if queued is not None and not is_over(queued.state):
        return Sighting(queued.state, queued.reason, queued.node)
    state = None if queued is None else queued.state
    written = read_exit(watched.folder, watched.attempt)
    if written is not None and written.cause != "stopped":  # its own word is better
        return Sighting(state or "COMPLETED")
    final = commands.final_state(watched.task)
    if final is None:
        return Sighting(state, final=None if state is None else FinalState(state))
    return Sighting(final.state, final=final if is_over(final.state) else None)
