"""The command and its page, and the section of a study's report, of recorded runs."""

import json
import re
import sys

import pandas as pd
import pytest
from studies.study_toys import ToyStore

from cifar_sweeps.cli import main as cli
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.importance import page
from cifar_sweeps.studies.importance.figures import trained_so_far
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.reports.study_report import write_report

MEANS = {("a", "0.1"): 0.3, ("a", "0.2"): 0.4, ("b", "0.1"): 0.5, ("b", "0.2"): 0.8}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A sweep of two keys by two seeds with a run that failed after an epoch, and one of a single key of two values."""
    toy = ToyStore(tmp_path_factory.mktemp("store"))
    grid = toy.sweep("mine", "grid", "model=a,b optimizer.lr=0.1,0.2 seed=0,1")
    for (model, lr), mean in MEANS.items():
        for seed in (0, 1):
            toy.run(
                "mine", mean + 0.02 * seed, swept={"model": model, "optimizer.lr": lr}, seed=seed, parent=grid,
                tags={"sweep_id": "grid"},
            )  # fmt: skip
    toy.run(
        "mine", 0.95, swept={"model": "b", "optimizer.lr": "0.2"}, seed=2, parent=grid, state="FAILED", epochs=1,
        tags={"sweep_id": "grid"},
    )  # fmt: skip
    single = toy.sweep("single", "one key")
    for model in "ab":
        toy.run("single", 0.5, swept={"model": model}, parent=single, tags={"sweep_id": "one key"})
    return toy


@pytest.fixture
def command(toy, monkeypatch, capsys):
    """Run `cifar-sweeps importance` in this process; return what it printed."""
    monkeypatch.setattr(cli, "prepare", lambda _report: None)
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(toy.store.outputs))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["cifar-sweeps", "importance", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, ended.value.code
        return capsys.readouterr().out

    return run


def test_the_command_prints_a_table_and_writes_a_page_and_a_file(command, toy):
    printed = command("grid")
    assert printed.startswith("mine: 8 runs of 4 arms, 2 seeds (0, 1).\nLeft out of 9 runs: 1 failed.\n")
    # Sums of squares 0.18, 0.08 and 0.02 (two runs a cell), and 4 · 0.0002 within: MS 0.0002 of 0.2808
    assert re.search(r"model +64\.0% +\d+\.\d% to \d+\.\d%", printed)
    places = ("Page: ", "Table: ")  # as long as the folder's name is
    assert max(len(line) for line in printed.splitlines()[:20] if not line.startswith(places)) <= 80
    written, table = (toy.store.outputs / "reports" / f"importance_grid.{end}" for end in ("html", "csv"))
    assert str(written) in printed
    html = written.read_text(encoding="utf-8")
    assert re.findall("<h3>(.*?)</h3>", html) == [
        "What mattered", "optimizer.lr against model", "Best so far against epochs", "Best so far against time",
    ]  # fmt: skip
    assert "cifar-sweeps importance grid" in html
    frame = pd.read_csv(table)
    assert frame["name"].tolist() == ["model", "optimizer.lr", "model × optimizer.lr", "seeds"]
    assert frame["value"].tolist() == pytest.approx([0.1798 / 0.281, 0.0798 / 0.281, 0.0198 / 0.281, 0.0016 / 0.281])


def test_files_of_another_metric_have_its_name(command, toy):
    printed = command("mine", "--metric", "test", "--sweep", "grid")
    assert "What mattered to test/accuracy" in printed
    html = (toy.store.outputs / "reports" / "importance_mine_grid_test_accuracy.html").read_text(encoding="utf-8")
    assert "cifar-sweeps importance mine --sweep grid --metric test/accuracy" in html


def test_json_and_csv_are_printed_alone(command):
    found = json.loads(command("grid", "--json"))
    assert (found["measure"], found["runs"], found["seeds"]) == ("omega squared", 8, [0, 1])
    assert found["means"]["means"] == [pytest.approx([0.31, 0.51]), pytest.approx([0.41, 0.81])]
    assert command("grid", "--csv").splitlines()[0].startswith("metric,measure,name,keys,value,low,high")


def test_hostile_names_and_values_are_shown_as_they_are(tmp_path):
    toy = ToyStore(tmp_path)
    parent = toy.sweep("hostile", "h")
    key, values = "model.<b>$x_{$", ("<script>alert(1)</script>", "$\\frac{$ [red]")
    for n, value in enumerate(values):
        for lr in "12":
            for seed in (0, 1):
                toy.run(
                    "hostile", 0.3 + 0.1 * n + 0.01 * seed, swept={key: value, "lr": lr}, seed=seed, parent=parent,
                    tags={"sweep_id": "h"},
                )  # fmt: skip
    written, _ = page.write_page(page.judge("h", toy.store), ["h"], toy.store)
    html = written.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "model.&lt;b&gt;$x_{$" in html


def test_an_epoch_is_judged_of_all_runs_that_reached_it(command, toy):
    printed = command("grid", "--epoch", "2", "--metric", "val")
    # At epoch 2 each run has 0.05 less than at its end: the same shares.
    assert re.search(r"What mattered to val/accuracy at epoch 2", printed)
    assert re.search(r"model +64\.0% ", printed)
    page = (toy.store.outputs / "reports" / "importance_grid_val_accuracy_epoch_2.html").read_text(encoding="utf-8")
    assert "cifar-sweeps importance grid --metric val/accuracy --epoch 2" in page


@pytest.mark.parametrize(
    ("metric", "message"),
    [("val", "val/accuracy at this epoch; it is recorded at epochs 1 to 3"), ("parameters", "no epoch, but for whole")],
)
def test_an_epoch_that_no_run_reached_is_refused(toy, metric, message):
    with pytest.raises(ConfigError, match=message):
        page.judge("grid", toy.store, metric=metric, epoch=7)


def test_the_best_so_far_counts_every_epoch_of_every_run(toy):
    curve = trained_so_far(find_runs("grid", toy.store).runs, "val/accuracy", toy.client)
    # Eight runs of three epochs of 9, 2 and 2 seconds, and one of a single epoch of 9.
    assert len(curve.epochs) == 25
    assert curve.seconds[-1] == pytest.approx(8 * 13 + 9)
    assert curve.best[-1] == pytest.approx(0.95)  # the failed run's: it was reached, too


def test_a_gap_is_followed_by_its_epochs(toy):
    curve = trained_so_far(find_runs("grid", toy.store).runs, "gap/accuracy", toy.client)
    assert curve.best[-1] == pytest.approx(0.1)


def test_a_study_s_report_has_the_section_where_it_says_something(toy, tmp_path):
    report = write_report("grid", tmp_path / "grid.html", toy.store)
    html = report.page.read_text(encoding="utf-8")
    assert "<h2>What mattered to best/val_accuracy</h2>" in html
    assert html.index("What mattered") < html.index("<h2>Figures</h2>")
    assert "Best so far against epochs" in html
    markdown = report.markdown.read_text(encoding="utf-8")
    assert "## What mattered to best/val\\_accuracy" in markdown or "## What mattered to best/val_accuracy" in markdown
    assert "| model | 64.0% |" in markdown
    single = write_report("single", tmp_path / "single.html", toy.store).page.read_text(encoding="utf-8")
    assert "What mattered" not in single


def test_a_report_says_why_the_keys_are_not_judged(toy, monkeypatch):
    def missing(*_arguments):
        raise ConfigError("Optuna is missing")

    monkeypatch.setattr(page, "find_importance", missing)
    assert page.report_section(find_runs("grid", toy.store), toy.store) == (
        None,
        "What mattered is left out: Optuna is missing.",
    )


def test_too_little_of_a_grid_still_shows_the_best_so_far(tmp_path):
    toy = ToyStore(tmp_path)
    parent = toy.sweep("cut", "cut short")
    for n, (model, lr, decay) in enumerate(["aaa", "aab", "aba", "baa", "abb", "bab", "bba", "bbb"]):
        stopped = {"early_stopped": "2"} if n > 2 else {}
        toy.run(
            "cut", 0.3 + 0.01 * n * n, swept={"model": model, "lr": lr, "decay": decay}, parent=parent,
            tags={"sweep_id": "cut short", **stopped},
        )  # fmt: skip
    judged = page.judge("cut short", toy.store, epoch=2)
    assert (judged.importance.runs, judged.importance.metric) == (8, "val/accuracy at epoch 2")
    section, warning = page.report_section(find_runs("cut short", toy.store), toy.store)
    assert warning == ""
    assert "3 of the 8 settings" in section.texts[0]
    assert "5 of all runs were stopped early; --epoch 2 judges all runs" in section.texts[0]
    assert [figure.title for figure in section.figures] == ["Best so far against epochs", "Best so far against time"]
