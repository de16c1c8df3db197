import io

import pytest
from rich.console import Console

from cifar_sweeps.sweeps.terminal.summary import front_lines, results_table
from cifar_sweeps.tracking.store import RecordedRun

BOTH = {"val/accuracy": "best/val_accuracy", "model/parameters": "model/parameters"}


def run(name, accuracy, parameters, state="FINISHED"):
    metrics = {"best/val_accuracy": accuracy, "model/parameters": parameters}
    return RecordedRun("id", f"lr={name}", state, metrics, {"cifar_sweeps.job": "0"})


def test_the_front_of_several_objectives_is_printed_by_the_first():
    runs = [run(1, 0.5, 100.0), run(2, 0.7, 3000.0), run(3, 0.6, 4000.0), run(4, 0.99, 1.0, "FAILED")]
    assert [*front_lines(runs, BOTH)] == [
        "Pareto front (val/accuracy up, model/parameters down): 2 of 3 finished trials",
        "  lr=2: val/accuracy 0.7000, model/parameters 3,000",
        "  lr=1: val/accuracy 0.5000, model/parameters 100",
    ]


@pytest.mark.parametrize("objectives", [{}, {"val/accuracy": "best/val_accuracy"}])
def test_no_front_of_one_objective(objectives):
    assert [*front_lines([run(1, 0.5, 100.0)], objectives)] == []


def test_of_a_search_the_best_trials_are_listed():
    console = Console(file=io.StringIO(), width=100)
    console.print(results_table([run(n, n / 100, 1.0) for n in range(30)], most=3))
    text = console.file.getvalue()
    assert [name in text for name in (" 29 ", " 27 ", " 26 ")] == [True, True, False]
