"""A sweep or a run that was stopped, by its name: the command that began it, once more."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.sweeps import sweep_file
from cifar_sweeps.sweeps.parent import GOES_ON
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journaled import journaled_run


@dataclass(frozen=True)
class Stopped:
    """What may be gone on with: its names, and what to type after ``cifar-train`` in the folder ``typed_in``."""

    names: tuple[str, ...]
    command: tuple[str, ...]
    typed_in: Path
    goes_on: bool
    environment: Mapping[str, str]


def resume(what: str, outputs: Path) -> NoReturn:
    """Become the command that goes on with a sweep or a single run.

    what: a sweep's id, or a run's id in MLflow or folder's name, or the beginning of one.
    Raises TrackingError if there is none, more than one, or if it is a single run that has finished.
    """
    known = [*_sweeps(outputs), *_single_runs(outputs)]
    meant = [stopped for stopped in known if any(name.startswith(what) for name in stopped.names if name)]
    if len(meant) != 1:
        names = ", ".join(stopped.names[0] for stopped in (meant or known)[-3:]) or "there is none at all"
        raise TrackingError(
            f"{what}: {'no sweep or single run' if not meant else f'{len(meant)} sweeps or runs'} in {outputs} "
            f"{'has' if not meant else 'have'} an id that begins so; the newest: {names}"
        )
    stopped = meant[0]
    if not stopped.goes_on:
        raise TrackingError(f"{what}: has finished; cifar-sweeps reproduce trains it again")
    sys.stdout.write(f"cifar-train {shlex.join(stopped.command)}\n")
    sys.stdout.flush()
    environment = {**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs.absolute()), **stopped.environment}
    if stopped.typed_in.is_dir():
        os.chdir(stopped.typed_in)
    # In place of this process, so that signals and the exit status are the command's own.
    os.execve(sys.executable, [sys.executable, "-m", "cifar_sweeps", *stopped.command], environment)  # noqa: S606


def _sweeps(outputs: Path) -> Iterator[Stopped]:
    for path, held in sweep_file.known(outputs / "sweeps"):
        run = journaled_run(path)
        if run is not None:  # one that is finished has new jobs, or none
            yield Stopped(
                (held.sweep_id, run.run_id), held.command, Path(held.typed_in), True, {GOES_ON: str(path.absolute())}
            )


def _single_runs(outputs: Path) -> Iterator[Stopped]:
    for folder in sorted((outputs / "runs").glob("*")):
        run = journaled_run(folder) if (folder / journal.NAME).exists() else None
        if run is not None and run.tag("overrides") is not None:
            there = str(folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
            command = (*shlex.split(run.tag("overrides") or ""), f"hydra.run.dir='{there}'")
            yield Stopped(
                (folder.name, run.run_id), command, Path(run.tag("typed_in") or "."), run.state != "FINISHED", {}
            )
