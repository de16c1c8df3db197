"""Tables of a study for the terminal, fitted to its width."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifar_sweeps.analysis.tables import TextTable
from cifar_sweeps.studies.columns import MISSING

if TYPE_CHECKING:  # it imports torch, which takes longer than the rest of a report
    from cifar_sweeps.studies.overview.catalogue import CatalogueStudy

WIDE_TERMINAL = 110
"""Width of a terminal, in characters, from which on all columns of a table are shown."""


def to_rich_table(report_table: TextTable, width: int) -> Table | Text:
    """Return a report table for rich, without its extra columns if the terminal is narrow."""
    if not report_table.rows:
        return Text(f"{report_table.title}: {report_table.empty}\n")
    shown = [i for i, column in enumerate(report_table.columns) if width >= WIDE_TERMINAL or not column.is_extra]
    table = _table(report_table.title)
    for i in shown:
        column = report_table.columns[i]
        table.add_column(
            column.title, justify="right" if column.is_number else "left", no_wrap=column.is_number, overflow="fold"
        )
    for row in report_table.rows:
        table.add_row(*(Text(row[i]) for i in shown))
    if report_table.note:
        table.caption = f"{report_table.note}\n"
        table.caption_justify = "left"
    return table


def _table(title: str) -> Table:
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def print_catalogue(studies: "Sequence[CatalogueStudy]", console: Console) -> None:
    """Print one table per study: its arms with parameters, published results, and whether they run offline."""
    for study in studies:
        heading = Text(study.name, style="bold")
        console.print(heading.append(f"{': ' * bool(study.name)}{study.description}", style="not bold"))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("arm", no_wrap=True)  # whole, so that it can be copied
        table.add_column("parameters", justify="right")
        table.add_column("published", overflow="fold")
        table.add_column("offline", overflow="fold")
        for arm in study.arms:
            count = MISSING if arm.parameters is None else f"{arm.parameters:,}"
            needs = f"no: {arm.needs}" if arm.needs else "yes"
            table.add_row(Text(arm.name), count, Text(arm.published or MISSING), Text(needs))
        if study.arms:
            console.print(table)
        if not study.name:
            console.print("cifar-train experiment=ARM\n")
            continue
        swept = "".join(f", {key}={values}" for key, values in study.swept.items())
        most = "at most " if study.is_most else ""
        console.print(f"{most}{study.runs} runs{swept}: {study.command}\n", markup=False, soft_wrap=True)
    console.print(
        "published: an arm's last figure in its document; several where that prints several. "
        "CIFAR-10 is downloaded once (data=cifar10), unless it is in data.root; data=image_folder and data=synthetic "
        "download nothing. budget=short and budget=smoke train less."
    )
