"""The description of a sweep's parent run."""

from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from cifar_sweeps.sweeps.manifest import SweepManifest
from cifar_sweeps.sweeps.mlflow_page.description import describe_sweep
from cifar_sweeps.sweeps.terminal.summary import JobFailure
from cifar_sweeps.tracking.page_links import with_ids
from cifar_sweeps.tracking.recorded_run import RecordedRun

MANIFEST = SweepManifest("the-sweep", "study", ("optimizer.lr",), "digits", ("-m",), "/here")
ASKED = (MANIFEST, "cifar-train -m optimizer.lr=1,2", {})
RUN_PAGE = "#/experiments/{EXPERIMENT_ID}/runs/%s?workflowType=machine_learning"


def trained(job, accuracy, name=None):
    metrics = {"best/val_accuracy": accuracy, "best/epoch": 2.0, "test/accuracy": accuracy}
    return RecordedRun(f"id{job}", name or f"lr={job}", "FINISHED", metrics, {"cifar_sweeps.job": str(job)})


def test_at_the_start_it_says_what_was_asked_and_how_to_go_on():
    text = describe_sweep(*ASKED, 2)
    assert "2 jobs, varying `optimizer.lr`: `cifar-train -m optimizer.lr=1,2`" in text
    assert "`cifar-sweeps resume the-sweep`" in text
    assert "report" not in text
    assert "|" not in text


def test_at_the_end_the_best_run_stands_first_then_what_failed_then_the_table():
    failures = [JobFailure(job, f"lr={job}", "DivergedError: nan", "log") for job in (3, 2)]
    lost = [RecordedRun("", "lr=2", "FAILED", {}, {})]
    text = describe_sweep(*ASKED, 4, [trained(0, 0.4), trained(1, 0.5), *lost], failures, frozenset({0}), True)
    first, failed, table, *_ = text.split("\n\n")
    assert first.startswith(f"**Best**: [lr=1]({RUN_PAGE % 'id1'}), validation accuracy 0.5000")
    assert "[report](#/experiments/{EXPERIMENT_ID}/runs/{RUN_ID}/artifacts/report/report.html?workflowType=" in first
    assert "viewStateShareKey=sweep-the-sweep" in first
    assert failed == "- jobs 2, 3 failed: `DivergedError: nan`"
    rows = [[cell.replace("&emsp;", "").strip() for cell in row.strip("| ").split("|")] for row in table.splitlines()]
    assert rows[0] == ["lr", "best val", "at", "val", "train", "test", "s/epoch", "state"]
    assert rows[2] == [f"[1]({RUN_PAGE % 'id1'})", "0.5000", "2", "–", "–", "0.5000", "–", "finished"]
    assert [rows[3][0], rows[3][-1]] == [f"[0]({RUN_PAGE % 'id0'})", "reused"]
    assert [rows[4][0], rows[4][-1]] == ["`2`", "failed"]  # it has no page


def test_it_is_never_longer_than_a_tag_and_says_what_is_left_out():
    runs = [trained(job, job / 500) for job in range(400)]
    failures = [JobFailure(job, "a", f"reason {job} " + "x" * 500, "log") for job in range(400)]
    text = describe_sweep(*ASKED, 400, runs, failures, has_report=True)
    ids = {"{EXPERIMENT_ID}": "1" * 18, "{RUN_ID}": "0" * 32}
    shown = text.count("finished |")
    assert 10 < shown < 400
    assert f"… and {400 - shown} more runs" in text
    assert "- … 39" in text
    assert len(describe_sweep(*ASKED, 400, [], failures)) < MAX_TAG_VAL_LENGTH
    assert len(with_ids(text, ids)) <= MAX_TAG_VAL_LENGTH


def test_values_cannot_break_the_table():
    name = "data=[{a: `b|c`}]"
    text = describe_sweep(*ASKED, 1, [trained(0, 0.5, name)])
    (row,) = [line for line in text.splitlines() if "0.5000" in line and line.startswith("|")]
    assert row.count("|") - row.count("\\|") == 9
    assert row.startswith("| [data=\\[{a: \\`b\\|c\\`}\\]](#/")
