"""What a report says of a search: its Pareto front, and its best trials instead of all."""

import datetime

import pytest
from made_runs import NOW, make_run

from cifar_sweeps.studies.ranking import rank_arms
from cifar_sweeps.studies.reports.report_tables import ranking_table
from cifar_sweeps.studies.reports.search_section import front_figures, front_table, objectives_of
from cifar_sweeps.studies.study import Study, SweepRun
from cifar_sweeps.studies.validity.never_learned import warning

BOTH = {"val/accuracy": "best/val_accuracy", "model/parameters": "model/parameters"}


def trial(number, accuracy, parameters, **more):
    metrics = {"best__val_accuracy": accuracy, "val__accuracy": accuracy - 0.1, "model__parameters": parameters}
    return make_run(f"lr={number}", tags={"job": str(number)}, **metrics, **more)


RUNS = [trial(0, 0.5, 1000.0), trial(1, 0.7, 3000.0), trial(2, 0.6, 4000.0), trial(3, 0.9, 10.0, state="failed")]


def test_the_front_is_listed_by_the_first_objective():
    table = front_table(RUNS, BOTH)
    assert [column.title for column in table.columns] == ["arm", "trial", "val/accuracy", "model/parameters"]
    assert table.rows == (("lr=1", "1", "0.7000", "3,000"), ("lr=0", "0", "0.5000", "1,000"))
    assert table.note.startswith("2 of 3 finished trials: ")


def test_there_is_a_figure_for_each_further_objective_with_all_finished_trials():
    three = {**BOTH, "val/loss": "val/loss"}
    runs = [trial(n, 0.5 + n / 10, 1000.0 * n, val__loss=1.0) for n in range(4)]
    figures = front_figures(runs, three)
    assert [figure.title for figure in figures] == [
        "val/accuracy against model/parameters",
        "val/accuracy against val/loss",
    ]
    drawn = list(figures[0].figure.axes[0].lines)
    assert sum(len(line.get_xdata()) for line in drawn) == 4


@pytest.mark.parametrize("objectives", [{}, {"val/accuracy": "best/val_accuracy"}], ids=["no search", "one objective"])
def test_a_single_objective_has_no_front(objectives):
    assert front_table(RUNS, objectives) is None
    assert front_figures(RUNS, objectives) == []


def test_a_search_without_a_finished_trial_has_no_front():
    assert front_table(RUNS[3:], BOTH) is None
    assert front_figures(RUNS[3:], BOTH) == []


def test_sweeps_that_looked_for_different_things_have_no_common_front():
    def sweep(name, objectives):
        return SweepRun(name, name, "", NOW + datetime.timedelta(hours=1), objectives=objectives)

    assert objectives_of(Study("s", (), (sweep("a", BOTH), sweep("b", dict(BOTH))))) == BOTH
    assert objectives_of(Study("s", (), (sweep("a", BOTH), sweep("b", {})))) == {}
    assert objectives_of(Study("s", (), ())) == {}


def test_of_many_trials_the_best_are_listed_and_the_note_says_of_how_many():
    arms = rank_arms([trial(n, n / 100, 1.0) for n in range(30)])
    table = ranking_table(arms, 20)
    assert [row[0] for row in table.rows] == [f"lr={n}" for n in range(29, 9, -1)]
    assert "The best 20 of 30: the CSV file has all." in table.note
    assert len(ranking_table(arms).rows) == 30


def test_a_warning_names_a_few_of_many_arms():
    runs = [make_run(f"lr={n}", tags={"classes": "10", "train_images": "1000"}, train__accuracy=0.1) for n in range(30)]
    text = warning(runs)
    assert text.startswith("NEVER LEARNED: 30 runs")
    assert "lr=5 (" in text
    assert "; and 24 more arms. " in text
    assert "lr=6" not in text
