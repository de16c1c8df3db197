"""What a report's tables and captions say: which arms were compared, which curves are dotted, whose seconds."""

import subprocess
import sys

import pytest
from studies.made_runs import make_run

from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.published import compare_with_published
from cifar_sweeps.studies.reports.claims_table import claims_table
from cifar_sweeps.studies.reports.comparison_plots import _spread
from cifar_sweeps.studies.reports.report_tables import published_tables
from cifar_sweeps.studies.reports.study_report import _curves_once, _figures, _otherwise
from cifar_sweeps.studies.validity.comparability import Departure
from cifar_sweeps.studies.verdicts import evaluate_claims

PLAIN = {"says": "A beats B", "where": "document 1", "metric": "val/accuracy", "arm": "lab/a", "expects": "higher"}


@pytest.mark.parametrize(
    ("claim", "tested"),
    [
        ({"against": "lab/b"}, "a: val/accuracy higher than b"),
        ({"against": "lab/a", "at": 10, "against_at": 2}, "a: val/accuracy at epoch 10 higher than at epoch 2"),
        ({"against": "lab/b", "at": 10}, "a: val/accuracy at epoch 10 higher than b at the end"),
        ({"than": 0.5, "at": 3, "expects": "lower"}, "a: val/accuracy at epoch 3 lower than 0.5"),
        ({"than": 0.0, "expects": "not_higher", "margin": 0.02}, "a: val/accuracy not higher by 0.02 than 0"),
        (
            {"against": "lab/a", "against_metric": "test/accuracy", "expects": "same"},
            "a: val/accuracy same ±0.01 as test/accuracy",
        ),
    ],
)
def test_a_claim_names_both_of_its_sides(claim, tested):
    table = claims_table(evaluate_claims(read_claims([{**PLAIN, **claim}]), [], {}))
    assert table.rows[0][[column.title for column in table.columns].index("tested")] == tested


def test_sides_of_other_keys_are_named_by_them():
    claim = {**PLAIN, "arm": {"trainer.parts": 1}, "against": {"trainer.parts": 4}}
    assert claims_table(evaluate_claims(read_claims([claim]), [], {})).rows[0][4] == (
        "trainer.parts=1: val/accuracy higher than trainer.parts=4"
    )


def test_seconds_of_two_machines_are_shown_and_not_subtracted():
    runs = [make_run("A", seed, seconds_an_epoch=20.0 + seed, val__accuracy=0.7) for seed in (0, 1)]
    published = [{"metric": "seconds_an_epoch", "value": 9, "where": "w"}]
    (table,) = published_tables(compare_with_published(runs, {}, {"A": {"published": published}}))
    assert table.rows == (("A", "seconds_an_epoch", "9", "20.5 ± 6.4", "2", "–", "–", "w"),)
    assert "two machines" in table.note


def figures(configs, histories=None):
    names = list(configs)
    runs = [make_run(name, 0, {"experiment": name}, val__accuracy=0.6, seconds_an_epoch=2.0) for name in names]
    curve = {"train/accuracy": {1: 0.4, 2: 0.5}, "val/accuracy": {1: 0.5, 2: 0.6}, "val/loss": {1: 1.2, 2: 1.0}}
    return {figure.title: figure.description for figure in _figures(names, runs, {f"{names[0]}-0": curve}, configs, {})}


def test_a_caption_says_what_is_dotted_and_whose_epochs_begin_later():
    curve = {"metric": "val/accuracy", "values": [0.5, 0.6], "where": "w"}
    found = figures({"lab/a": {"published": [curve]}, "lab/b": {"trainer": {"init_from": "lab/a"}}})
    assert "Dotted, with open markers: as published." in found["Validation accuracy by epoch"]
    assert "b starts from another arm's weights" in found["Validation accuracy by epoch"]
    assert "Dotted" not in found["Validation loss by epoch"]
    assert "Strokes: the seeds." in found["Final validation accuracy"]
    assert "only roughly" in found["Accuracy against cost"]
    plain = figures({"lab/a": {}, "lab/b": {}})
    assert "another arm" not in plain["Validation accuracy by epoch"] + plain["Validation loss by epoch"]


def test_a_published_curve_stands_once_beside_the_arm_trained_in_full():
    curve = {"published": [{"metric": "val/accuracy", "values": [0.5, 0.6], "where": "w"}]}
    runs = [make_run("a few", tags={"budget": "own: 50 of 100 training images"}), make_run("a all")]
    found = _curves_once(["a few", "a all"], runs, {"a few": curve, "a all": curve})
    assert found == {"a all": {"val/accuracy": {1: 0.5, 2: 0.6}}}
    assert list(_curves_once(["a few"], runs[:1], {"a few": curve})) == ["a few"]


def test_arms_that_depart_alike_share_one_line():
    parts, rate = Departure("trainer.parts", 4, 1), Departure("optimizer.lr", 0.1, 0.2)
    assert _otherwise({"a": [parts], "b": [rate], "c": [parts], "d": []}) == [
        "a, c: not trained as their files say: parts of the data 1 instead of 4.",
        "b: not trained as its file says: learning rate 0.2 instead of 0.1.",
    ]


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([0.9, 0.5, 0.2], [0.9, 0.5, 0.2]),
        ([0.9, 0.88, 0.5], [0.9, 0.8, 0.5]),
        ([0.02, 0.01, 0.0], [0.25, 0.15, 0.05]),
        ([1.0, 1.0], [0.95, 0.85]),
    ],
    ids=["as they are", "apart", "from the floor", "from the ceiling"],
)
def test_names_beside_a_figure_keep_their_order_and_their_distance(heights, expected):
    assert _spread(heights, 0.1) == pytest.approx(expected)


def test_results_and_reports_need_no_torch():
    modules = ", ".join(
        f"cifar_sweeps.studies.reports.{name}" for name in ("study_report", "terminal_tables", "results_tables")
    )
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
