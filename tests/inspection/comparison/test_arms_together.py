"""Two sweeps arm by arm: whether each arm differs, alone and when all arms are judged together."""

from types import SimpleNamespace

import pytest

from cifar_sweeps.inspection.comparison import tables
from cifar_sweeps.inspection.comparison.answers import Answer
from cifar_sweeps.inspection.comparison.compare import FigureRow
from cifar_sweeps.studies.intervals import Estimate


def arm(name, differs, p):
    """Return what the tables read of a comparison: its names, its test accuracies and its answer."""
    verdict = {True: "Yes: A is better", False: "Not shown: these seeds", None: "Not known: one seed"}[differs]
    row = FigureRow("test/accuracy", Estimate(0.7, 0.01, 3), Estimate(0.6, 0.01, 3), Estimate(0.1, 0.02, 3), p)
    answer = Answer("settings", "", verdict, (), differs, {"p": p} if p is not None else {})
    return SimpleNamespace(first=SimpleNamespace(name=name), figures=(row,), classes=(), answer=answer)


def test_arms_that_differ_alone_need_not_differ_together():
    compared = [arm("a", True, 0.04), arm("b", True, 0.001), arm("c", False, 0.5), arm("d", None, None)]
    table = tables.arms_table(compared)
    assert [column.title for column in table.columns][-2:] == ["do they differ?", "together"]
    # Holm: 0.001 · 3, 0.04 · 2, 0.5
    assert [row[-2:] for row in table.rows] == [
        ("Yes", "Not shown"),
        ("Yes", "Yes"),
        ("Not shown", "Not shown"),
        ("Not known", "–"),
    ]
    assert "3 arms are judged here. 1 more cannot be judged, and do not count." in table.note
    assert tables.together(compared) == pytest.approx({0: 0.08, 1: 0.003, 2: 0.5})
    frame = tables.as_frame(compared)
    assert frame["p_together"].tolist()[:3] == pytest.approx([0.08, 0.003, 0.5])
    assert frame["p_together"].isna().tolist() == [False, False, False, True]


def test_a_single_judged_arm_is_judged_alone():
    table = tables.arms_table([arm("a", True, 0.04), arm("d", None, None)])
    assert "together" not in [column.title for column in table.columns]
    assert table.note == "Test accuracy."
