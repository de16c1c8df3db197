"""Tables of runs, epochs and means over seeds for the terminal, fitted to its width."""

import time
from collections.abc import Iterator, Sequence

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cifar_sweeps.studies.columns import MISSING, Quantity, quantity
from cifar_sweeps.studies.overview.sweep_list import ListedSweep
from cifar_sweeps.studies.results import Selection

RUNS = ("sweep", "arm", "seed", "best val", "at", "val", "train", "gap", "test", "s/epoch", "parameters", "state")
EPOCHS = ("arm", "seed", "epoch", "train", "val", "train loss", "val loss", "lr", "seconds")
MEANS = ("best val", "val", "gap", "test", "s/epoch", "train", "parameters")
"""Headings that are shown where the user names none; of means, after those of the arm."""

_MOST = 12
"""Columns that a user names, above which rows that do not fit are blocks of lines: as of ``--columns all``."""
_WHEN, _BEST = 11, 8
"""Widths of the columns of a list of sweeps."""

_LEAST = ("parameters", "at", "seconds", "lr", "train loss", "train", "best val", "s/epoch", "gap", "state", "test")
"""What a narrow terminal leaves out first, in this order."""


def results_table(selected: Selection, width: int, chosen: bool = False) -> Group:
    """Return the rows in their order; means are shown with their ±.

    chosen: the columns were named by the user, so that none is left out where they do not fit.
    """
    table, keys = selected.table, [key for key in selected.keys if not key.endswith(" ±")]
    if not chosen:
        headings: tuple[str, ...] = EPOCHS if "epoch" in keys else RUNS
        if "seeds" in keys:
            headings = ("arm", *(["epoch"] if "epoch" in keys else []), "seeds", *MEANS)
        keys = [quantity(heading).key for heading in headings if quantity(heading).key in table]
        if selected.sorted_by is not None and selected.sorted_by not in keys:
            keys.append(selected.sorted_by)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    quantities = [quantity(key, [row[key] for row in rows]) for key in keys]
    cells = {each.heading: [_cell(row, each) for row in rows] for each in quantities}
    if chosen and len(cells) > _MOST and _needed(cells) > width:
        return Group(*_blocks(cells))
    kept = None if selected.sorted_by is None else quantity(selected.sorted_by).heading
    shown = list(cells) if chosen else _fitting(cells, width, kept)
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for each in quantities:
        if each.heading in shown:
            result.add_column(
                Text(each.heading), justify="right" if each.spec else "left", no_wrap=bool(each.spec), overflow="fold"
            )
    for row in zip(*(cells[heading] for heading in shown), strict=True):
        result.add_row(*map(Text, row))
    left_out = [heading for heading in cells if heading not in shown and heading != "sweep"]
    # Below the table, not as its caption, which would be wrapped at a narrow table's width.
    return Group(result, *map(Text, _captions(table, [quantity(heading) for heading in shown], left_out)))


def sweeps_table(sweeps: Sequence[ListedSweep], width: int) -> Group:
    """Return one row per sweep; its jobs are wrapped."""
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    ids = max([5, *(len(sweep.sweep_id) for sweep in sweeps if len(sweep.sweep_id) <= 40)])
    studies = max([5, *(min(len(sweep.study), 14) for sweep in sweeps)])
    left = width - ids - studies - _WHEN - _BEST - 2 * 5 - 1  # rich would rather cut a heading than wrap the jobs
    result.add_column("sweep", overflow="fold", width=ids)
    result.add_column("study", overflow="fold", width=studies)
    result.add_column("when", no_wrap=True, width=_WHEN)
    result.add_column("jobs", overflow="fold", width=max(11, left))
    result.add_column("best val", justify="right", no_wrap=True, width=_BEST)
    for sweep in sweeps:
        jobs = ", ".join(f"{number} {state}" for state, number in sweep.jobs.items()) or f"none, {sweep.state}"
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(sweep.started / 1000))
        when = when[5:] if when[:4] == time.strftime("%Y") else when[:10]
        cells = (sweep.sweep_id, sweep.study, when, jobs, quantity("best val").text(sweep.best))
        result.add_row(*map(Text, cells))
    note = "best val: the highest validation accuracy of all finished jobs and epochs. Times are local."
    return Group(result, Text(note))


def _captions(table: pd.DataFrame, shown: Sequence[Quantity], left_out: Sequence[str]) -> list[str]:
    lines = []
    if any("accuracy" in each.key or "loss" in each.key for each in shown) and "epoch" not in table:
        lines.append("Accuracies and losses of the last epoch, unless the heading says otherwise.")
    meanings = "; ".join(f"{each.heading}: {each.meaning}" for each in shown if each.meaning)
    if meanings:
        lines.append(f"{meanings}.")
    if any(f"{each.key} ±" in table for each in shown):
        lines.append("Mean over seeds ± half of the 95% t interval; a single seed has none.")
    budgets = sorted(set(table["budget"].dropna()) - {"full"}) if "budget" in table else []
    if budgets:
        lines.append(f"Not the full training: budget {'; '.join(budgets)}.")
    if left_out:
        lines.append(f"Not shown: {', '.join(left_out)}; a wider terminal, --columns or --csv has them.")
    return lines


def _blocks(cells: dict[str, list[str]]) -> Iterator[Text]:
    """Yield a block of lines for each row: its headings and values, those that are missing left out."""
    for row in zip(*cells.values(), strict=True):
        named = [(heading, value) for heading, value in zip(cells, row, strict=True) if value != MISSING]
        yield Text("\n".join(f"{heading}: {value}" for heading, value in named) + "\n")


def _needed(cells: dict[str, list[str]]) -> int:
    return sum(_width(heading, column) + 2 for heading, column in cells.items())


def _fitting(cells: dict[str, list[str]], width: int, kept: str | None) -> list[str]:
    """Return the headings that fit beside each other, with no word broken; the least important ones are left out.

    kept: one that is not, as the rows are sorted by it.
    """
    widths = {heading: _width(heading, column) for heading, column in cells.items()}
    if "sweep" in widths and len(set(cells["sweep"])) < 2:
        del widths["sweep"]
    for least in (heading for heading in _LEAST if heading != kept):
        if sum(widths.values()) + 2 * len(widths) <= width:
            break
        widths.pop(least, None)
    return list(widths)


def _width(heading: str, column: Sequence[str]) -> int:
    """Return the width below which a column breaks a number, or a word of a text."""
    words = [heading, *(column if quantity(heading).spec else (word for cell in column for word in cell.split()))]
    return max(map(len, words))


def _cell(row: dict[str, object], shown: Quantity) -> str:
    text, half = shown.text(row[shown.key]), row.get(f"{shown.key} ±")
    if str(half) in ("None", "nan") or text == MISSING:
        return text
    return f"{text} ± {Quantity('', '', shown.spec.replace('+', '')).text(half)}"
