"""What a sweep says at its end: its table, what failed and why, how to go on, where to look."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cifar_sweeps.sweeps.links import UI_ADDRESS, compare_link, ui_command
from cifar_sweeps.sweeps.sweep_file import SweepFile
from cifar_sweeps.sweeps.table import results_table
from cifar_sweeps.tracking.journal import State
from cifar_sweeps.tracking.store import KnownRun


@dataclass(frozen=True)
class Failure:
    """A job that did not finish."""

    job: int
    name: str
    reason: str
    log_file: str


@dataclass(frozen=True)
class Ending:
    """A sweep that has ended.

    unsent: how many of its runs wait in their journals for a store that did not answer. can_go_on: whether the same
    command takes it up again, which other launchers know nothing of.
    """

    facts: SweepFile
    folder: Path
    state: State
    runs: Sequence[KnownRun]
    reused: frozenset[int]
    failures: Sequence[Failure]
    recorded: bool
    experiment_id: str | None
    unsent: int
    can_go_on: bool
    not_started: Sequence[str]


def tell(ending: Ending, console: Console) -> None:
    """Print it."""

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    if ending.runs:
        console.print(results_table(ending.runs, ending.reused))
    for failure in sorted(ending.failures, key=lambda failure: failure.job):
        say(f"Job {failure.job} failed ({failure.name}): {failure.reason}")
        say(f"  its log: {failure.log_file}")
    if ending.not_started:
        say(f"Not started: {'; '.join(ending.not_started)}")
    if ending.state != "FINISHED" and ending.can_go_on:
        say("Go on with what is not finished by the same command again, or from anywhere by:")
        say(f"  cifar-sweeps resume {ending.facts.sweep_id}")
    if not ending.recorded:
        say(f"The runs lie in {ending.folder}; they were not recorded (tracking=none).")
        return
    if ending.unsent:
        say(f"Not all is in the store yet: {ending.unsent} journals wait in {ending.folder};")
        say("  cifar-sweeps sync sends them")
    finished = [run for run in ending.runs if run.state == "FINISHED" and run.run_id]
    if finished:
        best = max(finished, key=lambda run: run.metrics.get("best/val_accuracy", -1.0))
        say("Repeat a run, the best one for example (each run's description in MLflow says how):")
        say(f"  cifar-sweeps reproduce {best.run_id[:8]}")
        say(f"  {best.tags.get('mlflow.note.content', '').removeprefix('Repeat it: ').strip('`')}")
    if ending.experiment_id is not None:
        say("Look at the runs in MLflow:")
        say(f"  {ui_command()}")
        say(f"  {UI_ADDRESS}{compare_link(ending.experiment_id, ending.facts.sweep_id)}")
    say(f"Folders, logs and checkpoints: {ending.folder}")
