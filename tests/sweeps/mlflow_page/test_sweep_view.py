"""The saved view of a sweep, decoded as MLflow's page does it."""

import base64
import json
import zlib

import pytest
from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH

from cifar_sweeps.sweeps.manifest import SweepManifest
from cifar_sweeps.sweeps.mlflow_page import view
from cifar_sweeps.sweeps.mlflow_page.view import sweep_page, sweep_view
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.tracking.ui import saved_view

STARTED = 1_790_000_000_000


def manifest(*swept, sweep_id="2026-11-26_12-00-00-000001"):
    return SweepManifest(sweep_id, "study", swept, "digits", ("-m",), "/here")


def run(job=0, failure="", **metrics):
    tags = {"cifar_sweeps.job": str(job)} | ({"cifar_sweeps.failure": failure} if failure else {})
    named = {key.replace("__", "/"): value for key, value in metrics.items()}
    return RecordedRun(f"id{job}", f"lr={job}", "FAILED" if failure else "FINISHED", named, tags)


TRAINED = [
    run(
        job,
        val__accuracy=0.4,
        train__accuracy=0.5,
        lr=0.1,
        best__val_accuracy=0.5,
        final__val_accuracy=0.4,
        test__accuracy=0.45,
        test__f1__cat=0.3,
        test__recall__cat=0.2,
        model__parameters=9.0,
        seconds_an_epoch=1.0,
    )
    for job in range(2)
]


def decoded(tags):
    """Return a view's key, its envelope and its state, without the code that wrote them."""
    ((key, value),) = tags.items()
    envelope = json.loads(value)
    kind, _, packed = envelope["state"].partition(";")
    assert kind == "deflate"
    return key, envelope, json.loads(zlib.decompress(base64.b64decode(packed)))


def cards(state, section):
    """Return the cards of a section by its name, in their order."""
    (uuid,) = [each["uuid"] for each in state["compareRunSections"] if each["name"] == section]
    return [each for each in state["compareRunCharts"] if each["metricSectionId"] == uuid]


def test_the_envelope_is_what_the_page_lists():
    key, envelope, state = decoded(sweep_view(manifest("optimizer.lr", "seed"), STARTED, 2))
    assert key == "mlflow.sharedViewState.sweep-2026-11-26_12-00-00-000001"
    assert envelope["createdAt"] == STARTED
    assert envelope["updatedAt"] > STARTED
    assert envelope["name"].endswith(" lr × seed")
    assert saved_view.decode(json.dumps(envelope)) == (envelope["name"], state)


def test_a_later_launch_replaces_the_view():
    first = sweep_view(manifest("optimizer.lr"), STARTED, 2)
    later = sweep_view(manifest("optimizer.lr"), STARTED, 4, TRAINED)
    assert first.keys() == later.keys()
    assert decoded(first)[1]["createdAt"] == decoded(later)[1]["createdAt"]


def test_columns_order_and_filter():
    _, _, state = decoded(sweep_view(manifest("seed", "optimizer.lr", "regularization"), STARTED, 2, TRAINED))
    assert state["selectedColumns"] == [
        "params.`swept/optimizer.lr`",
        "params.`swept/regularization`",
        "params.`swept/seed`",
        "metrics.`best/val_accuracy`",
        "metrics.`final/val_accuracy`",
        "metrics.`test/accuracy`",
    ]
    assert state["columnOrder"] == [*state["selectedColumns"], "duration"]
    assert set(state["columnWidths"]) == set(state["columnOrder"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`best/val_accuracy`", False)
    assert state["searchFilter"] == "tags.`cifar_sweeps.sweep_id` = '2026-11-26_12-00-00-000001'"


def test_why_a_run_failed_is_a_column_only_where_one_has():
    assert "tags.`cifar_sweeps.failure`" not in decoded(sweep_view(manifest("a"), 1, 2, TRAINED))[2]["selectedColumns"]
    failed = decoded(sweep_view(manifest("a"), 1, 2, [*TRAINED, run(2, "out of memory")]))[2]
    assert failed["selectedColumns"][-1] == "tags.`cifar_sweeps.failure`"


@pytest.mark.parametrize(
    ("swept", "kind", "axes"),
    [
        (["optimizer.lr"], "SCATTER", ["swept/optimizer.lr"]),
        (["optimizer.lr", "seed"], "SCATTER", ["swept/optimizer.lr"]),
        (["seed"], "SCATTER", ["swept/seed"]),
        (["seed", "model", "data"], "PARALLEL", ["swept/model", "swept/data"]),
        ([f"k{number}" for number in range(12)], "PARALLEL", [f"swept/k{number}" for number in range(8)]),
    ],
    ids=["one", "one and seeds", "seeds", "two and seeds", "twelve"],
)
def test_accuracy_against_what_was_swept(swept, kind, axes):
    state = decoded(sweep_view(manifest(*swept), STARTED, 2, TRAINED))[2]
    by_epoch, both, against, losses = cards(state, "This sweep")
    assert [by_epoch["type"], both["type"], losses["type"]] == ["LINE"] * 3
    assert by_epoch["selectedMetricKeys"] == ["val/accuracy"]
    assert both["selectedMetricKeys"] == ["train/accuracy", "val/accuracy"]
    assert losses["selectedMetricKeys"] == ["train/loss", "val/loss"]
    assert against["type"] == kind
    shown = [against["xaxis"]["key"]] if kind == "SCATTER" else against["selectedParams"]
    assert shown == axes
    measured = [against["yaxis"]["key"]] if kind == "SCATTER" else against["selectedMetrics"]
    assert measured == ["best/val_accuracy"]


def test_single_values_are_bars_in_closed_sections_behind_the_charts():
    state = decoded(sweep_view(manifest("optimizer.lr"), STARTED, 2, TRAINED))[2]
    assert state["isAccordionReordered"]
    assert [each["name"] for each in state["compareRunSections"] if each["display"]] == ["This sweep"]
    assert state["compareRunSections"][0]["name"] == "This sweep"
    bars = {card["metricKey"]: card["type"] for card in state["compareRunCharts"][4:]}
    assert bars == dict.fromkeys(
        [
            *("best/val_accuracy", "final/val_accuracy", "test/accuracy", "model/parameters"),
            *("test/f1/cat", "test/recall/cat"),
        ],
        "BAR",
    )
    assert [card["metricKey"] for card in cards(state, "test/f1")] == ["test/f1/cat"]
    uuids = [card["uuid"] for card in state["compareRunCharts"]]
    assert len(set(uuids)) == len(uuids)


def test_without_validation_the_test_accuracy_is_what_counts():
    tested = [run(0, test__accuracy=0.5, train__accuracy=0.4)]
    state = decoded(sweep_view(manifest("optimizer.lr"), STARTED, 1, tested))[2]
    assert state["orderByKey"] == "metrics.`test/accuracy`"
    assert cards(state, "This sweep")[2]["yaxis"]["key"] == "test/accuracy"


def test_a_view_that_is_too_long_loses_single_values_first_and_then_keys(monkeypatch):
    classes = [f"test/recall/{number}-{number * 7919 % 10007:x}" for number in range(3000)]
    many = [RecordedRun("id", "a", "FINISHED", {**TRAINED[0].metrics, **dict.fromkeys(classes, 0.5)}, {})]
    tags = sweep_view(manifest("optimizer.lr", "seed"), STARTED, 1, many)
    assert len(next(iter(tags.values()))) <= MAX_EXPERIMENT_TAG_VAL_LENGTH == saved_view.MAX_LENGTH
    state = decoded(tags)[2]
    assert len(state["compareRunCharts"]) == 4
    assert state["selectedColumns"][:2] == ["params.`swept/optimizer.lr`", "params.`swept/seed`"]
    keys = [f"model.{number}.{number * 7919 % 10007:x}" for number in range(3000)]
    tags = sweep_view(manifest(*keys), STARTED, 1, TRAINED)
    assert len(next(iter(tags.values()))) <= saved_view.MAX_LENGTH
    shown = [each for each in decoded(tags)[2]["selectedColumns"] if each.startswith("params.")]
    assert shown == [f"params.`swept/{key}`" for key in keys[: len(shown)]]
    assert len(shown) > 100


@pytest.mark.parametrize(("jobs", "mode"), [(40, "SHOW_ALL"), (41, "FIRST_20_RUNS")])
def test_charts_of_many_jobs_show_the_best(jobs, mode):
    assert decoded(sweep_view(manifest("a"), STARTED, jobs))[2]["runsHiddenMode"] == mode


def test_odd_names_of_sweeps():
    key, _, state = decoded(sweep_view(manifest("a", sweep_id="it's {mine}"), STARTED, 1))
    assert key.startswith("mlflow.sharedViewState.sweep-it_s _mine_")
    assert state["searchFilter"] == 'tags.`cifar_sweeps.sweep_id` = "it\'s {mine}"'
    assert key.removeprefix("mlflow.sharedViewState.").replace(" ", "%20") in sweep_page("3", "it's {mine}")


def test_an_older_page_is_given_the_filter_itself(monkeypatch):
    monkeypatch.setattr(view, "version", lambda _package: "3.16.1")
    assert "viewStateShareKey" not in sweep_page("3", "one")
    assert sweep_page("3", "one").endswith("&searchFilter=tags.%60cifar_sweeps.sweep_id%60%20%3D%20%27one%27")
    monkeypatch.setattr(view, "version", lambda _package: "3.17.0")
    assert sweep_page("3", "one") == (
        "#/experiments/3/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey=sweep-one"
    )
