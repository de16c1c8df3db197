"""`cifar-sweeps studies`, `results` and `report`: the documents' studies, their results and reports."""

from pathlib import Path
from typing import Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs


def studies(
    names: Annotated[list[str] | None, typer.Argument(help="only these studies")] = None,
) -> None:
    """List the documents' studies: their arms, parameters, published results, and what an arm needs to run."""
    from rich.console import Console

    from cifar_sweeps.studies.catalogue import catalogue
    from cifar_sweeps.studies.reports.terminal_tables import print_catalogue

    print_catalogue(catalogue(names or []), Console(highlight=False))


def results(
    study: Annotated[str, typer.Argument(help="a study's name, a sweep's id, or the id of its parent run")],
    csv: Annotated[bool, typer.Option("--csv", help="comma-separated values, every column")] = False,
    json: Annotated[bool, typer.Option("--json", help="a list of objects, every column")] = False,
    epochs: Annotated[bool, typer.Option("--epochs", help="one row per run and epoch, not per run")] = False,
) -> None:
    """Print the results of a study or a sweep, one row per run."""
    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.studies import results as data
    from cifar_sweeps.studies.reports import terminal_tables

    if csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    rows = data.load_history(study) if epochs else data.load_results(study)
    if csv:
        typer.echo(rows.to_csv(index=False), nl=False)
    elif json:
        typer.echo(data.as_json(rows))
    else:
        console = Console(highlight=False)
        table = terminal_tables.epochs_table if epochs else terminal_tables.runs_table
        console.print(table(rows, console.width))


def report(
    study: Annotated[str, typer.Argument(help="a study's name, or a sweep's id")],
    sweep: Annotated[
        list[str] | None, typer.Option(help="a sweep's id; repeat to merge several sweeps  [default: the newest]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="the page; .md and .csv are written beside it  [default: OUTPUTS/reports/STUDY.html]"),
    ] = None,
) -> None:
    """Write the report of a study's newest sweep: claims and verdicts, published and measured values, curves."""
    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.studies.reports.study_report import write_report
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table

    written = write_report(study, out, sweeps=sweep or [])
    console = Console(highlight=False)
    for warning in written.warnings:
        console.print(warning, markup=False, style="bold")
    for table in (written.claims, written.ranking):
        console.print(to_rich_table(table, console.width))
    for label, path in zip(("Page", "Markdown", "Runs"), written.paths, strict=True):
        console.print(f"{label}: {path}", markup=False, soft_wrap=True)
