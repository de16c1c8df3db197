"""Real learning curves that were published, from a CSV file that the environment names; and drawn ones."""

import csv
import os
import random
from pathlib import Path

from cifar_sweeps.search.simulation import WholeRun
from tests.benchmarks.real_data import NoRealDataError

VARIABLE = "CIFAR_SWEEPS_CURVES"
SOURCE = (
    "A. Klein, S. Falkner, J. T. Springenberg, F. Hutter, “Learning Curve Prediction with Bayesian Neural Networks”, "
    "ICLR 2017"
)


def published() -> list[WholeRun]:
    """Return the runs of the file, as accuracies. Raises NoRealDataError.

    It has a row for each configuration: ``seconds_total`` of its training, and ``error_1``, ``error_2``, … on
    validation data after each epoch.
    """
    path = Path(os.environ.get(VARIABLE, ""))
    if not path.is_file():
        raise NoRealDataError(
            f"{VARIABLE}={os.environ.get(VARIABLE, '')}: must be a CSV file with a row for each configuration: "
            f"seconds_total, and error_1, error_2, … after each epoch; published ones: {SOURCE}"
        )
    with path.open(encoding="utf-8", newline="") as file:
        return [_run(str(number), row) for number, row in enumerate(csv.DictReader(file))]


def drawn(arms: int, epochs: int) -> list[WholeRun]:
    """Return runs whose curves are drawn: they rise to levels of their own, with noise."""
    draw = random.Random(0)
    found = []
    for arm in range(arms):
        level, speed = draw.uniform(0.3, 0.9), draw.uniform(1, 10)
        curve = {epoch: level * epoch / (epoch + speed) + draw.gauss(0, 0.01) for epoch in range(1, epochs + 1)}
        found.append(WholeRun(str(arm), epochs, curve, [draw.uniform(1, 5)] * epochs))
    return found


def _run(arm: str, row: dict[str, str]) -> WholeRun:
    epochs = sum(key.startswith("error_") for key in row)
    curve = {epoch: 1 - float(row[f"error_{epoch}"]) for epoch in range(1, epochs + 1)}
    return WholeRun(arm, epochs, curve, [float(row["seconds_total"]) / epochs] * epochs)
