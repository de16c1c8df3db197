"""What mattered as a table, and as records for files."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.studies.columns import MISSING
from cifar_sweeps.studies.importance.importance import MIXED, Importance, Part


def importance_table(found: Importance) -> TextTable:
    """Return the parts in percent with their intervals."""
    is_search, has_interval = found.measure == "PED-ANOVA", any(part.low is not None for part in found.parts)
    columns = (
        Column("key" if is_search else "keys"),
        Column("importance" if is_search else "share", is_number=True),
        *((Column("95% interval", is_number=True),) if has_interval else ()),
        *((Column("learned", is_number=True),) if found.guessing else ()),
        *((Column("df", True, is_extra=True), Column("F", True, is_extra=True)) if not is_search else ()),
        *((Column("p", True, is_extra=True),) if has_interval and not is_search else ()),
    )
    rows = tuple(_row(part, found, is_search, has_interval) for part in found.parts)
    return TextTable(f"What mattered to {found.metric}", columns, rows, note=_note(found))


def counts(found: Importance) -> str:
    """Return the sentence on how many runs, arms and seeds were judged."""
    seeds = f"{len(found.seeds)} seed{'' if len(found.seeds) == 1 else 's'} ({', '.join(map(str, found.seeds))})"
    arms = f"{found.arms} arm{'' if found.arms == 1 else 's'}"
    return f"{found.name}: {found.runs} runs of {arms}, {seeds if found.seeds else 'seeds not recorded'}."


def as_records(found: Importance) -> list[dict[str, Any]]:
    """Return one record a part: what it is of, its value and interval, and its F test; unrounded, unclipped."""
    records = []
    for part in found.parts:
        values = asdict(part)
        name, keys = values.pop("name"), values.pop("keys")
        records.append({"metric": found.metric, "measure": found.measure, "name": name, "keys": list(keys), **values})
    return records


def as_frame(found: Importance) -> pd.DataFrame:
    """Return the records as a table; keys are joined by spaces."""
    return pd.DataFrame([{**each, "keys": " ".join(each["keys"])} for each in as_records(found)])


def as_json(found: Importance) -> dict[str, Any]:
    """Return everything as plain values."""
    cells = found.cells
    return {
        "name": found.name,
        "metric": found.metric,
        "measure": found.measure,
        "runs": found.runs,
        "arms": found.arms,
        "seeds": list(found.seeds),
        "never_learned": found.guessing,
        "best_part": found.best,
        "parts": as_records(found),
        "notes": list(found.notes),
        "means": None
        if cells is None
        else {
            "rows": {"key": cells.row_key, "values": list(cells.rows)},
            "columns": {"key": cells.column_key, "values": list(cells.columns)},
            "means": [[None if mean != mean else float(mean) for mean in row] for row in cells.means],
            "runs": cells.runs.tolist(),
        },
    }


def _row(part: Part, found: Importance, is_search: bool, has_interval: bool) -> tuple[str, ...]:
    interval = MISSING if part.low is None or part.high is None else f"{_percent(part.low)} to {_percent(part.high)}"
    f_test = [MISSING if part.freedom is None else str(part.freedom), MISSING if part.f is None else f"{part.f:,.2f}"]
    p = MISSING if part.p is None else "< 0.0001" if part.p < 1e-4 else f"{part.p:.2g}"
    return (
        part.name,
        _percent(part.value),
        *((interval,) if has_interval else ()),
        *((MISSING if part.learned is None else _percent(part.learned),) if found.guessing else ()),
        *(f_test if not is_search else ()),
        *((p,) if has_interval and not is_search else ()),
    )


def _percent(value: float) -> str:
    return f"{100 * max(0.0, value):.1f}%"


def _note(found: Importance) -> str:
    crossed = (
        " a × b: what the two do together beyond the sum of what each does."
        if any(len(part.keys) > 1 for part in found.parts)
        else ""
    )
    if found.measure == "omega squared":
        return (
            f"Share of the variance of {found.metric} over all arms and seeds (omega squared: without what the seeds' "
            f"noise adds; below 0 shown as 0). Interval: what the spread between seeds leaves possible.{crossed} "
            "seeds: what one arm differs by from seed to seed."
        )
    if found.measure == "eta squared":
        return (
            f"Share of the variance of {found.metric} over all runs (eta squared: it holds what noise adds, more to "
            f"keys with more values).{crossed} {MIXED}: all that is left."
        )
    best = f"{100 * (found.best or 0):.0f}%"
    return (
        f"Importance for being among the best {best} of the arms by {found.metric} (Optuna's PED-ANOVA: how far the "
        "values that these have of a key are from those of all arms), as a part of that of all keys: no share of the "
        "variance. Interval: of 95% of resampled sets of arms."
    )
