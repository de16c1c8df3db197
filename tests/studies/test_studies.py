"""Results and reports of a recorded study."""

import io
import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from study_toys import SHORT, ToyStore, regularization
from typer.testing import CliRunner

from cifar_sweeps.cli.main import app
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.studies import results
from cifar_sweeps.studies.histories import read_histories
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.reports.study_report import attach_report, write_report


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    toy = ToyStore(tmp_path_factory.mktemp("store"))
    toy.parent_run_id = regularization(toy)
    return toy


@pytest.fixture
def cli(toy, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(toy.store.outputs))

    def run(*arguments, columns=80):
        return CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)}, catch_exceptions=False)

    return run


def test_one_row_per_run(toy):
    table = results.load_results("new", toy.store)
    assert len(table) == 10
    row = table[(table.arm == "lenet_report/dropout") & (table.seed == 1)].iloc[0]
    assert row["experiment"] == "lenet_report/dropout"
    assert row["val/accuracy"] == pytest.approx(0.73)
    assert row["gap/accuracy"] == pytest.approx(0.1)
    assert row["gap/loss"] == pytest.approx(0.2)
    assert row["seconds_an_epoch"] == 2.0  # the median; the first epoch took 9
    assert (row["parameters"], row["budget"], row["state"]) == (1_668_906, "full", "finished")
    (failed,) = table[table.state == "failed"].to_dict("records")
    assert failed["failure"] == "out | of\nmemory"
    assert pd.isna(failed["test/accuracy"])


def test_a_study_has_the_runs_of_all_sweeps_and_a_parent_run_those_of_its_sweep(toy):
    assert len(results.load_results("regularization", toy.store)) == 11
    assert len(results.load_results(toy.parent_run_id, toy.store)) == 10


def test_one_row_per_epoch(toy):
    table = results.load_history("new", toy.store)
    assert len(table) == 9 * 3 + 1
    own = table[(table.arm == "lenet_report/l2") & (table.seed == 0)]
    assert list(own.epoch) == [1, 2, 3]
    assert list(own["val/accuracy"]) == pytest.approx([0.5, 0.55, 0.6])


def test_a_server_without_a_bulk_query_gives_the_same_histories(toy):
    run_ids = [run.run_id for run in find_runs("new", toy.store).runs]
    client = toy.client

    class Server:
        get_metric_history = staticmethod(client.get_metric_history)

    metrics = ["val/loss", "epoch_seconds"]
    assert read_histories(Server(), run_ids, metrics) == read_histories(client, run_ids, metrics)


def test_an_unknown_name_is_an_error_with_the_existing_names(toy):
    with pytest.raises(TrackingError, match=r"nothing_so.*new .*, old .*studies: regularization"):
        results.load_results("nothing_so", toy.store)
    toy.sweep("empty", "empty-1")
    with pytest.raises(TrackingError, match="no run has been recorded"):
        results.load_results("empty", toy.store)


def test_csv_and_json_parse_back(cli):
    table = pd.read_csv(io.StringIO(cli("results", "new", "--csv").stdout))
    rows = json.loads(cli("results", "new", "--json").stdout)
    assert len(table) == len(rows) == 10
    assert list(table["val/accuracy"]) == pytest.approx([row["val/accuracy"] for row in rows])
    epochs = pd.read_csv(io.StringIO(cli("results", "new", "--csv", "--epochs").stdout))
    assert len(epochs) == 28
    assert cli("results", "new", "--csv", "--json").exit_code == 2


def test_json_has_whole_floats_as_integers_other_floats_unchanged_and_null_for_missing_values():
    row = {"name": "a", "parameters": 276_138.0, "duration": 12.5, "val/accuracy": 0.71, "test/accuracy": float("nan")}
    (read,) = json.loads(results.as_json(pd.DataFrame([row])))
    assert read == {**row, "test/accuracy": None}
    assert isinstance(read["parameters"], int)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(cli, columns):
    for arguments in (("results", "new"), ("results", "new", "--epochs"), ("report", "regularization")):
        lines = [line for line in cli(*arguments, columns=columns).stdout.splitlines() if " /" not in line]
        assert max(map(len, lines)) <= columns
        assert any("lenet_report/dropout" in line for line in lines)


def test_the_report_of_the_newest_sweep(toy, tmp_path):
    written = write_report("regularization", tmp_path / "r.html", toy.store)
    page, text = written.page.read_text(), written.markdown.read_text()
    assert "10 runs of 3 arms with 4 seeds (0, 1, 2, 3): 9 finished, 1 failed." in page
    assert written.claims.rows[0][:4] == ("Dropout beats L2", "agrees", "+0.1033 ± 0.0143", "3")
    assert [row[0] for row in written.ranking.rows] == [
        "lenet_report/both (validated on the test set)",
        "lenet_report/dropout",
        "lenet_report/l2",
    ]
    assert "0.7133 ± 0.0379" in page
    assert "1 of 3 arms (lenet_report/both) was validated on the test set" in page
    assert "| lenet_report/dropout | val/accuracy at epoch 2 | 0.6500 | 0.6633 ± 0.0379 | 3 | +0.0133 |" in text
    assert r"out \| of memory" in text
    assert "1 (6 runs); 2 (3 runs) <strong>(the runs differ)</strong>" in page
    assert "cifar-train -m experiment=a,b seed=0,1,2" in text
    assert len(pd.read_csv(written.table)) == 10
    assert page.count("data:image/svg+xml;base64,") == 7
    assert not re.search(r"https?://|<script|<link|url\(", page)


def test_sweeps_merge_and_a_repeated_seed_counts_once(toy, tmp_path):
    for sweep_id, seeds in (("m-1", (0, 1)), ("m-2", (1, 2))):
        parent = toy.sweep("merged", sweep_id)
        for seed in seeds:
            toy.run("merged", 0.6, swept={"experiment": "a"}, seed=seed, parent=parent, tags={"sweep_id": sweep_id})
    newest = write_report("merged", tmp_path / "m.html", toy.store)
    both = write_report("merged", tmp_path / "m.html", toy.store, ["m-1", "m-2"])
    assert [row[1] for row in newest.ranking.rows + both.ranking.rows] == ["2", "3"]
    assert "1 finished run repeated" in both.page.read_text()
    with pytest.raises(TrackingError, match=r"m-3.*m-2, m-1"):
        write_report("merged", tmp_path / "m.html", toy.store, ["m-3"])


def test_user_text_is_escaped_and_a_short_budget_is_a_warning(toy, tmp_path):
    arm, parent = "<script>alert(1)</script> | $x^2$", toy.sweep("hostile", "h-1", "'<b>'")
    published = [{"metric": "val/accuracy", "value": 0.7, "where": "<img src=x> | p"}]
    for seed in (0, 1):
        toy.run(
            "hostile", 0.6, swept={"experiment": arm}, seed=seed, parent=parent,
            tags={"sweep_id": "h-1", "budget": SHORT}, config={"published": published, "assumptions": ["<i>"]},
        )  # fmt: skip
    written = write_report("hostile", tmp_path / "h.html", toy.store)
    page, text = written.page.read_text(), written.markdown.read_text()
    for hostile in ("<script", "<img src=x", "<i>", "<b>"):
        assert hostile not in page
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("| &lt;script")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9, 11}
    assert "NOT THE FULL TRAINING: budget short: 3 of 35 epochs" in page
    assert text.index("**NOT THE FULL TRAINING") < text.index("2 runs of 1 arm")


def test_a_single_run_that_failed_has_a_report(toy, tmp_path):
    toy.run("crashed", 0.6, swept={"experiment": "a"}, state="FAILED")
    page = write_report("crashed", tmp_path / "c.html", toy.store).page.read_text()
    assert "No run has finished." in page
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Runs that did not finish",
        "Arms by final validation accuracy",
        "Environment",
        "Reproduce",
    ]


def test_the_report_is_an_artifact_of_the_parent_run(toy, tmp_path):
    attach_report(toy.store, toy.parent_run_id, "regularization", "new", tmp_path)
    artifacts = {artifact.path for artifact in toy.client.list_artifacts(toy.parent_run_id, "report")}
    assert artifacts == {f"report/report{end}" for end in (".html", ".md", ".csv", "_claims.csv")}


def test_the_command_line_starts_without_the_heavy_packages():
    code = "import sys, cifar_sweeps.cli.main; print({'torch', 'mlflow', 'pandas', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_other_images_than_the_documents_are_a_warning_where_figures_are_compared(toy, tmp_path):
    published = [{"metric": "val/accuracy", "value": 0.7, "where": "document 002"}]
    for study, data, config in (
        ("copies", "CIFAR-10 (JPEG copy)", {"published": published}),
        ("own", "CIFAR-10", {"published": published}),
        ("unpublished", "photos", {}),
    ):
        toy.run(study, 0.6, swept={"experiment": "a"}, tags={"data": data}, config=config)
        warnings = write_report(study, tmp_path / f"{study}.html", toy.store).warnings
        told = [line for line in warnings if "not on CIFAR-10's own images" in line]
        assert told == ([warnings[0]] if study == "copies" else [])
        assert all("CIFAR-10 (JPEG copy)" in line for line in told)
