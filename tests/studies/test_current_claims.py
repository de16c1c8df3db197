"""Claims are judged as the study's file is now; reports of one's own sweeps do not speak of documents."""

import pytest
import yaml
from study_toys import ToyStore

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.reports.study_report import write_report

CLAIM = {"says": "l2 helps", "where": "here", "metric": "val/accuracy", "arm": {"l2": "1"}, "against": {"l2": "0"}}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return ToyStore(tmp_path_factory.mktemp("store"))


def record(toy, study, sweep_id, claims, overrides, config_dir=None, full=None):
    parent = toy.sweep(study, sweep_id, overrides)
    if config_dir is not None:
        toy.client.set_tag(parent, "cifar_sweeps.config_dir", str(config_dir))
    budget = {"full": {"epochs": full}} if full else {"full": None}
    config = {"claims": claims, "trainer": {"epochs": 3}, "budget": budget}
    for l2, val in (("1", 0.7), ("0", 0.5)):
        for seed in (0, 1):
            toy.run(
                study, val + seed / 100, swept={"l2": l2}, seed=seed, parent=parent, config=config,
                tags={"sweep_id": sweep_id},
            )  # fmt: skip


def study_file(folder, claims):
    (folder / "study").mkdir(exist_ok=True)
    (folder / "study" / "mine.yaml").write_text("# @package _global_\n" + yaml.safe_dump({"claims": claims}))


def verdicts(report):
    return [row[1] for row in report.claims.rows]


def test_a_claim_that_changed_since_is_judged_as_the_file_is_now(toy, tmp_path):
    recorded = [{**CLAIM, "expects": "lower"}]
    study_file(tmp_path, recorded)
    record(toy, "mine", "s-1", recorded, "study=mine seed=0,1", tmp_path)
    before = write_report("mine", tmp_path / "r.html", toy.store)
    assert verdicts(before) == ["contradicts"]
    assert not any("as " in line for line in before.warnings)
    study_file(tmp_path, [{**CLAIM, "expects": "higher"}, {**CLAIM, "expects": "higher", "metric": "test/accuracy"}])
    now = write_report("mine", tmp_path / "r.html", toy.store)
    assert verdicts(now) == ["agrees", "agrees"]
    (line,) = [line for line in now.warnings if "has changed since the sweep" in line]
    assert line in now.page.read_text()
    study_file(tmp_path, [])
    assert verdicts(write_report("mine", tmp_path / "r.html", toy.store)) == []
    (tmp_path / "study" / "mine.yaml").unlink()
    gone = write_report("mine", tmp_path / "r.html", toy.store)
    assert verdicts(gone) == ["contradicts"]
    assert any("The file of study=mine is gone" in line for line in gone.warnings)
    (tmp_path / "study" / "mine.yaml").write_text("claims: [")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        write_report("mine", tmp_path / "r.html", toy.store)


def test_the_epochs_of_a_claim_are_scaled_as_the_run_was(toy, tmp_path):
    study_file(tmp_path, [{**CLAIM, "expects": "higher", "at": 20, "against_at": 20, "than": None}])
    record(toy, "scaled", "s-2", [{**CLAIM, "expects": "higher", "at": 2, "against_at": 2}], "study=mine", tmp_path, 30)
    report = write_report("scaled", tmp_path / "r.html", toy.store)
    assert "at epoch 2 higher than l2=0 at epoch 2" in report.claims.rows[0][4]
    assert not any("has changed" in line for line in report.warnings)


def test_reports_of_own_sweeps_have_their_own_files_and_speak_of_no_documents(toy, tmp_path):
    record(toy, "own", "o-1", [], "l2=0,1 seed=0,1")
    record(toy, "own", "o-2", [], "l2=0,1 seed=2,3")
    reports = [write_report(what, None, toy.store) for what in ("o-1", "o-2", "own")]
    reports.append(write_report("own", None, toy.store, ["o-1", "o-2"]))
    assert len({report.page for report in reports}) == 4
    for report in reports:
        text = report.page.read_text() + report.markdown.read_text()
        assert "document" not in text.replace("<!DOCTYPE html>", "").lower()
        assert "published" not in text.lower()
        assert "claims" not in text.lower()
        assert "assumption" not in text.lower()
    assert len(find_runs("own", toy.store).runs) == 8
