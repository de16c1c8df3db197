"""Labels of arms in figures: short, without the keys' names, and never the same."""

import dataclasses
import datetime

import pytest

from cifar_sweeps.studies.arms import arm_name
from cifar_sweeps.studies.reports.labels import ArmLabels, arm_labels
from cifar_sweeps.studies.study import StudyRun


def run(variant="", **swept):
    swept = {key.replace("__", "."): str(value) for key, value in swept.items()}
    name = arm_name(swept, "one setting") + (f" [{variant}]" if variant else "")
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    return StudyRun("id", name, "finished", swept, "", name, {}, {}, {}, now, 1.0, variant)


@pytest.mark.parametrize(
    ("runs", "title", "labels"),
    [
        ([run(kernel_size="k3"), run(kernel_size="k5")], "kernel_size", ["k3", "k5"]),
        (
            [run(optimizer__lr=0.1, model="a"), run(optimizer__lr=0.2, model="a"), run(optimizer__lr=0.1, model="b")],
            "lr / model",
            ["0.1 / a", "0.2 / a", "0.1 / b"],
        ),
        ([run(optimizer__lr=0.1, model="a"), run(optimizer__lr=0.2, model="a")], "lr", ["0.1", "0.2"]),
        (
            [run(experiment="lab/improvements/step"), run(experiment="lab/improvements/cosine")],
            "lab/improvements",
            ["step", "cosine"],
        ),
        ([run(experiment="lab/step"), run(experiment="base/step")], "experiment", ["lab/step", "base/step"]),
        (
            [run(model="a"), run(model="b"), run("optimizer.lr=2", model="b")],
            "model",
            ["a", "b", "b [optimizer.lr=2]"],
        ),
        ([run(model="a")], "", ["model=a"]),
        ([run(model="a"), run(seed=3)], "", ["model=a", "one setting"]),
    ],
    ids=["one key", "two keys", "one varies", "folder", "no folder", "variant", "single", "other keys"],
)
def test_labels_say_what_differs(runs, title, labels):
    found = arm_labels(runs)
    assert found.title == title
    assert [found.by_arm[each.arm] for each in runs] == labels


def test_values_that_differ_only_in_a_dropped_key_keep_their_names():
    same = run(model="a")
    other = dataclasses.replace(run(model="a"), arm="another name")
    found = arm_labels([same, other])
    assert found.by_arm == {"model=a": "model=a", "another name": "another name"}


def test_a_cut_never_makes_two_the_same():
    names = ["start-" + middle * 30 + "-end" for middle in "abc"] + ["short"]
    cut = ArmLabels("", dict(zip(names, names, strict=True))).cut(12)
    assert len(set(cut.values())) == 4
    assert cut["short"] == "short"
    assert all(label.startswith("start") and label.endswith("-end") for name, label in cut.items() if name != "short")
