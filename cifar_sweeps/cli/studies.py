"""`cifar-sweeps studies`, `sweeps`, `results` and `report`: the documents' studies, their results and reports."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_sweeps.cli.common import ConfigDir, mark_abandoned_runs, outputs_folder
from cifar_sweeps.cli.completion import complete_study, complete_sweep, complete_sweep_or_study

if TYPE_CHECKING:
    from collections.abc import Callable

    from cifar_sweeps.studies.overview.sweep_list import ListedSweep
    from cifar_sweeps.studies.reports.study_report import Report


def studies(
    names: Annotated[list[str] | None, typer.Argument(help="only these studies", autocompletion=complete_study)] = None,
    config_dir: ConfigDir = None,
) -> None:
    """List the studies: their arms, parameters, published results, and what an arm needs to run."""
    from rich.console import Console

    from cifar_sweeps.studies.overview.catalogue import catalogue
    from cifar_sweeps.studies.reports.terminal_tables import print_catalogue

    print_catalogue(catalogue(names or [], config_dir), Console(highlight=False))


def sweeps(
    study: Annotated[str | None, typer.Argument(help="only the sweeps of this study")] = None,
    json: Annotated[bool, typer.Option("--json", help="a list of objects, with folder and command")] = False,
) -> None:
    """List the sweeps of this folder's outputs and store, the newest first: jobs by state, and the best."""
    import json as json_format

    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.studies.reports.results_tables import sweeps_table

    found = _list_sweeps(study)
    if json:
        typer.echo(json_format.dumps([sweep.as_json() for sweep in found], indent=1, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(sweeps_table(found, console.width))
    for sweep in found:
        if sweep.unsent:
            waiting = f"{sweep.unsent} of its journals are not all in the store yet: cifar-sweeps"
            # Jobs on other machines may not write into the store, and go on; their command sends what they record.
            how = f"attach {sweep.sweep_id}" if sweep.is_left else "sync"
            console.print(f"{sweep.sweep_id}: {waiting} {how} sends them", markup=False, soft_wrap=True)


def results(
    study: Annotated[
        str | None,
        typer.Argument(
            help="a study's name, a sweep's id, its run's id, or the beginning of one  [default: lists them]",
            autocompletion=complete_sweep_or_study,
        ),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="comma-separated values, every column")] = False,
    json: Annotated[bool, typer.Option("--json", help="a list of objects, every column")] = False,
    epochs: Annotated[bool, typer.Option("--epochs", help="one row per run and epoch, not per run")] = False,
    arms: Annotated[
        bool, typer.Option("--arms", help="one row per arm: means over seeds ± half of the 95% interval")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="only rows where KEY=VALUE, !=, <, >, <= or >=, of any column; repeat it, or join by ' and '"
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="a column: accuracies the best first, others the lowest; -KEY: the highest  [default: val]"),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="which columns, by comma: headings as shown, or any key of the config or metric of MLflow"),
    ] = None,
) -> None:
    """Print the results of a study or a sweep, one row per run."""
    from rich.console import Console

    if csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    if study is None:
        sweeps(None, json)
        if not json:
            typer.echo("Their results: cifar-sweeps results ID, or results STUDY for all sweeps of a study")
        return
    mark_abandoned_runs()
    from cifar_sweeps.studies.reports import results_tables
    from cifar_sweeps.studies.results import as_json, select_results

    chosen = [each.strip() for each in (columns or "").split(",") if each.strip()]
    selected = select_results(study, epochs, arms, where or [], sort, chosen)
    if csv:
        typer.echo(selected.table[selected.keys].to_csv(index=False), nl=False)
    elif json:
        typer.echo(as_json(selected.table[selected.keys]))
    else:
        console = Console(highlight=False)
        console.print(results_tables.results_table(selected, console.width, bool(chosen)))
        for note in selected.notes:
            console.print(note, markup=False)


def _list_sweeps(study: str | None) -> "list[ListedSweep]":
    """Return the sweeps, all or of one study. Raises TrackingError if there are none."""
    from cifar_sweeps.errors import TrackingError, did_you_mean
    from cifar_sweeps.studies.overview.sweep_list import list_sweeps
    from cifar_sweeps.tracking.store import default_store
    from cifar_sweeps.tracking.store_errors import store_errors

    outputs = outputs_folder()
    no_answer: tuple[type[Exception], ...] = (TrackingError, *store_errors())
    try:
        found = list_sweeps(outputs, default_store())
    except no_answer as error:
        found = list_sweeps(outputs, None)
        if found:
            first = str(error).splitlines()[0]
            typer.echo(f"Only what lies in {outputs}, as the store does not answer: {first}", err=True)
    names = sorted({sweep.study for sweep in found})
    found = [sweep for sweep in found if study in (None, sweep.study)]
    if not found and study is not None and names:
        raise TrackingError(
            f"{study}: no sweep of this study; there are {', '.join(names)}{did_you_mean(study, names)}"
        )
    if not found:
        single = "; single runs: cifar-sweeps results cifar_sweeps" if (outputs / "runs").is_dir() else ""
        elsewhere = "; of another outputs folder: set CIFAR_SWEEPS_OUTPUTS"
        raise TrackingError(
            f"{Path(outputs).absolute()}: holds no sweeps yet; train one: cifar-train study=quickstart"
            f"{single or elsewhere}"
        )
    return found


_WATCH_SECONDS = 10


def _watch(write: "Callable[[int | None], Report]", written: "Report") -> "Report":
    """Write the report again and again until all runs have ended, or an interrupt; a last time, at rest."""
    import contextlib
    import time

    with contextlib.suppress(KeyboardInterrupt):
        while written.is_running:
            time.sleep(_WATCH_SECONDS)
            mark_abandoned_runs()
            written = write(_WATCH_SECONDS)
    return write(None)


def report(
    study: Annotated[
        str, typer.Argument(help="a study's name, or a sweep's id", autocompletion=complete_sweep_or_study)
    ],
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="a sweep's id; repeat to merge several sweeps  [default: the newest]", autocompletion=complete_sweep
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="the page; .md, .csv and _claims.csv are written beside it  "
            "[default: OUTPUTS/reports/STUDY.html, or STUDY_SWEEP.html for a named sweep]"
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="write it again every ten seconds until all runs have ended, or Ctrl-C")
    ] = False,
) -> None:
    """Write the report of a study's newest sweep: claims and verdicts, published and measured values, curves.

    Of a sweep that still trains, what there is so far.
    """
    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.studies.reports.study_report import write_report
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table

    console = Console(highlight=False)
    written = write_report(study, out, sweeps=sweep or [], refresh=_WATCH_SECONDS if watch else None)
    if watch:
        if written.is_running:
            console.print(f"Page: {written.page} (it loads itself again; Ctrl-C ends)", markup=False, soft_wrap=True)
        written = _watch(lambda refresh: write_report(study, out, sweeps=sweep or [], refresh=refresh), written)
    for warning in written.warnings:
        console.print(warning, markup=False, style="bold")
    for table in (*([written.claims] if written.claims.rows else []), written.ranking):
        console.print(to_rich_table(table, console.width))
    for label, path in written.paths.items():
        console.print(f"{label}: {path}", markup=False, soft_wrap=True)
