"""How figures are taken and shown: rounds in which everything alternates, medians, a table, a JSON file."""

import datetime
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cifar_sweeps.system.cores import available_cores
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking.provenance import provenance
from cifar_sweeps.training.precision import resolve_precision
from tests.benchmarks.goals import GOALS

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "outputs" / "benchmarks"


@dataclass(frozen=True)
class Figure:
    """One line of a table: the median of ``samples``, held against the goal that ``key`` has in goals.py, if any."""

    key: str
    what: str
    samples: tuple[float, ...]
    unit: str = ""

    @property
    def median(self) -> float:
        """The figure itself."""
        return statistics.median(self.samples)

    @property
    def verdict(self) -> str:
        """'met', 'not met', or nothing where there is no goal."""
        goal = GOALS.get(self.key)
        return "" if goal is None else "met" if goal.met(self.median) else "not met"


@dataclass
class Outcome:
    """What a benchmark gives: figures in the order of its table, and notes on how they were taken."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, key: str, what: str, samples: Sequence[float], unit: str = "") -> None:
        """Add a line."""
        self.figures.append(Figure(key, what, tuple(float(sample) for sample in samples), unit))


def rounds(measures: Mapping[str, Callable[[], float]], count: int, warm_ups: int = 1) -> dict[str, list[float]]:
    """Take every measure in turn (A B A B …), ``count`` times after the warm-ups; return each one's samples."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(warm_ups + count):
        for name, measure in measures.items():
            sample = measure()
            if number >= warm_ups:
                taken[name].append(sample)
    return taken


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return each pair's ratio: what happened to the machine between two pairs is in neither."""
    return [a / b for a, b in zip(above, below, strict=True)]


def differences(minuend: Sequence[float], subtrahend: Sequence[float]) -> list[float]:
    """Return each pair's difference."""
    return [a - b for a, b in zip(minuend, subtrahend, strict=True)]


def machine() -> dict[str, Any]:
    """Return where and from what the figures come."""
    facts = provenance()
    return {
        "cpu": facts["cpu"],
        "cores": available_cores(),
        "platform": platform.platform(),
        "python": facts["python"],
        "torch": torch.__version__,
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        "precision": resolve_precision("auto", torch.device("cpu")).name,
        "git_commit": facts["git_commit"],
        "git_clean": facts["git_clean"],
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": "python -m tests.benchmarks " + " ".join(sys.argv[1:]),
        "load_before": os.getloadavg()[0],
    }


def show(outcome: Outcome, console: Console) -> None:
    """Print the table and the notes."""
    table = Table(title=outcome.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("what")
    for column in ("median", "from", "to", "n", "goal"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for figure in outcome.figures:
        unit = f" {figure.unit}" if figure.unit else ""
        table.add_row(
            figure.what,
            f"{_number(figure.median)}{unit}",
            _number(min(figure.samples)),
            _number(max(figure.samples)),
            str(len(figure.samples)),
            str(GOALS.get(figure.key, "")),
            {"met": "[green]met[/]", "not met": "[red]missed[/]"}.get(figure.verdict, ""),
        )
    console.print(table)
    for note in outcome.notes:
        console.print(f"  {note}", highlight=False, markup=False)


def write(name: str, outcome: Outcome, facts: Mapping[str, Any], threads: str, seconds: float) -> Path:
    """Write the benchmark's JSON file and return where it is."""
    figures = [
        {
            "key": figure.key,
            "what": figure.what,
            "median": figure.median,
            "unit": figure.unit,
            "samples": figure.samples,
            "goal": str(GOALS[figure.key]) if figure.key in GOALS else None,
            "verdict": figure.verdict or None,
        }
        for figure in outcome.figures
    ]
    document = {
        "benchmark": name,
        "title": outcome.title,
        "machine": {**facts, "threads": threads},
        "seconds": round(seconds, 1),
        "figures": figures,
        "notes": outcome.notes,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
