"""`cifar-sweeps status`, `attach` and `stop`: sweeps that run, here or on other machines."""

from typing import Annotated

import typer

from cifar_sweeps.cli.common import outputs_folder
from cifar_sweeps.cli.completion import complete_sweep

SweepName = Annotated[
    str, typer.Argument(help="a sweep's id, the beginning of it, or its study", autocompletion=complete_sweep)
]


def status(
    sweep: SweepName,
    as_json: Annotated[bool, typer.Option("--json", help="print it for programs")] = False,
) -> None:
    """Tell how far a sweep is and where its jobs run, while it runs or afterwards."""
    from rich.console import Console

    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table
    from cifar_sweeps.sweeps.resume import find_sweep
    from cifar_sweeps.sweeps.status import read_status, status_table, summary_line

    found = read_status(find_sweep(sweep, outputs_folder()), outputs_folder())
    if as_json:
        typer.echo(found.to_json())
        return
    console = Console(highlight=False)
    control = found.controller or "no command controls it"
    console.print(
        f"Sweep {found.sweep} of {found.study}: {found.state} on {found.engine}; {control}",
        markup=False,
        soft_wrap=True,
    )
    if found.jobs:
        console.print(to_rich_table(status_table(found), console.width))
    console.print(summary_line(found), markup=False, soft_wrap=True)
    if found.state == "left":
        console.print("None of its jobs runs any more; attach resumes what is left, and closes it:", soft_wrap=True)
    if found.problem:
        console.print(found.problem, markup=False, soft_wrap=True)
    for command in found.next_commands:
        console.print(f"  {command}", markup=False, soft_wrap=True)


def attach(sweep: SweepName) -> None:
    """Control a sweep that was left to run on other machines: watch it, retry and promote its jobs, and close it."""
    from cifar_sweeps.sweeps.resume import attach as attach_command

    attach_command(sweep, outputs_folder())


def stop(sweep: SweepName) -> None:
    """Stop a sweep at safe points, wherever its jobs run; what was trained is kept."""
    from cifar_sweeps.sweeps.resume import find_sweep
    from cifar_sweeps.sweeps.stopping import stop_sweep

    stop_sweep(find_sweep(sweep, outputs_folder()), outputs_folder(), typer.echo)
