"""The columns of all tables of runs: one heading for each number; and runs selected, sorted and shown by them."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.arms import equal_values

if TYPE_CHECKING:
    import pandas as pd

MISSING = "–"


@dataclass(frozen=True)
class Quantity:
    """A number or text of a run: its heading in every table, its key in files, pandas and MLflow, and its format."""

    heading: str
    key: str
    spec: str
    meaning: str = ""

    def text(self, value: object) -> str:
        """Return a value as a table shows it."""
        if _is_missing(value):
            return MISSING
        if not self.spec:
            return str(value)
        try:
            number = float(str(value))
        except ValueError:
            return str(value)
        return f"{int(number) if self.spec == 'd' else number:{self.spec}}"


QUANTITIES = (
    Quantity("sweep", "sweep_id", ""),
    Quantity("run", "run_id", ""),
    Quantity("arm", "arm", ""),
    Quantity("seed", "seed", "d"),
    Quantity("seeds", "seeds", "d"),
    Quantity("epoch", "epoch", "d"),
    Quantity("best val", "best/val_accuracy", ".4f", "the highest validation accuracy of all epochs"),
    Quantity("at", "best/epoch", ".0f", "its epoch"),
    Quantity("val", "val/accuracy", ".4f"),
    Quantity("val loss", "val/loss", ".4f"),
    Quantity("train", "train/accuracy", ".4f"),
    Quantity("train loss", "train/loss", ".4f"),
    Quantity("gap", "gap/accuracy", "+.4f", "train − val"),
    Quantity("gap loss", "gap/loss", "+.4f", "val loss − train loss"),
    Quantity("test", "test/accuracy", ".4f"),
    Quantity("test loss", "test/loss", ".4f"),
    Quantity("lr", "lr", ".3g"),
    Quantity("s/epoch", "seconds_an_epoch", ".2f", "the median"),
    Quantity("seconds", "epoch_seconds", ".2f"),
    Quantity("parameters", "parameters", ",.0f"),
    Quantity("multiply-adds", "multiply_adds", ",.0f"),
    Quantity("state", "state", ""),
)
_BY_HEADING = {quantity.heading: quantity for quantity in QUANTITIES}
_BY_KEY = {quantity.key: quantity for quantity in QUANTITIES}
_CONDITION = re.compile(r"(?P<key>.+?)\s*(?P<sign>!=|<=|>=|==|=|<|>)\s*(?P<value>.*)", re.DOTALL)
_NULL = ("null", "None", "")
_EXAMPLE = "write for example optimizer=sgd, 'val>0.7' or regularization!=none"


def quantity(heading_or_key: str, values: Iterable[object] = ()) -> Quantity:
    """Return a quantity by its heading or its key; of an unknown key, such as a parameter's, one headed by it.

    values: of an unknown key's column; it is one of numbers only if all of them are.
    """
    known = _BY_HEADING.get(heading_or_key) or _BY_KEY.get(heading_or_key)
    is_text = any(_number(value) is None for value in values if not _is_missing(value))
    return known or Quantity(heading_or_key, heading_or_key, "" if is_text else ".6g")


def find_column(
    name: str, columns: Sequence[str], kind: str = "column", advice: str = " (--columns all shows every one)"
) -> str:
    """Return the column that a user means by its key, its heading, or the last part of its key (lr: optimizer.lr).

    kind, advice: for the message: what the columns are, and how all of them are shown.
    Raises ConfigError with the nearest names if there is none, or with all that it could be.
    """
    known = _BY_HEADING.get(name)
    if name in columns:
        return name
    if known is not None and known.key in columns:
        return known.key
    ends = [column for column in columns if re.split(r"[./]", column)[-1] == name]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ConfigError(f"{name}: could be {', '.join(ends)}; write one of them")
    names = [*columns, *(heading for heading, each in _BY_HEADING.items() if each.key in columns)]
    names = list(dict.fromkeys(names))
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.5) or [each for each in names if name in each][:4]
    hint = f"the nearest: {', '.join(near)}" if near else f"there are {', '.join(names[:20])} …"
    raise ConfigError(f"{name}: no such {kind}; {hint}{advice}")


def is_measured(key: str, values: Iterable[object]) -> bool:
    """Return whether a column holds measured numbers, of which means make sense, and no setting of the run."""
    known = _BY_KEY.get(key)
    if known is not None and known.heading in ("seed", "epoch", "seeds"):
        return False
    is_metric = "/" in key or (known is not None and bool(known.spec)) or key == "duration"
    return is_metric and all(_number(value) is not None for value in values if not _is_missing(value))


def where(table: "pd.DataFrame", conditions: Iterable[str]) -> tuple["pd.DataFrame", list[str]]:
    """Return the rows that fulfil all conditions: ``key=value``, ``!=``, ``<``, ``<=``, ``>``, ``>=``; and notes.

    Several in one text are joined by `` and ``. Numbers compare as numbers; ``null`` is a missing value, and a note
    says how many rows have none. Raises ConfigError for a condition that cannot be read, or that no row fulfils, with
    the values that there are.
    """
    notes = []
    for condition in (part.strip() for text in conditions for part in text.split(" and ")):
        parts = _CONDITION.fullmatch(condition)
        if parts is None:
            raise ConfigError(f"--where {condition!r}: is no condition; {_EXAMPLE}")
        key = find_column(parts["key"].strip(), list(map(str, table.columns)))
        sign, wanted = parts["sign"], _unquoted(parts["value"].strip())
        if sign in ("<", ">", "<=", ">=") and _number(wanted) is None:
            raise ConfigError(f"--where {condition!r}: {wanted!r} is not a number, which {sign} needs; {_EXAMPLE}")
        own = list(table[key])
        if key == "state" and wanted == "paused":  # which the table tells with the epoch: paused at epoch 4 of 40
            own = ["paused" if str(value).startswith("paused ") else value for value in own]
        kept = table[[_fulfils(value, sign, wanted) for value in own]]
        if not len(kept):
            there = dict.fromkeys("null" if _is_missing(value) else str(value) for value in table[key])
            shown = ", ".join(list(there)[:12]) + (" …" if len(there) > 12 else "")
            raise ConfigError(f"--where {condition!r}: no row fulfils it; {key} is {shown or 'nothing'} here")
        absent = sum(map(_is_missing, table[key]))
        if absent and sign != "!=" and wanted not in _NULL:
            notes.append(f"--where {condition!r} leaves out {absent} rows for which no {key} is recorded.")
        table = kept
    return table, notes


def sort(table: "pd.DataFrame", by: str) -> "pd.DataFrame":
    """Return the rows sorted: accuracies with the best first, else the lowest; ``-key`` the highest first.

    Rows without the value come last. Texts that are numbers are sorted as such.
    """
    key = find_column(by.removeprefix("-").removeprefix("+"), list(map(str, table.columns)))
    downwards = by.startswith("-") or ("accuracy" in key and not by.startswith("+"))
    values = list(table[key])
    numeric = all(_number(value) is not None for value in values if not _is_missing(value))

    def rank(i: int) -> tuple[float, str]:
        return (_number(values[i]) or 0.0, "") if numeric else (0.0, str(values[i]))

    present = sorted((i for i in range(len(values)) if not _is_missing(values[i])), key=rank, reverse=downwards)
    return table.iloc[[*present, *(i for i in range(len(values)) if _is_missing(values[i]))]]


def means(table: "pd.DataFrame", by: Sequence[str], columns: Sequence[str]) -> "pd.DataFrame":
    """Return one row per arm: how many rows it has (``seeds``), and of each column the mean and ``KEY ±``.

    by: what rows of one arm have in common. ±: half of the 95% t interval of the mean; missing for a single value.
    """
    import pandas as pd

    from cifar_sweeps.studies.intervals import estimate  # scipy, which other users of this module do not need

    rows = []
    for values, group in table.groupby(list(by), sort=False, dropna=False):
        row: dict[str, object] = {**dict(zip(by, values, strict=True)), "seeds": len(group)}
        for column in columns:
            mean = estimate(_number(value) for value in group[column])
            row |= {column: mean and mean.mean, f"{column} ±": mean and mean.half_width}
        rows.append(row)
    return pd.DataFrame(rows, columns=[*by, "seeds", *(each for key in columns for each in (key, f"{key} ±"))])


def _fulfils(value: object, sign: str, wanted: str) -> bool:
    if sign in ("=", "==", "!="):
        equal = _is_missing(value) if wanted in _NULL else _equal(value, wanted)
        return equal == (sign != "!=")
    number, limit = _number(value), _number(wanted)
    if number is None or limit is None:
        return False
    return {"<": number < limit, ">": number > limit, "<=": number <= limit, ">=": number >= limit}[sign]


def _equal(value: object, wanted: str) -> bool:
    return not _is_missing(value) and equal_values(_unquoted(_text(value)), wanted)


def _unquoted(text: str) -> str:
    """Return a text without the quotes around all of it, in which a swept value with a space is recorded."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return text
    return text[1:-1].replace(f"\\{text[0]}", text[0])


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _is_missing(value: object) -> bool:
    return str(value) in ("<NA>", "NaT", "None", "nan")  # of pandas and of recorded parameters


def _number(value: object) -> float | None:
    if _is_missing(value):
        return None
    try:
        return float(str(value))
    except ValueError:
        return None
