"""`cifar-sweeps ui`, `sync` and `clean`: the MLflow page, what waits to be sent, the disk."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_sweeps.cli.common import outputs_folder, recover_outputs

if TYPE_CHECKING:
    from rich.console import Console

    from cifar_sweeps.tracking.disk_usage import DiskUsage


def ui(
    port: Annotated[int, typer.Option(help="where the page is served on this machine")] = 5000,
    host: Annotated[str, typer.Option(help="another than this machine needs a login: says how")] = "127.0.0.1",
) -> None:
    """Open the MLflow page of the runs in this folder's outputs, on 127.0.0.1 alone. Ctrl-C ends it."""
    from cifar_sweeps.system.signals import interrupt_on_signals
    from cifar_sweeps.tracking.ui_server import serve

    recover_outputs()
    with interrupt_on_signals():
        serve(outputs_folder(), port, host)


def sync(
    folder: Annotated[Path | None, typer.Argument(help="an outputs folder, or one of its sweeps or runs")] = None,
) -> None:
    """Send to MLflow what it has not heard of yet: runs that ended while it did not answer."""
    from cifar_sweeps.tracking.recovery import sync as send

    if not send(folder or outputs_folder()):
        raise typer.Exit(1)


def clean(
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="remove those that the store has too")] = False,
    caches: Annotated[bool, typer.Option("--caches", help="remove what is made again at need")] = False,
    leftovers: Annotated[bool, typer.Option("--leftovers", help="remove what killed processes left")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="remove for good what was deleted in MLflow")] = False,
) -> None:
    """Show what uses the disk in this folder's outputs, and free what the options name."""
    from rich.console import Console

    from cifar_sweeps.tracking import disk_usage

    console = Console(highlight=False)
    wanted = {"--checkpoints": checkpoints, "--caches": caches, "--leftovers": leftovers}
    for use in disk_usage.disk_usage(outputs_folder()):
        if wanted.get(use.option):
            disk_usage.remove(use)
            console.print(f"freed {use.size / 1e6:,.1f} MB: {use.description}", markup=False)
    if deleted:
        console.print(disk_usage.purge_deleted_runs(outputs_folder()), markup=False)
    print_disk_usage(disk_usage.disk_usage(outputs_folder()), console)


def print_disk_usage(found: "Iterable[DiskUsage]", console: "Console") -> None:
    """Print what uses the disk, and what frees it."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", overflow="fold")
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("freed by", no_wrap=True)
    for use in found:
        table.add_row(use.description, f"{use.size / 1e6:,.1f}", use.option)
    console.print(table)
