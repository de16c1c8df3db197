"""Two runs, arms or sweeps beside each other: names, what differs, the question answered, and planted predictions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from inspection.comparison.planted_runs import DROPOUT, NONE, TEST_IMAGES, toy_explain, two_sweeps
from scipy import stats
from typer.testing import CliRunner

import cifar_sweeps
from cifar_sweeps.analysis.predictions import FILE
from cifar_sweeps.cli.main import app
from cifar_sweeps.errors import DataError, TrackingError
from cifar_sweeps.inspection.comparison.compare import compare
from cifar_sweeps.inspection.comparison.page import write_page
from cifar_sweeps.inspection.comparison.page_figures import images_section
from cifar_sweeps.inspection.comparison.sides import find_sides
from cifar_sweeps.inspection.explain.explanation import class_maps
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.tracking.store import Store


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return two_sweeps(tmp_path_factory.mktemp("planted") / "outputs")


@pytest.fixture
def cli(planted, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(planted.store.outputs))

    def run(*arguments, columns=80):
        done = CliRunner().invoke(app, ["compare", *arguments], env={"COLUMNS": str(columns)}, catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    return run


def accuracies(arm):
    return np.array([1 - (last - first) / TEST_IMAGES for first, last in arm])


# Names


@pytest.mark.parametrize(
    ("typed", "within", "name", "runs"),
    [
        ("arms:regularization=none", None, "regularization=none", 3),
        ("arms:none", None, "regularization=none", 3),
        ("toys:dropout", None, "regularization=dropout", 3),
        ("dropout", "arms", "regularization=dropout", 3),
        ("none seed=1", "arms", "none seed=1", 1),
        ("other_images", None, "regularization=none", 3),
        ("alone", None, "alone", 1),
    ],
)
def test_a_run_an_arm_or_a_sweep_is_found_by_its_name(planted, typed, within, name, runs):
    (side,) = find_sides(typed, planted.store, within)
    assert (side.name, len(side.runs)) == (name, runs)
    assert side.is_run == (runs == 1)


def test_a_run_is_found_by_the_beginning_of_its_id_and_an_arm_is_named_again(planted):
    (arm,) = find_sides("arms:dropout", planted.store)
    assert find_sides(arm.typed, planted.store) == [arm]
    (run,) = find_sides(arm.runs[1].run_id[:12], planted.store)
    assert run.runs[0].run_id == arm.runs[1].run_id
    assert arm.notes[0].startswith("1 of 4 runs left out, as not finished: ")


def test_a_sweep_has_its_arms(planted):
    assert [side.typed for side in find_sides("arms", planted.store)] == [
        "arms:regularization=none",
        "arms:regularization=dropout",
    ]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("alone", "alone", r"are the same run, \w{8}"),
        ("arms:none", "toys:none", r"are the same runs"),
        ("arms", "alone", r"arms: has 2 arms; name one of them: 'arms:regularization=none', 'arms:regularization=dr"),
        ("arms:regular", "alone", r"arms:regular: arms has no such arm.* it has regularization=none, regulariz"),
        ("nothing_so", "alone", r"nothing_so: no run or sweep has this id.*an arm is named SWEEP:ARM"),
        ("none seed=5", "none seed=0", None),
        ("arms:seed=3", "alone", r"no such arm"),
        ("dropout seed=3", "alone", r"dropout seed=3\): is failed, and cannot be compared; finish it: cifar-sweeps r"),
    ],
)
def test_a_bad_pair_is_one_error(planted, first, second, message):
    if message is None:
        assert len(compare(first, second, planted.store)) == 1
        return
    with pytest.raises(TrackingError, match=message) as caught:
        compare(first, second, planted.store)
    assert "\n" not in str(caught.value)


def test_a_name_that_several_have_is_one_error_with_each(planted):
    extra = planted.plant("single", range(3), seed=4, name="alone")
    try:
        with pytest.raises(TrackingError, match=rf"alone: 2 .* have this name: {extra[:8]} \(alone, .*\), \w{{8}}"):
            compare("alone", "none seed=0", planted.store)
    finally:
        planted.client.delete_run(extra)


def test_words_that_two_arms_have_are_one_error_with_both(planted):
    deep = planted.sweep("deep", "deep")
    for depth, kernel in ((2, "k3"), (3, "k3")):
        swept = {"depth": str(depth), "kernel_size": kernel}
        planted.plant("deep", range(3), swept=swept, parent=deep, tags={"sweep_id": "deep"})
    with pytest.raises(TrackingError, match=r"2 arms could be meant: depth=2 kernel_size=k3, depth=3 kernel_size=k3"):
        compare("deep:k3", "alone", planted.store)
    assert compare("deep:k3 3", "alone", planted.store)[0].first.name == "depth=3 kernel_size=k3"


def test_other_classes_are_one_error(planted):
    with pytest.raises(DataError, match=r"alone tells 10 classes, other classes 3"):
        compare("alone", "other classes", planted.store)


# Two nets


def test_two_runs_answer_whether_the_nets_differ(planted):
    (found,) = compare("none seed=0", "alone", planted.store)  # wrong: 0 to 9, and 5 to 11
    assert found.answer.kind == "nets"
    assert found.answer.question.startswith("Do these two nets differ?")
    figures = found.answer.figures
    assert [figures[key] for key in ("images", "both_right", "only_a_right", "only_b_right", "neither_right")] == [
        *(60, 48, 2, 5, 5)
    ]
    assert figures["p"] == pytest.approx(stats.binomtest(2, 7).pvalue)
    assert figures["difference"] == pytest.approx(-3 / 60)
    assert figures["low"] < -3 / 60 < figures["high"]
    assert found.answer.differs is False
    assert found.images.first_only.tolist() == [10, 11]  # the surest first
    assert found.images.second_only.tolist() == [0, 1, 2, 3, 4]
    assert any("says nothing about the settings" in line for line in found.answer.details)
    assert found.differences.text == "Nothing: the same setting, trained again with the same seeds."


def test_a_decided_difference_of_nets_says_which_is_better(planted):
    (found,) = compare("none seed=0", "dropout seed=2", planted.store)
    assert found.answer.differs is True
    assert found.answer.verdict.startswith("Yes: A is right more often: only A is right on 16 images, only B on 0")
    assert found.answer.figures["p"] == pytest.approx(2 * 0.5**16)


# Two settings


def test_two_arms_answer_whether_the_settings_differ(planted):
    (found,) = compare("none", "dropout", planted.store, within="arms")
    assert found.answer.kind == "settings"
    wanted = stats.ttest_rel(accuracies(NONE), accuracies(DROPOUT))
    figures = found.answer.figures
    assert figures["test"] == "t, paired"
    assert figures["p"] == pytest.approx(wanted.pvalue)
    assert figures["difference"] + figures["half_width"] == pytest.approx(wanted.confidence_interval().high)
    right = [[np.ones(TEST_IMAGES) for _ in range(3)] for _ in range(2)]
    for side, arm in enumerate((NONE, DROPOUT)):
        for seed, (first, last) in enumerate(arm):
            right[side][seed][first:last] = 0
    apart = np.mean(right[0], axis=0) - np.mean(right[1], axis=0)
    assert figures["images_half_width"] == pytest.approx(1.959964 * apart.std(ddof=1) / TEST_IMAGES**0.5, rel=1e-6)
    assert any("arXiv 2304.01910" in line for line in found.answer.details)
    assert found.images.second_only.tolist() == []
    # In most of the runs: A has the first twelve wrong, B the first 24.
    assert set(found.images.first_only) == set(range(12, 24))
    assert "B: 1 of 4 runs left out" in found.notes[0]


def test_arms_without_common_seeds_are_two_samples(planted):
    (found,) = compare("arms:none", "other_images", planted.store)
    wanted = stats.ttest_ind(accuracies(NONE), 1 - np.array([35, 36, 37]) / 80, equal_var=False)
    assert found.answer.figures["test"] == "t, welch"
    assert found.answer.figures["p"] == pytest.approx(wanted.pvalue)
    assert any("Welch" in line for line in found.answer.details)


def test_a_run_beside_an_arm_answers_neither_question(planted):
    (found,) = compare("alone", "arms:none", planted.store)
    values = accuracies(NONE)
    half = stats.t.ppf(0.975, 2) * values.std(ddof=1) * (1 + 1 / 3) ** 0.5
    assert found.answer.kind == "neither"
    assert found.answer.figures["half_width"] == pytest.approx(half)
    assert found.answer.figures["difference"] == pytest.approx(1 - 7 / 60 - values.mean())
    assert found.answer.verdict.startswith("It may be: it lies within")


def test_a_run_of_the_arm_is_left_out_of_it(planted):
    (found,) = compare("none seed=0", "arms:none", planted.store)
    assert [run.seed for run in found.second.runs] == [1, 2]
    assert "B: the run that it is compared with is left out of it." in found.notes


# What differs


def test_what_differs_is_named_with_its_unit(planted):
    (found,) = compare("arms:none", "arms:dropout", planted.store)
    rows = {each.name: (each.first, each.second, each.unit) for each in found.differences.values}
    assert rows == {
        "dropout after blocks": ("0.0", "0.25", "of the activations"),
        "dropout in the head": ("0.0", "0.5", "of the activations"),
    }
    assert found.warnings == ()


def test_only_the_seed_may_differ(planted):
    (found,) = compare("none seed=0", "none seed=2", planted.store)
    assert found.differences.text == "Nothing but the seed (0 and 2)."


def test_length_and_images_come_first_and_the_test_set_as_validation_is_said(planted):
    (found,) = compare("on test", "dropout seed=0", planted.store)
    assert [each.name for each in found.differences.values][:2] == ["epochs", "split"]
    assert found.warnings[0].startswith("NOT THE SAME TRAINING: epochs differ")
    assert found.warnings[1].startswith("VALIDATED ON THE TEST SET: A (data.split=test)")


# Which images


def test_on_other_test_images_figures_are_compared_and_no_image(planted):
    (found,) = compare("none seed=5", "none seed=0", planted.store)
    assert found.images is None
    assert "Images are not compared one by one: they were tested on other images." in found.notes
    difference = found.answer.figures["difference"]
    assert difference == pytest.approx((1 - 35 / 80) - (1 - 10 / 60))
    errors = [1.96 * (p * (1 - p) / n) ** 0.5 for p, n in ((45 / 80, 80), (50 / 60, 60))]
    assert found.answer.figures["high"] - difference == pytest.approx((errors[0] ** 2 + errors[1] ** 2) ** 0.5)
    assert {row.name for row in found.classes} != set()


def test_the_same_test_images_of_other_data_are_recognized(planted):
    (found,) = compare("alone", "more images", planted.store)
    assert "Their data sets are others, but the test images are the same, pixel by pixel." in found.notes
    assert found.images.second_only.tolist() == list(range(5, 12))
    assert [each.name for each in found.differences.values] == ["images (fingerprint)", "training images"]


def test_two_sweeps_are_compared_arm_by_arm(planted, request):
    twice = planted.sweep("twice", "twice")
    for seed, (first, last) in enumerate(NONE):
        for arm, more in (("none", 6), ("dropout", 0)):
            planted.plant(
                "twice", range(first, last + more), f"regularization={arm}", "optimizer.lr=0.01", seed=seed,
                swept={"regularization": arm}, parent=twice, tags={"sweep_id": "twice"},
            )  # fmt: skip
    request.addfinalizer(lambda: delete_sweep(planted, "twice"))
    found = compare("arms", "twice", planted.store)
    assert [each.first.name for each in found] == ["regularization=none", "regularization=dropout"]
    wanted = stats.ttest_rel(accuracies(DROPOUT), accuracies(NONE))
    assert found[1].answer.figures["p"] == pytest.approx(wanted.pvalue)
    assert found[0].answer.figures["difference"] == pytest.approx(6 / 60)
    assert found[0].differences.text == "Learning rate."
    page = write_page(found, ["arms", "twice"], planted.store.outputs).read_text(encoding="utf-8")
    assert page.count("<h2>regularization=") == 2


def delete_sweep(planted, sweep_id):
    """Names of its runs are then again those of others alone."""
    experiment = planted.store.prepare(sweep_id)
    for run_id in planted.store.sweep_runs(experiment, sweep_id):
        planted.client.delete_run(run_id)


def test_predictions_that_were_not_recorded_are_made_or_missed(tmp_path):
    tiny = ["data.source.train_images=200", "data.source.test_images=60", "trainer.epochs=1", "trainer.threads=1"]
    tiny += [
        "analysis.pictures=false",
        "analysis.log_model=false",
        f"outputs={tmp_path}",
        "model.blocks=[{filters: [8]}]",
        "model.dense=[8]",
    ]
    first, second = (
        cifar_sweeps.run(cifar_sweeps.compose([*tiny, f"seed={seed}"]), name=f"seed {seed}", progress=False)
        for seed in (0, 1)
    )
    store = Store.open(tmp_path)
    recorded = compare("seed 0", "seed 1", store)[0]
    assert recorded.notes == ()
    run = recorded.predictions.shown.runs[1]
    maps = class_maps(run, run.images.test.images[:3], torch.tensor([0, 1, 2]))
    assert maps.shape == (3, 16, 16)  # behind the only convolution's pool and activation
    assert set(maps.amax(dim=(1, 2)).tolist()) <= {0.0, 1.0}
    assert maps.min() >= 0
    (first.folder / FILE).unlink()
    for copy in (tmp_path / "artifacts").rglob(FILE):
        if first.run_id in str(copy):
            copy.unlink()
    made = compare("seed 0", "seed 1", store)[0]
    assert made.notes == (f"A: {first.run_id[:8]} recorded no test predictions: made now from the checkpoint.",)
    assert made.answer.figures == recorded.answer.figures
    for weights in tmp_path.rglob("*.pt"):
        weights.unlink()
    without = compare("seed 0", "seed 1", store)[0]
    assert without.images is None
    assert "A: test predictions of all of its runs are not to be had" in without.notes[0]
    assert without.answer.figures["difference"] == pytest.approx(recorded.answer.figures["difference"])
    by_name = {(row.metric, row.name): row.difference for row in recorded.classes}
    assert {(row.metric, row.name): row.difference for row in without.classes} == pytest.approx(by_name)
    assert second.run_id not in without.notes[0]


# What is shown


@pytest.mark.parametrize("columns", [80, 120])
def test_the_terminal_shows_all_and_breaks_no_line(cli, columns, planted, monkeypatch):
    if columns == 120:  # the page is the same
        monkeypatch.setattr("cifar_sweeps.inspection.comparison.page.write_page", lambda *_: "written")
    shown = cli("arms:none", "arms:dropout", columns=columns)
    lines = [line.rstrip() for line in shown.splitlines() if not line.startswith("Page: ")]
    assert max(map(len, lines)) <= columns
    for part in ("Do these two settings differ?", "What differs", "Figures", "By class", "only A is right 12"):
        assert part in shown.replace("\n", " ")
    assert ("precision A" in shown) == (columns == 120)
    page = Path(shown.splitlines()[-1].removeprefix("Page: "))
    if columns == 80:
        assert page.parent == planted.store.outputs / "reports"
        assert page.name.startswith("compare_arms_none_arms_dropout")
        # Planted runs have no weights.
        assert "Without maps of what mattered to both nets: TrackingError" in page.read_text(encoding="utf-8")


def test_json_and_csv_have_the_figures(cli):
    everything = json.loads(cli("--in", "arms", "none", "dropout", "--json"))
    assert everything["question"] == "settings"
    assert everything["a"]["seeds"] == [0, 1, 2]
    assert everything["config"][0]["key"] == "model.conv_dropout"
    table = pd.read_csv(pd.io.common.StringIO(cli("--in", "arms", "none", "dropout", "--csv")))
    (row,) = table[table.figure == "test/accuracy"].to_dict("records")
    assert row["a"] == pytest.approx(accuracies(NONE).mean())
    assert row["difference"] == pytest.approx(everything["numbers"]["difference"])
    assert set(table[table.figure == "test/recall"]["class"]) == {
        each["class"] for each in everything["figures"] if each["class"]
    }


def test_maps_of_both_nets_stand_beside_the_images(planted):
    (found,) = compare("none seed=0", "dropout seed=2", planted.store)
    asked = []

    def explain(run, images, classes):
        asked.append((run.record.name, classes.tolist()))
        return toy_explain(run, images, classes)

    section = images_section(found, explain)
    labels = open_trained_run(found.first.runs[0].run_id, planted.store).predictions.labels
    chosen = found.images.first_only[:6]
    # Each net is asked about its own prediction: the one is right, the other takes the next class.
    assert asked == [
        ("none seed=0", labels[chosen].tolist()),
        ("dropout seed=2", ((labels[chosen] + 1) % 10).tolist()),
    ]
    (figure,) = section.figures
    assert (figure.title, "Grad-CAM" in figure.description) == ("Only A is right", True)


def test_a_page_without_images_at_hand_says_so(planted):
    (found,) = compare("none seed=0", "alone", planted.store)
    shown = found.predictions.shown
    other = replace(shown.records[0], tags={**shown.records[0].tags, "cifar_sweeps.data_fingerprint": "0" * 16})
    gone = replace(shown, records=(other, shown.records[1]))
    without = replace(found, predictions=replace(found.predictions, shown=gone))
    section = images_section(without, None)
    assert section.figures == []
    assert section.texts[0].startswith("The pictures are left out, as the images are not at hand: DataError")
    assert [table.title for table in section.tables] == ["", "The surest of them"]
