"""`cifar-sweeps label-errors`: images whose labels are probably wrong."""

from typing import Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs
from cifar_sweeps.cli.completion import complete_sweep_or_study


def label_errors(
    names: Annotated[
        list[str],
        typer.Argument(
            help="sweeps, studies or runs of one data set, best with several splits",
            autocompletion=complete_sweep_or_study,
        ),
    ],
) -> None:
    """List images whose labels are probably wrong, by the runs that held them out; write a page with pictures.

    Each image is judged by runs that validated on it and were not trained on it. All images are judged after
    cross-validation: cifar-train -m data.split=fold data.fold=0,1,2,3,4
    """
    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.inspection import label_errors as finding
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table
    from cifar_sweeps.tracking.store import default_store

    console, store = Console(highlight=False), default_store()
    with console.status("") as status:
        found = finding.find_label_errors(names, store, lambda line: status.update(line.replace("[", "\\[")))
        page, table = finding.write_page(found, names, store)
    console.print(to_rich_table(found.table(), console.width))
    for line in (finding.summary(found), *found.notes):
        console.print(line, markup=False)
    console.print(f"Page: {page}", markup=False, soft_wrap=True)
    console.print(f"Table: {table}", markup=False, soft_wrap=True)
