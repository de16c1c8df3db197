import io

import pytest
from rich.console import Console

from cifar_sweeps.sweeps.terminal.summary import best_paused_job, front_lines, results_table
from cifar_sweeps.tracking.recorded_run import RecordedRun

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


def paused(job, epoch, accuracy, loss):
    tags = {"job": str(job), "early_stopped": str(epoch), "early_stopped_of": "4"}
    metrics = {"val/accuracy": accuracy, "val/loss": loss}
    return RecordedRun(
        "id", f"lr={job}", "PAUSED", metrics, {f"cifar_sweeps.{key}": each for key, each in tags.items()}
    )


def test_the_best_paused_job_is_the_one_to_be_promoted_and_the_table_numbers_the_jobs():
    runs = [paused(0, 2, 0.3, 2.0), paused(11, 2, 0.5, 1.5), paused(4, 1, 0.4, 1.0)]
    assert best_paused_job(runs, "val/accuracy") == 11
    assert best_paused_job(runs, "val/loss") == 4
    assert best_paused_job([run(1, 0.5, 1.0)], "val/accuracy") is None
    console = Console(file=io.StringIO(), width=100)
    console.print(results_table(runs))
    rows = [line.split()[:2] for line in console.file.getvalue().splitlines() if "paused" in line]
    assert sorted(rows) == [["0", "0"], ["11", "11"], ["4", "4"]]
