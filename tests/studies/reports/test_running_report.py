"""The report of a sweep that still trains, and one that is watched."""

import re

import pytest
from study_toys import ToyStore
from typer.testing import CliRunner

import cifar_sweeps.cli.studies
from cifar_sweeps.cli.main import app
from cifar_sweeps.studies.reports.study_report import write_report


@pytest.fixture
def toy(tmp_path):
    toy = ToyStore(tmp_path / "outputs")
    toy.parent = toy.sweep("live", "l-1")
    tags = {"sweep_id": "l-1"}
    toy.run("live", 0.6, swept={"model": "a"}, parent=toy.parent, tags=tags)
    toy.open = toy.run(
        "live", 0.5, swept={"model": "b"}, parent=toy.parent, tags=tags, state="RUNNING", epochs=2,
        params={"trainer.epochs": "7"},
    )  # fmt: skip
    return toy


def test_a_running_sweep_shows_what_there_is(toy, tmp_path):
    written = write_report("live", tmp_path / "r.html", toy.store)
    page = written.page.read_text()
    assert written.is_running
    assert re.findall("<h2>(.*?)</h2>", page)[:2] == ["Still training", "Arms by final validation accuracy"]
    assert "2 of 7" in page
    assert "Runs that did not finish" not in page
    assert "http-equiv" not in page


def test_a_watched_report_is_written_until_all_has_ended(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(toy.store.outputs))
    page, seen = tmp_path / "r.html", []

    def sleep(_seconds):
        seen.append(page.read_text())
        if len(seen) == 2:
            toy.client.set_terminated(toy.open, "FINISHED")

    monkeypatch.setattr("time.sleep", sleep)
    done = CliRunner().invoke(app, ["report", "live", "--watch", "--out", str(page)], catch_exceptions=False)
    assert done.exit_code == 0
    assert len(seen) == 2
    seconds = cifar_sweeps.cli.studies._WATCH_SECONDS
    assert all(f'<meta http-equiv="refresh" content="{seconds}">' in text for text in seen)
    assert "http-equiv" not in page.read_text()
    assert "Still training" not in page.read_text()


def test_an_interrupt_leaves_a_page_at_rest(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(toy.store.outputs))

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    page = tmp_path / "r.html"
    done = CliRunner().invoke(app, ["report", "live", "--watch", "--out", str(page)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "http-equiv" not in page.read_text()
    assert "Still training" in page.read_text()
