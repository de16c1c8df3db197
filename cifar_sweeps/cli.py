"""cifar-sweeps: the tool box around the store of runs. Each command is a few lines, and imports torch only at need."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cifar_sweeps.errors import CifarSweepsError, TrackingError, in_one_line
from cifar_sweeps.files import lies_within
from cifar_sweeps.garbage import end_at_once

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Overrides = Annotated[list[str] | None, typer.Argument(help="as for cifar-train: model=lenet_3 kernel_size=k5 …")]


Run = Annotated[str, typer.Argument(help="a run's id, the beginning of it, or its name")]


@app.callback()
def tool_box() -> None:
    """Look at models and runs. Training itself is done by `cifar-train`."""


@app.command()
def summary(overrides: Overrides = None) -> None:
    """Print a model's layers, output shapes, parameters and multiply-adds."""
    from rich.console import Console

    from cifar_sweeps import build
    from cifar_sweeps.compose import compose
    from cifar_sweeps.models.summary_table import summary_table

    Console(highlight=False).print(summary_table(build.describe(compose(overrides or []))))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="where the page is served on this machine")] = 5000,
    host: Annotated[str, typer.Option(help="another than this machine needs a login: says how")] = "127.0.0.1",
) -> None:
    """Open the MLflow page of the runs in this folder's outputs, on 127.0.0.1 alone. Ctrl-C ends it."""
    from cifar_sweeps.sweeps.faults import signals_interrupt
    from cifar_sweeps.tracking.server import serve

    _recover()
    with signals_interrupt():
        serve(_outputs(), port, host)


@app.command()
def sync(
    folder: Annotated[Path | None, typer.Argument(help="an outputs folder, or one of its sweeps or runs")] = None,
) -> None:
    """Send to MLflow what it has not heard of yet: runs that ended while it did not answer."""
    from cifar_sweeps.sweeps.syncing import sync as send

    if not send(folder or _outputs()):
        raise typer.Exit(1)


@app.command()
def resume(
    what: Annotated[str, typer.Argument(help="a sweep's id, or a run's id or folder name, or the beginning of it")],
) -> None:
    """Go on with a sweep or a run that was stopped: what is finished stays, the rest goes on from its checkpoints."""
    from cifar_sweeps.sweeps.resuming import resume as go_on

    go_on(what, _outputs())


@app.command()
def clean(
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="remove those that the store has too")] = False,
    caches: Annotated[bool, typer.Option("--caches", help="remove what is made again at need")] = False,
    leftovers: Annotated[bool, typer.Option("--leftovers", help="remove what killed processes left")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="remove for good what was deleted in MLflow")] = False,
) -> None:
    """Show what uses the disk in this folder's outputs, and free what the options name."""
    from rich.console import Console

    from cifar_sweeps.sweeps import disk

    console = Console(highlight=False)
    wanted = {"--checkpoints": checkpoints, "--caches": caches, "--leftovers": leftovers}
    for use in disk.uses(_outputs()):
        if wanted.get(use.option):
            disk.free(use)
            console.print(f"freed {use.size / 1e6:,.1f} MB: {use.what}", markup=False)
    if deleted:
        console.print(disk.forget_deleted(_outputs()), markup=False)
    disk.print_uses(disk.uses(_outputs()), console)


@app.command()
def logs(run: Run) -> None:
    """Print the log file of a run: what it said while it trained, and its traceback if it failed."""
    from cifar_sweeps.tracking.store import default_store

    store = default_store()
    known = store.find(run)
    folder = known.tag("folder")
    if folder is None:
        raise TrackingError(f"{run}: is a sweep, not a run; give the id or name of one of its runs")
    path = Path(folder, "run.log")
    if not lies_within(path, store.outputs):  # the record may be another person's, and name any file
        raise TrackingError(f"{run}: its log {path} is not in {store.outputs}; look there, or set CIFAR_SWEEPS_OUTPUTS")
    if not path.is_file():
        raise TrackingError(f"{run}: its log {path} is not on this machine (any more)")
    typer.echo(path.read_text(encoding="utf-8", errors="replace"), nl=False)


@app.command()
def reproduce(
    run: Run,
    overrides: Overrides = None,
    show: Annotated[bool, typer.Option("--show", help="only print the command that repeats the run")] = False,
    accuracy: Annotated[float, typer.Option(help="how far accuracies may be apart within tolerance")] = 0.03,
    loss: Annotated[float, typer.Option(help="how far losses may be apart, as a part of the recorded one")] = 0.1,
) -> None:
    """Train a recorded run again, and say whether its epochs came out the same; with OVERRIDES, what they changed."""
    import shlex

    from rich.console import Console

    from cifar_sweeps.sweeps import reproduce as again
    from cifar_sweeps.sweeps.faults import signals_interrupt
    from cifar_sweeps.sweeps.verdict import Tolerance
    from cifar_sweeps.tracking.store import default_store

    store, console = default_store(), Console(highlight=False)
    known = store.find(run)
    typer.echo(f"Run {known.run_id[:8]}, {known.name}:")
    typer.echo(f"cifar-train {shlex.join([*again.overrides_of(known), *(overrides or [])])}")
    if show:
        return
    with signals_interrupt():
        near = Tolerance(accuracy, loss)
        if overrides:
            verdict = again.vary(known, overrides, store, console, near)
        else:
            verdict = again.reproduce(known, store, console, near)
    if verdict is None:
        return
    typer.echo(verdict.words)
    if not verdict.holds:
        raise typer.Exit(1)


@app.command()
def studies(
    names: Annotated[list[str] | None, typer.Argument(help="only these studies")] = None,
) -> None:
    """List the documents' studies: their arms, parameters, published results, and what an arm needs to run."""
    from rich.console import Console

    from cifar_sweeps.studies.catalogue import catalogue
    from cifar_sweeps.studies.catalogue_tables import print_catalogue

    print_catalogue(catalogue(names or []), Console(highlight=False))


@app.command()
def results(
    what: Annotated[str, typer.Argument(help="a study's name, a sweep's id, or the id of its parent run")],
    csv: Annotated[bool, typer.Option("--csv", help="comma-separated values, every column")] = False,
    json: Annotated[bool, typer.Option("--json", help="a list of objects, every column")] = False,
    epochs: Annotated[bool, typer.Option("--epochs", help="one row a run and epoch, not one a run")] = False,
) -> None:
    """Print the results of a study or a sweep, one row a run."""
    from rich.console import Console

    _recover()
    from cifar_sweeps.studies import results as data
    from cifar_sweeps.studies import terminal

    if csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    rows = data.history(what) if epochs else data.load(what)
    if csv:
        typer.echo(rows.to_csv(index=False), nl=False)
    elif json:
        typer.echo(data.as_json(rows))
    else:
        console = Console(highlight=False)
        table = terminal.epochs_table if epochs else terminal.runs_table
        console.print(table(rows, console.width))


@app.command()
def report(
    study: Annotated[str, typer.Argument(help="a study's name, or a sweep's id")],
    sweep: Annotated[
        list[str] | None, typer.Option(help="a sweep's id; again for sweeps to be merged  [default: the newest]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the page; .md and .csv lie beside it  [default: OUTPUTS/reports/STUDY.html]")
    ] = None,
) -> None:
    """Write the report of a study's newest sweep: claims and verdicts, published and measured figures, curves."""
    from rich.console import Console

    _recover()
    from cifar_sweeps.studies.report import write_report
    from cifar_sweeps.studies.terminal import grid_table

    written = write_report(study, out, sweeps=sweep or [])
    console = Console(highlight=False)
    for warning in written.warnings:
        console.print(warning, markup=False, style="bold")
    for grid in (written.claims, written.ranking):
        console.print(grid_table(grid, console.width))
    for word, path in zip(("Page", "Markdown", "Runs"), written.paths, strict=True):
        console.print(f"{word}: {path}", markup=False, soft_wrap=True)


def _recover() -> None:
    """Let the record say of killed processes that they are gone, before somebody looks at it."""
    from cifar_sweeps.tracking.journaled import recover

    recover(_outputs(), lambda line: typer.echo(line, err=True))


def _outputs() -> Path:
    return Path(os.environ.get("CIFAR_SWEEPS_OUTPUTS", "outputs"))


def main() -> None:
    """Run the command; faults are told in one message."""
    end_at_once()
    try:
        app()
    except CifarSweepsError as fault:
        sys.exit(f"{type(fault).__name__}: {fault}")
    except Exception as fault:
        if type(fault).__name__ not in ("MlflowException", "RestException"):  # mlflow is not imported for this
            raise
        sys.exit(f"TrackingError: the store cannot be used: {in_one_line(fault)}; see MLFLOW_TRACKING_URI")


if __name__ == "__main__":
    main()
