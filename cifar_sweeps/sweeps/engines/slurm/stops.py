"""Ask jobs in Slurm to end: those that wait leave the queue, those that run are signalled."""

from collections.abc import Sequence
from typing import Literal

from cifar_sweeps.sweeps.engines.slurm import commands
from cifar_sweeps.sweeps.engines.slurm.commands import TaskId

Stop = Literal["stop", "kill"]
"""How a job is to end: at its next safe point, or at once."""


def send_stops(jobs: Sequence[tuple[TaskId, Stop]]) -> None:
    """Ask each of these tasks to end, whether it waits or runs. Raises NotAnsweredError."""
    stopped = [task for task, stop in jobs if stop == "stop"]
    killed = [task for task, stop in jobs if stop == "kill"]
    # Which of them wait is Slurm's to say: one may begin between a look and the order.
    commands.cancel(stopped, "--state=PENDING")
    commands.cancel(stopped, "--batch", "--signal=USR2")
    commands.cancel(killed, "--batch", "--signal=KILL")
    commands.cancel(killed)
