"""`cifar-sweeps resume`, `logs` and `reproduce`: one run, or one sweep, once more."""

from pathlib import Path
from typing import Annotated

import typer

from cifar_sweeps.cli.common import Overrides, RunName, outputs_folder
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.system.files import is_inside


def resume(
    what: Annotated[str, typer.Argument(help="a sweep's id, or a run's id or folder name, or the beginning of it")],
) -> None:
    """Go on with a sweep or a run that was stopped: what is finished stays, the rest goes on from its checkpoints."""
    from cifar_sweeps.sweeps.resume import resume as go_on

    go_on(what, outputs_folder())


def logs(run: RunName) -> None:
    """Print the log file of a run: what it said while it trained, and its traceback if it failed."""
    from cifar_sweeps.tracking.store import default_store

    store = default_store()
    known = store.find_run(run)
    folder = known.tag("folder")
    if folder is None:
        raise TrackingError(f"{run}: is a sweep, not a run; give the id or name of one of its runs")
    path = Path(folder, "run.log")
    if not is_inside(path, store.outputs):  # the record may be another person's, and name any file
        raise TrackingError(f"{run}: its log {path} is not in {store.outputs}; look there, or set CIFAR_SWEEPS_OUTPUTS")
    if not path.is_file():
        raise TrackingError(f"{run}: its log {path} is not on this machine (any more)")
    typer.echo(path.read_text(encoding="utf-8", errors="replace"), nl=False)


def reproduce(
    run: RunName,
    overrides: Overrides = None,
    show: Annotated[bool, typer.Option("--show", help="only print the command that repeats the run")] = False,
    accuracy: Annotated[float, typer.Option(help="how far accuracies may be apart within tolerance")] = 0.03,
    loss: Annotated[float, typer.Option(help="how far losses may be apart, as a part of the recorded one")] = 0.1,
) -> None:
    """Train a recorded run again, and say whether its epochs came out the same; with OVERRIDES, what they changed."""
    import shlex

    from rich.console import Console

    from cifar_sweeps.runs import reproduce as again
    from cifar_sweeps.runs.reproduction_check import Tolerance
    from cifar_sweeps.system.signals import interrupt_on_signals
    from cifar_sweeps.tracking.store import default_store

    store, console = default_store(), Console(highlight=False)
    known = store.find_run(run)
    typer.echo(f"Run {known.run_id[:8]}, {known.name}:")
    typer.echo(f"cifar-train {shlex.join([*again.recorded_overrides(known), *(overrides or [])])}")
    if show:
        return
    with interrupt_on_signals():
        near = Tolerance(accuracy, loss)
        if overrides:
            verdict = again.rerun_with_overrides(known, overrides, store, console, near)
        else:
            verdict = again.reproduce(known, store, console, near)
    if verdict is None:
        return
    typer.echo(verdict.text)
    if not verdict.holds:
        raise typer.Exit(1)
