"""`cifar-sweeps importance`: which of the swept keys mattered."""

from typing import Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs
from cifar_sweeps.cli.completion import complete_sweep, complete_sweep_or_study


def importance(
    study: Annotated[
        str, typer.Argument(help="a sweep's id, or a study's name", autocompletion=complete_sweep_or_study)
    ],
    metric: Annotated[
        str, typer.Option(help="any metric of a run: its name in MLflow, or its heading in the tables, such as test")
    ] = "best/val_accuracy",
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="a sweep's id; repeat to judge several sweeps together  [default: a study's newest one, with all "
            "that swept the same keys in the same setting]",
            autocompletion=complete_sweep,
        ),
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option(min=1, help="judge the metric at this epoch, of runs that were stopped early there or later, too"),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="only the table, as comma-separated values; no page")] = False,
    json: Annotated[bool, typer.Option("--json", help="everything, as one JSON object; no page")] = False,
) -> None:
    """Say what mattered: of each swept key, and of each two together, its share of the variance of a metric.

    Of a grid by an analysis of variance, with intervals from the seeds; of a search by Optuna's PED-ANOVA. The page
    shows the best so far against epochs and time, too, and the means over the two keys that matter most.
    """
    import json as json_format
    from dataclasses import replace

    from rich.console import Console

    if csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    mark_abandoned_runs()
    from cifar_sweeps.studies.importance import page, tables
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table
    from cifar_sweeps.tracking.store import default_store

    store, console = default_store(), Console(highlight=False)
    judged = page.judge(study, store, sweep or [], metric, epoch)
    found = judged.importance
    if csv:
        typer.echo(tables.as_frame(found).to_csv(index=False), nl=False)
        return
    if json:
        typer.echo(json_format.dumps(tables.as_json(found), indent=1, ensure_ascii=False))
        return
    typed = [study, *(part for each in sweep or [] for part in ("--sweep", each))]
    name = found.metric.partition(" at epoch ")[0]
    if name != "best/val_accuracy" and not (epoch and metric == "best/val_accuracy"):
        typed += ["--metric", name]
    typed += [] if epoch is None else ["--epoch", str(epoch)]
    console.print(tables.counts(found), markup=False)
    for note in found.notes:
        console.print(note, markup=False)
    console.print()
    table = tables.importance_table(found)
    console.print(to_rich_table(replace(table, note=""), console.width))
    console.print(f"{table.note}\n", markup=False)
    for label, path in zip(("Page", "Table"), page.write_page(judged, typed, store), strict=True):
        console.print(f"{label}: {path}", markup=False, soft_wrap=True)
