"""The best arm's classes and its confusion matrix, from what its runs recorded."""

import json

import numpy as np
import pytest
from study_toys import ToyStore

from cifar_sweeps.analysis.confusion_picture import confusion_heatmap
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.reports import class_analysis
from cifar_sweeps.studies.reports.class_analysis import class_table, confusion_figure

RECALLS = {"a": ((0.9, 0.7), (0.5, 0.3)), "b": ((0.5, 0.6), (0.6, 0.5))}
"""Of arms a and b, by seed: of classes cat and dog."""


def analysis(counts):
    return {"classes": ["cat", "dog"], "confusion": {"counts": counts}}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    toy = ToyStore(tmp_path_factory.mktemp("store"))
    parent = toy.sweep("classes", "c-1")
    for arm, by_seed in RECALLS.items():
        for seed, (cat, dog) in enumerate(by_seed):
            toy.run(
                "classes", 0.8 if arm == "a" else 0.6, swept={"experiment": arm}, seed=seed, parent=parent,
                tags={"sweep_id": "c-1"}, classes={"cat": cat, "dog": dog},
                analysis=analysis([[8 + seed, 2], [3, 7]]) if arm == "a" else analysis([[1], [2]]),
            )  # fmt: skip
    return toy


def runs_of(toy):
    return find_runs("classes", toy.store).deduplicated()


def test_the_table_has_means_and_paired_differences(toy):
    table = class_table(["a", "b"], runs_of(toy))
    assert [column.title for column in table.columns] == ["class", "precision", "recall", "F1", "recall, difference"]
    cat, dog = table.rows
    assert (cat[0], cat[2]) == ("cat", "0.7000")
    differences = np.array([0.9 - 0.5, 0.5 - 0.6])
    half = 12.706205 * differences.std(ddof=1) / np.sqrt(2)
    assert cat[4] == f"{differences.mean():+.4f} ± {half:.4f}"
    assert (dog[0], dog[2]) == ("dog", "0.5000")


def test_without_figures_by_class_there_is_no_table(toy):
    assert class_table([], runs_of(toy)) is None
    assert class_table(["nothing"], runs_of(toy)) is None
    assert len(class_table(["a"], runs_of(toy)).columns) == 4


def test_confusion_matrices_are_summed_over_seeds(toy, monkeypatch):
    drawn = []

    def drawing(confusion, classes, **settings):
        drawn.append(confusion.tolist())
        return confusion_heatmap(confusion, classes, **settings)

    monkeypatch.setattr(class_analysis, "confusion_heatmap", drawing)
    (figure,) = confusion_figure("a", runs_of(toy), toy.client, toy.store.outputs)
    assert "sum of 2 runs" in figure.description
    assert drawn == [[[17, 4], [6, 14]]]


@pytest.mark.parametrize(
    "content",
    ["", "[]", json.dumps(analysis([[1, 2]])), json.dumps(analysis([[1, -2], [3, 4]])), json.dumps(analysis("x"))],
    ids=["empty", "a list", "not square", "negative", "text"],
)
def test_a_hostile_analysis_is_left_out(toy, content):
    run = next(run for run in runs_of(toy) if run.arm == "b")
    toy.client.log_text(run.run_id, content, "analysis.json")
    assert confusion_figure("b", runs_of(toy), toy.client, toy.store.outputs) == []
