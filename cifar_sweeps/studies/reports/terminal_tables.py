"""A study's tables on the terminal, as wide as it is."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifar_sweeps.studies.catalogue import CatalogueStudy
from cifar_sweeps.studies.reports.report_tables import NONE, TextTable

WIDE = 110
"""Columns of a terminal from which on the less important columns of a table have room."""

_RESULTS = (
    ("sweep", "sweep_id", ""),
    ("arm", "arm", ""),
    ("seed", "seed", "d"),
    ("best", "best/val_accuracy", ".4f"),
    ("at", "best/epoch", ".0f"),
    ("val", "val/accuracy", ".4f"),
    ("train", "train/accuracy", ".4f"),
    ("gap", "gap/accuracy", "+.4f"),
    ("test", "test/accuracy", ".4f"),
    ("s/epoch", "seconds_an_epoch", ".2f"),
    ("parameters", "parameters", ",.0f"),
    ("state", "state", ""),
)
_WIDE_ONLY = {"best", "at", "train", "parameters"}
_EPOCHS = (
    ("arm", "arm", ""),
    ("seed", "seed", "d"),
    ("epoch", "epoch", "d"),
    ("train", "train/accuracy", ".4f"),
    ("val", "val/accuracy", ".4f"),
    ("train loss", "train/loss", ".4f"),
    ("val loss", "val/loss", ".4f"),
    ("lr", "lr", ".3g"),
    ("seconds", "epoch_seconds", ".2f"),
)
_WIDE_EPOCHS = {"lr", "seconds"}


def to_rich_table(grid: TextTable, width: int) -> Table | Text:
    """Return a table of the report, without its extra columns if the terminal is narrow."""
    if not grid.rows:
        return Text(f"{grid.title}: {grid.empty}\n")
    shown = [n for n, column in enumerate(grid.columns) if width >= WIDE or not column.is_extra]
    table = _table(grid.title)
    for n in shown:
        column = grid.columns[n]
        table.add_column(
            column.title, justify="right" if column.is_number else "left", no_wrap=column.is_number, overflow="fold"
        )
    for row in grid.rows:
        table.add_row(*(Text(row[n]) for n in shown))
    if grid.note:
        table.caption = f"{grid.note}\n"
        table.caption_justify = "left"
    return table


def runs_table(runs: pd.DataFrame, width: int) -> Table:
    """Return one row a run, the best last validation accuracy first."""
    by = [column for column in ("val/accuracy", "started") if column in runs]
    ordered = runs.sort_values(by, ascending=[column == "started" for column in by], na_position="last")
    one_sweep = set() if ordered["sweep_id"].nunique() > 1 else {"sweep"}
    table = _frame_table(ordered, _RESULTS, one_sweep | (set() if width >= WIDE else _WIDE_ONLY))
    best = "best: the highest on validation, and at which epoch; " if width >= WIDE else ""
    table.caption = f"Accuracies of the last epoch; {best}gap: train − val.{_budgets(runs)}"
    table.caption_justify = "left"
    return table


def epochs_table(epochs: pd.DataFrame, width: int) -> Table:
    """Return one row a run and epoch."""
    return _frame_table(epochs, _EPOCHS, set() if width >= WIDE else _WIDE_EPOCHS)


def _budgets(runs: pd.DataFrame) -> str:
    """Return how much of the full training the runs were, if any was not."""
    named = sorted(set(runs["budget"].dropna()) - {"full"}) if "budget" in runs else []
    return f"\nNot the full training: budget {'; '.join(named)}." if named else ""


def _frame_table(frame: pd.DataFrame, columns: tuple[tuple[str, str, str], ...], left_out: set[str]) -> Table:
    table = _table("")
    shown = [column for column in columns if column[1] in frame and column[0] not in left_out]
    for title, _, form in shown:
        table.add_column(title, justify="right" if form else "left", no_wrap=bool(form), overflow="fold")
    for row in frame[[key for _, key, _ in shown]].itertuples(index=False):
        table.add_row(*(Text(_cell(value, form)) for value, (_, _, form) in zip(row, shown, strict=True)))
    return table


def _cell(value: Any, form: str) -> str:  # noqa: ANN401 (whatever a frame holds)
    if pd.isna(value):
        return NONE
    return f"{int(value) if form == 'd' else value:{form}}"


def _table(title: str) -> Table:
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def print_catalogue(studies: Sequence[CatalogueStudy], console: Console) -> None:
    """Print a table a study: its arms with parameters, what the document printed, and whether it runs offline."""
    for study in studies:
        console.print(Text(study.name, style="bold"), Text(study.about))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("arm", no_wrap=True)  # to be copied
        table.add_column("parameters", justify="right")
        table.add_column("published", overflow="fold")
        table.add_column("offline", overflow="fold")
        for arm in study.arms:
            count = "-" if arm.parameters is None else f"{arm.parameters:,}"
            table.add_row(Text(arm.name), count, arm.published, Text(f"no: {arm.needs}" if arm.needs else "yes"))
        if study.arms:
            console.print(table)
        if not study.name:
            console.print("cifar-train experiment=ARM\n")
            continue
        swept = "".join(f", {key}={values}" for key, values in study.swept.items())
        console.print(f"{study.runs} runs{swept}: cifar-train study={study.name}\n", markup=False, soft_wrap=True)
    console.print(
        "CIFAR-10 itself is downloaded once (data=cifar10), or lies in data.root; data=image_folder and data=synthetic "
        "download nothing. budget=short and budget=smoke train less."
    )
