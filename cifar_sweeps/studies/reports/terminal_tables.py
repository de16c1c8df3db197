"""Tables of a study for the terminal, fitted to its width."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifar_sweeps.studies.catalogue import CatalogueStudy
from cifar_sweeps.studies.reports.report_tables import MISSING, TextTable

WIDE_TERMINAL = 110
"""Width of a terminal, in characters, from which on all columns of a table are shown."""

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
_WIDE_ONLY_EPOCHS = {"lr", "seconds"}


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


def runs_table(runs: pd.DataFrame, width: int) -> Table:
    """Return one row per run, sorted by final validation accuracy, best first."""
    by = [column for column in ("val/accuracy", "started") if column in runs]
    ordered = runs.sort_values(by, ascending=[column == "started" for column in by], na_position="last")
    hidden = set() if ordered["sweep_id"].nunique() > 1 else {"sweep"}
    table = _frame_table(ordered, _RESULTS, hidden | (set() if width >= WIDE_TERMINAL else _WIDE_ONLY))
    best = "best: the highest validation accuracy, at which epoch; " if width >= WIDE_TERMINAL else ""
    table.caption = f"Accuracies of the last epoch; {best}gap: train − val.{_budgets(runs)}"
    table.caption_justify = "left"
    return table


def epochs_table(epochs: pd.DataFrame, width: int) -> Table:
    """Return one row per run and epoch."""
    return _frame_table(epochs, _EPOCHS, set() if width >= WIDE_TERMINAL else _WIDE_ONLY_EPOCHS)


def _budgets(runs: pd.DataFrame) -> str:
    """Return a note with the budgets of the runs other than full, else an empty string."""
    budgets = sorted(set(runs["budget"].dropna()) - {"full"}) if "budget" in runs else []
    return f"\nNot the full training: budget {'; '.join(budgets)}." if budgets else ""


def _frame_table(frame: pd.DataFrame, columns: tuple[tuple[str, str, str], ...], hidden: set[str]) -> Table:
    table = _table("")
    shown = [column for column in columns if column[1] in frame and column[0] not in hidden]
    for title, _, spec in shown:
        table.add_column(title, justify="right" if spec else "left", no_wrap=bool(spec), overflow="fold")
    for row in frame[[key for _, key, _ in shown]].itertuples(index=False):
        table.add_row(*(Text(_cell(value, spec)) for value, (_, _, spec) in zip(row, shown, strict=True)))
    return table


def _cell(value: Any, spec: str) -> str:  # noqa: ANN401 (any value of a frame)
    if pd.isna(value):
        return MISSING
    return f"{int(value) if spec == 'd' else value:{spec}}"


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
    """Print one table per study: its arms with parameters, published results, and whether they run offline."""
    for study in studies:
        console.print(Text(study.name, style="bold"), Text(study.description))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("arm", no_wrap=True)  # whole, so that it can be copied
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
        "CIFAR-10 is downloaded once (data=cifar10), unless it is in data.root; data=image_folder and data=synthetic "
        "download nothing. budget=short and budget=smoke train less."
    )
