"""`cifar-sweeps ui`, `sync` and `clean`: MLflow's web page, undelivered journals, disk usage."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs, outputs_folder
from cifar_sweeps.cli.completion import complete_sweep_or_run

if TYPE_CHECKING:
    from rich.console import Console

    from cifar_sweeps.tracking.disk_usage import DiskUsage


def ui(
    port: Annotated[int, typer.Option(help="port of the page on this machine")] = 5000,
    host: Annotated[
        str, typer.Option(help="any host but this machine needs a login; prints how to set one up")
    ] = "127.0.0.1",
) -> None:
    """Serve the MLflow page of the runs in this folder's outputs, on 127.0.0.1 only. Ctrl-C stops it."""
    from cifar_sweeps.system.signals import interrupt_on_signals
    from cifar_sweeps.tracking.ui.server import serve

    mark_abandoned_runs()
    with interrupt_on_signals():
        serve(outputs_folder(), port, host)


def sync(
    folder: Annotated[
        str | None,
        typer.Argument(
            help="an outputs folder, a folder of a sweep or run, or the id of one",
            autocompletion=complete_sweep_or_run,
        ),
    ] = None,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="do not try again what cannot be sent now: its store is gone for good")
    ] = False,
) -> None:
    """Send to MLflow what it lacks, such as runs that ended while it did not answer."""
    from cifar_sweeps.tracking.journal_reader import find_folder
    from cifar_sweeps.tracking.recovery import sync as send

    place = outputs_folder() if folder is None else Path(folder).expanduser()
    if folder is not None and not place.exists() and not any(sign in folder for sign in (os.sep, "~")):
        place = find_folder(folder, outputs_folder())
    if not send(place, give_up):
        raise typer.Exit(1)


def clean(
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="remove checkpoints that are also in the store")
    ] = False,
    caches: Annotated[bool, typer.Option("--caches", help="remove cached data, which is rebuilt when needed")] = False,
    leftovers: Annotated[bool, typer.Option("--leftovers", help="remove partial files of killed processes")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="purge the runs that were deleted in MLflow")] = False,
) -> None:
    """Show the disk usage of this folder's outputs, after removing what the options name."""
    from rich.console import Console

    from cifar_sweeps.tracking import disk_usage

    console = Console(highlight=False)
    selected = {"--checkpoints": checkpoints, "--caches": caches, "--leftovers": leftovers}
    for usage in disk_usage.disk_usage(outputs_folder()):
        if selected.get(usage.option):
            disk_usage.remove(usage)
            console.print(f"freed {usage.size / 1e6:,.1f} MB: {usage.description}", markup=False)
    if deleted:
        console.print(disk_usage.purge_deleted_runs(outputs_folder()), markup=False)
    print_disk_usage(disk_usage.disk_usage(outputs_folder()), console)


def print_disk_usage(usages: "Iterable[DiskUsage]", console: "Console") -> None:
    """Print a table of disk usage, with the option that frees each kind."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", overflow="fold")
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("freed by", no_wrap=True)
    for usage in usages:
        table.add_row(usage.description, f"{usage.size / 1e6:,.1f}", usage.option)
    console.print(table)
