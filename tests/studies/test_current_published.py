"""Published figures and assumptions are shown as the arms' files have them now, not as the runs recorded them."""

import copy

import pytest
import yaml
from made_runs import NOW, make_run

from cifar_sweeps.config.compose import compose
from cifar_sweeps.studies.current_claims import with_current_published
from cifar_sweeps.studies.study import SweepRun

ARM = "mine/arm"
FIGURE = {"metric": "val/accuracy", "value": 0.7, "epoch": 10, "where": "document 9"}


@pytest.fixture(scope="module")
def recorded():
    return {**compose(["budget=full"]).as_dict, "published": [FIGURE], "assumptions": ["assumed then"]}


@pytest.fixture
def current(tmp_path, recorded):
    (tmp_path / "experiment" / "mine").mkdir(parents=True)
    (tmp_path / "study").mkdir()

    def read(arm_file=None, study_file=None, overrides="study=mine", change=(), experiment=ARM):
        content = {"defaults": [{"override /model": "plain_3"}], **(arm_file or {})}
        if arm_file is not None:
            (tmp_path / "experiment" / f"{ARM}.yaml").write_text(yaml.safe_dump(content))
        (tmp_path / "study" / "mine.yaml").write_text(yaml.safe_dump({"study_name": "mine", **(study_file or {})}))
        run = make_run(ARM, swept={"experiment": experiment}, tags={"config_dir": str(tmp_path)})
        sweep = SweepRun("p", "s-1", overrides, NOW, str(tmp_path))
        configs, lines = with_current_published({ARM: {**copy.deepcopy(recorded), **dict(change)}}, [run], [sweep])
        return configs[ARM]["published"], configs[ARM]["assumptions"], lines

    return read


def test_an_unchanged_file_says_nothing_and_a_changed_one_names_its_arm(current):
    same = {"published": [{**FIGURE, "values": None}], "assumptions": ["assumed then"]}
    assert current(same)[1:] == (["assumed then"], [])
    published, assumptions, (line,) = current({"published": [{**FIGURE, "value": 0.8}], "assumptions": ["now"]})
    assert [entry["value"] for entry in published] == [0.8]
    assert assumptions == ["now"]
    assert line.endswith(f"changed since the sweep: {ARM}.")
    assert current({})[:2] == ([], [])  # taken out of the file


def test_a_study_s_own_figures_come_first_and_epochs_are_scaled_with_the_run(current, recorded):
    halved = {"trainer": {**recorded["trainer"], "epochs": 10}, "budget": {"name": "short", "full": {"epochs": 20}}}
    published, _, _ = current(
        {"published": [FIGURE], "assumptions": []}, {"published": [{**FIGURE, "value": 0.9}]}, change=halved
    )
    assert published == [{**FIGURE, "value": 0.9, "epoch": 5}]


def test_what_an_override_set_stays(current):
    published, assumptions, _ = current({"published": [], "assumptions": ["now"]}, overrides="study=mine published=[]")
    assert (published, assumptions) == ([FIGURE], ["now"])


@pytest.mark.parametrize("experiment", [ARM, "../experiment_of_another/arm"], ids=["gone", "outside its folder"])
def test_of_a_file_that_is_gone_what_was_recorded_is_shown_with_a_word(current, experiment, tmp_path):
    outside = tmp_path / "experiment_of_another"
    outside.mkdir()
    (outside / "arm.yaml").write_text(yaml.safe_dump({"published": [{**FIGURE, "value": 0.1}]}))
    published, assumptions, (line,) = current(experiment=experiment)
    assert (published, assumptions) == ([FIGURE], ["assumed then"])
    assert "as the files are gone" in line


def test_of_a_damaged_record_nothing_is_replaced(current):
    published, _, lines = current({"published": []}, change={"model": None})
    assert (published, lines) == ([FIGURE], [])
