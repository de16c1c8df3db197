"""Each line of a journal reaches MLflow exactly once, even if processes die in between."""

import contextlib
import json
import os
import shutil
import sqlite3
import time

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.tracking import delivery, delivery_thread, journal
from cifar_sweeps.tracking.artifact_files import ArtifactWriter
from cifar_sweeps.tracking.delivery import (
    DeliveryState,
    count_undelivered_lines,
    deliver,
    read_delivery_state,
    undelivered_folders,
)
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.page_links import NOTE, PARENT, link, run_page
from cifar_sweeps.tracking.recovery import ABANDONED, recover_abandoned_runs
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_calls import Told
from cifar_sweeps.tracking.store_uri import embedded_uri


def header(outputs, folder="run", parent=None, **more):
    (outputs / folder).mkdir(parents=True, exist_ok=True)
    fields = {"backend": "mlflow", "uri": None, "study": "toys", "name": folder, "tags": {"t": "1"}, "identity": "same"}
    return RunHeader(folder=outputs / folder, outputs=outputs, parent=parent, **{**fields, **more})


def log_all(logger, epochs=3):
    """Log what a run logs, except its end."""
    logger.log_params({"seed": "0", "long": "x" * 7000})
    logger.set_tags({"t": "2", "u": "y" * 9000})
    for epoch in range(1, epochs + 1):
        logger.log_metrics({"train/loss": 1 / epoch, "val/accuracy": epoch / 10}, step=epoch)
    (logger.folder / "config.yaml").write_text("seed: 0")
    logger.log_artifact(logger.folder / "config.yaml")
    logger.log_input(name="toy", fingerprint="12", source="/x", images={"training": 5}, classes=10)


def wait_until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class Stored:
    """The runs in the database of an outputs folder."""

    def __init__(self, outputs):
        self.client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
        experiment = self.client.get_experiment_by_name("toys")
        self.runs = self.client.search_runs([experiment.experiment_id]) if experiment else []

    def points(self, metric, run=0):
        history = self.client.get_metric_history(self.runs[run].info.run_id, metric)
        return sorted((point.step, point.value) for point in history)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A database without runs: creating one takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("empty")
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def outputs(tmp_path, empty_store):
    (tmp_path / "out puts").mkdir()
    shutil.copy(empty_store, tmp_path / "out puts")
    return tmp_path / "out puts"


def test_everything_logged_reaches_the_store(outputs):
    logger = RunLogger(header(outputs))
    log_all(logger)
    logger.end_run("FAILED", "a bad day")
    stored = Stored(outputs)
    (run,) = stored.runs
    assert (run.info.status, run.info.run_name, run.info.run_id) == ("FAILED", "run", logger.run_id)
    assert (run.data.tags["t"], len(run.data.tags["u"])) == ("2", 8000)
    assert run.data.tags["cifar_sweeps.failure"] == "a bad day"
    assert (run.data.params["seed"], len(run.data.params["long"])) == ("0", 6000)
    assert stored.points("train/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert [item.path for item in stored.client.list_artifacts(run.info.run_id)] == ["config.yaml"]
    assert run.inputs.dataset_inputs[0].dataset.name == "toy"
    assert logger.delivery_error is None
    assert undelivered_folders(outputs) == []


def test_delivery_resumes_without_gap_or_duplicate_after_dying_at_any_call(outputs, monkeypatch):
    """The process dies after each batch that the store has, before the note of it; then the next delivery starts."""
    logger = RunLogger(header(outputs, uri="file:///nowhere"))  # nothing is sent by itself
    log_all(logger)
    logger.end_run("FINISHED")
    path = outputs / "run" / journal.NAME
    path.write_text(path.read_text().replace('"file:///nowhere"', "null"))

    note, lives = delivery._note, [0]

    def dying_note(folder, state):
        if state.run_id is not None:  # not the note before the run is created
            if not lives[0]:
                raise KeyboardInterrupt
            lives[0] -= 1
        note(folder, state)

    monkeypatch.setattr(delivery, "_note", dying_note)
    monkeypatch.setattr(delivery, "MAX_AT_ONCE", 2)  # several calls for a run that is as small as this one
    deaths = 0
    while count_undelivered_lines(outputs / "run"):
        lives[0] = deaths % 2  # every second delivery dies at its first batch, the others at their second
        try:
            deliver(outputs / "run")
        except KeyboardInterrupt:
            deaths += 1
    assert deaths > 8
    stored = Stored(outputs)
    (run,) = stored.runs
    assert run.info.status == "FINISHED"
    assert stored.points("val/accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert len(run.inputs.dataset_inputs) == 1


def test_the_values_of_a_short_run_are_sent_in_one_call_whatever_files_lie_between_them(outputs, monkeypatch):
    calls = []
    for name in ("log_batch", "get_run"):
        own = getattr(MlflowClient, name)
        monkeypatch.setattr(
            MlflowClient,
            name,
            lambda *all_, _own=own, _name=name, **more: (calls.append(_name), _own(*all_, **more))[1],
        )
    logger = RunLogger(header(outputs, uri="file:///nowhere"))  # nothing is sent by itself
    log_all(logger)
    (outputs / "run" / "more.txt").write_text("more")
    logger.log_artifact(outputs / "run" / "more.txt", "texts")
    logger.log_metrics({"test/accuracy": 0.5}, step=3)
    logger.set_tags({NOTE: f"see [it]({run_page()})"})
    logger.end_run("FINISHED")
    path = outputs / "run" / journal.NAME
    path.write_text(path.read_text().replace('"file:///nowhere"', "null"))
    deliver(outputs / "run")
    assert sorted(calls) == ["get_run", "log_batch"]
    stored = Stored(outputs)
    (run,) = stored.runs
    assert stored.points("train/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert (run.data.params["seed"], run.data.tags["t"], run.data.metrics["test/accuracy"]) == ("0", "2", 0.5)
    assert run.info.run_id in run.data.tags[NOTE]
    assert [each.path for each in stored.client.list_artifacts(run.info.run_id, "texts")] == ["texts/more.txt"]


@pytest.mark.parametrize("note", ["{torn", None, "{}"], ids=["torn", "gone", "of nothing"])
def test_without_its_note_everything_is_sent_again_without_duplicates(outputs, note):
    logger = RunLogger(header(outputs))
    log_all(logger)
    logger.end_run("FINISHED")
    path = outputs / "run" / delivery.NOTE
    path.unlink()
    if note is not None:
        path.write_text(note)
    assert deliver(outputs / "run") == logger.run_id
    assert Stored(outputs).points("train/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert len(Stored(outputs).runs) == 1


def test_a_new_run_is_not_searched_for_in_the_store(outputs, monkeypatch):
    searched = []
    monkeypatch.setattr(Store, "runs_with_tag", lambda *arguments: searched.append(arguments))
    RunLogger(header(outputs)).end_run("FINISHED")
    assert searched == []
    assert len(Stored(outputs).runs) == 1


def test_a_run_that_a_hanging_store_creates_late_is_not_there_twice(outputs, monkeypatch, capsys):
    """The first call is given up, and carried out after the second one has looked for its run and found none."""
    create, calls = Store.create_run, []

    def hanging(store, *arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise MlflowException("timed out")
        create(store, *calls[0])
        return create(store, *arguments)

    monkeypatch.setattr(Store, "create_run", hanging)
    logger = RunLogger(header(outputs))
    log_all(logger)
    logger.end_run("FINISHED")
    with contextlib.suppress(TrackingError):
        deliver(logger.folder)
    deliver(logger.folder)
    assert len(calls) == 2
    stored = Stored(outputs)
    (run,) = stored.runs
    assert run.info.status == "FINISHED"
    assert stored.points("val/accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert "created run" in capsys.readouterr().err
    (outputs / "run" / delivery.NOTE).unlink()  # the one in the trash is not taken for it
    assert deliver(logger.folder) == run.info.run_id


def test_a_child_finds_its_parent_even_if_both_are_sent_late(outputs):
    sweep = RunLogger(header(outputs, "sweep", uri="file:///nowhere"))
    child = RunLogger(header(outputs, "sweep/0", parent=outputs / "sweep", uri="file:///nowhere"))
    assert child.run_id is None
    child.end_run("FINISHED")
    sweep.end_run("FINISHED")
    assert sweep.delivery_error is not None
    for folder in undelivered_folders(outputs):
        path = folder / journal.NAME
        path.write_text(path.read_text().replace('"file:///nowhere"', "null"))
    moved = outputs.rename(outputs.with_name("moved"))
    deliver(moved / "sweep" / "0")
    parents = {run.info.run_name: run.data.tags.get("mlflow.parentRunId") for run in Stored(moved).runs}
    assert parents == {"sweep": None, "sweep/0": read_delivery_state(moved / "sweep").run_id}


def test_a_second_attempt_resumes_the_same_run_without_duplicate_epochs(outputs):
    first = RunLogger(header(outputs))
    log_all(first, epochs=2)
    first.end_run("KILLED", "interrupted")
    second = RunLogger(header(outputs))
    assert second.has("train/loss", 2)
    log_all(second, epochs=3)
    second.end_run("FINISHED")
    (run,) = Stored(outputs).runs
    assert (run.info.run_id, run.info.status) == (first.run_id, "FINISHED")
    assert Stored(outputs).points("train/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_a_resumed_run_is_running_in_the_journal_and_the_store(outputs):
    RunLogger(header(outputs)).end_run("KILLED", "interrupted")
    second = RunLogger(header(outputs))
    deliver(outputs / "run")
    assert Stored(outputs).runs[0].info.status == read_run(outputs / "run").state == "RUNNING"
    second.end_run("FINISHED")
    assert Stored(outputs).runs[0].info.status == read_run(outputs / "run").state == "FINISHED"


def test_of_a_tags_values_that_are_delivered_together_the_last_counts(outputs):
    logger = RunLogger(header(outputs, backend="none"))  # delivers nothing by itself
    for value in ("2", "3", "4"):
        logger.set_tags({"t": value})
    logger.end_run("FINISHED")
    path = outputs / "run" / journal.NAME
    path.write_text(path.read_text().replace('"backend": "none"', '"backend": "mlflow"'))
    deliver(outputs / "run")
    assert Stored(outputs).runs[0].data.tags["t"] == read_run(outputs / "run").tags["t"] == "4"


def test_a_resumed_run_loses_the_tags_of_its_failure(outputs):
    first = RunLogger(header(outputs))
    first.set_tags({"cifar_sweeps.last_checkpoint": "resume-000001.pt"})
    first.end_run("KILLED", "interrupted")
    assert Stored(outputs).runs[0].data.tags["cifar_sweeps.failure"] == "interrupted"
    RunLogger(header(outputs)).end_run("FINISHED")
    ended = {"cifar_sweeps.failure", "cifar_sweeps.last_checkpoint"}
    assert not ended & Stored(outputs).runs[0].data.tags.keys()
    assert not ended & read_run(outputs / "run").tags.keys()


def test_the_folder_of_another_run_is_refused(outputs):
    RunLogger(header(outputs)).end_run("KILLED")
    with pytest.raises(ConfigError, match="of another config or of other images; choose another folder"):
        RunLogger(header(outputs, identity="another"))
    RunLogger(header(outputs)).end_run("FINISHED")  # and is not left locked


def test_runs_of_killed_processes_are_marked_in_the_journal_and_the_store(outputs):
    logger = RunLogger(header(outputs))
    logger.log_metrics({"train/loss": 1.0}, step=1)
    lines = []
    recover_abandoned_runs(outputs, lines.append)
    assert lines == []  # it is alive
    logger._delivery.finish()
    logger._journal.close()  # as the system does for a process that is gone
    recover_abandoned_runs(outputs, lines.append)
    assert len(lines) == 1
    (run,) = Stored(outputs).runs
    assert (run.info.status, run.data.tags["cifar_sweeps.failure"]) == ("KILLED", ABANDONED)
    assert read_run(outputs / "run").state == "KILLED"


def test_a_store_that_answers_again_gets_what_it_missed(outputs, monkeypatch):
    monkeypatch.setattr(delivery_thread, "_RETRY_DELAYS", (0.01,))
    away = [True]
    prepare = delivery.Store.prepare

    def answers(self, experiment):
        if away[0]:
            raise MlflowException("API request failed with exception: refused")
        return prepare(self, experiment)

    monkeypatch.setattr(delivery.Store, "prepare", answers)
    logger = RunLogger(header(outputs))
    logger.log_metrics({"train/loss": 1.0}, step=1)
    assert logger.run_id is None
    away[0] = False
    logger.log_metrics({"train/loss": 0.5}, step=2)
    logger.end_run("FINISHED")
    assert logger.delivery_error is None
    assert Stored(outputs).points("train/loss") == [(1, 1.0), (2, 0.5)]


def test_a_store_that_never_answers_is_reported_and_the_journal_is_complete(outputs):
    logger = RunLogger(header(outputs, uri="http://127.0.0.1:9"))
    log_all(logger)
    logger.end_run("FINISHED")
    assert isinstance(logger.delivery_error, TrackingError)
    assert "http://127.0.0.1:9: the store does not answer" in str(logger.delivery_error)
    run = read_run(outputs / "run")
    assert (run.run_id, run.state, run.metrics["val/accuracy"]) == ("", "FINISHED", 0.3)
    assert undelivered_folders(outputs) == [outputs / "run"]


def test_a_finished_run_stays_finished_when_its_delivery_is_interrupted(outputs, monkeypatch):
    def interrupted(_, **__):
        raise KeyboardInterrupt

    logger = RunLogger(header(outputs))
    log_all(logger)
    with monkeypatch.context() as patched:
        patched.setattr(delivery_thread.DeliveryThread, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            logger.end_run("FINISHED")
    logger.set_tags({"late": "too late"})
    logger.end_run("KILLED", "interrupted")
    assert read_run(outputs / "run").state == "FINISHED"
    delivery.deliver(outputs / "run")
    (run,) = Stored(outputs).runs
    assert run.info.status == "FINISHED"
    assert "late" not in run.data.tags


def test_without_a_store_only_the_journal_is_written(outputs):
    logger = RunLogger(header(outputs, backend="none"))
    log_all(logger)
    logger.end_run("FINISHED")
    assert undelivered_folders(outputs) == []
    assert Stored(outputs).runs == []
    assert json.loads((outputs / "run" / journal.NAME).read_text().splitlines()[-1])["state"] == "FINISHED"


def test_a_database_that_is_not_a_store_is_one_error(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("CREATE TABLE experiments (unknown)")
    with pytest.raises(TrackingError, match=r"mlflow\.db: the store cannot be used: .*correct the URI"):
        Store(f"sqlite:///{tmp_path}/mlflow.db", tmp_path).prepare("toys")


@pytest.mark.parametrize("where", ["../../secret", "/etc/hostname", "link/secret", "."])
def test_a_hostile_journal_sends_and_removes_nothing_outside_its_folder(outputs, where):
    (outputs / "secret").mkdir()
    (outputs / "secret" / "MLmodel").write_text("x")
    logger = RunLogger(header(outputs))
    (outputs / "run" / "link").symlink_to(outputs)
    logger._append("model", path=where, name="model", step=1)
    logger.end_run("FINISHED")
    assert "which is not in the folder" in str(logger.delivery_error)
    assert (outputs / "secret" / "MLmodel").exists()
    assert not Stored(outputs).client.list_artifacts(logger.run_id)


def test_a_journal_that_lost_delivered_lines_continues_without_a_gap(outputs):
    logger = RunLogger(header(outputs))
    log_all(logger, epochs=2)
    logger.end_run("KILLED", "interrupted")
    path = outputs / "run" / journal.NAME
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))  # as after a power cut
    again = RunLogger(header(outputs))
    log_all(again, epochs=3)
    again.end_run("FINISHED")
    (run,) = Stored(outputs).runs
    assert (run.info.run_id, run.info.status) == (logger.run_id, "FINISHED")
    assert {step for step, _ in Stored(outputs).points("train/loss")} == {1, 2, 3}


def test_the_next_command_sends_what_an_ended_run_did_not(outputs, monkeypatch):
    monkeypatch.setattr(delivery, "deliver", lambda folder: None)  # the process dies before it delivers
    RunLogger(header(outputs)).end_run("FINISHED")
    monkeypatch.undo()
    recover_abandoned_runs(outputs, pytest.fail)
    assert [run.info.status for run in Stored(outputs).runs] == ["FINISHED"]


def test_the_delivery_thread_finishes_at_any_time(outputs):
    for _ in range(30):
        thread = delivery_thread.DeliveryThread(outputs)
        thread.send()
        assert thread.finish() is None


def test_tags_of_the_experiment_wait_in_the_journal_as_all_else_does(outputs, monkeypatch):
    monkeypatch.setattr(delivery_thread, "deliver", lambda _folder: None)
    logger = RunLogger(header(outputs))
    began = logger.started
    logger.set_experiment_tags({"mlflow.sharedViewState.sweep-a": "first"})
    logger.set_experiment_tags({"mlflow.sharedViewState.sweep-a": "second", "other": "x"})
    logger.end_run("FINISHED")
    monkeypatch.undo()
    assert Stored(outputs).runs == []
    deliver(outputs / "run")
    tags = Stored(outputs).client.get_experiment_by_name("toys").tags
    assert {key: tags.get(key) for key in ("mlflow.sharedViewState.sweep-a", "other")} == {
        "mlflow.sharedViewState.sweep-a": "second",
        "other": "x",
    }
    assert RunLogger(header(outputs)).started == began


def test_what_the_store_does_not_take_of_an_experiment_s_tags_is_set_aside(outputs, capsys):
    logger = RunLogger(header(outputs))
    logger.set_experiment_tags({"long": "x" * 30_000})
    logger.set_experiment_tags({"short": "x"})
    logger.end_run("FINISHED")
    assert logger.delivery_error is None
    assert "does not take, and is not sent again: experiment_tags" in capsys.readouterr().err
    tags = Stored(outputs).client.get_experiment_by_name("toys").tags
    assert tags.get("short") == "x"
    assert "long" not in tags


def test_a_description_s_links_get_the_store_s_ids(outputs):
    parent = RunLogger(header(outputs, "sweep"))
    parent.end_run("FINISHED")
    logger = RunLogger(header(outputs, "sweep/0", parent=outputs / "sweep"))
    own = link("own", run_page(artifact="a b.png"))
    logger.set_tags({NOTE: f"{own} of {link('[sweep]', run_page(run_id=PARENT))} {{RUN}}", "other": "{RUN_ID}"})
    (outputs / "sweep" / "0" / "a b.png").write_bytes(b"")
    logger.log_artifact(outputs / "sweep" / "0" / "a b.png")
    assert logger.artifacts == ["a b.png"]
    logger.end_run("FINISHED")
    child, above = logger.run_id, parent.run_id
    run = Stored(outputs).client.get_run(child)
    base = f"#/experiments/{run.info.experiment_id}/runs"
    mode = "?workflowType=machine_learning"
    assert run.data.tags[NOTE] == (
        f"[own]({base}/{child}/artifacts/a%20b.png{mode}) of [\\[sweep\\]]({base}/{above}{mode}) {{RUN}}"
    )
    assert run.data.tags["other"] == "{RUN_ID}"


def test_a_large_artifact_takes_no_second_place_and_stays_what_was_logged(outputs):
    logger = RunLogger(header(outputs))
    path = outputs / "run" / "best.pt"
    path.write_bytes(b"w" * 100_000)
    logger.log_artifact(path, "checkpoints")
    (outputs / "run" / "config.yaml").write_text("seed: 0")
    logger.log_artifact(outputs / "run" / "config.yaml")
    logger.end_run("FINISHED")
    artifacts = outputs / "artifacts" / logger.run_id / "artifacts"
    assert (artifacts / "checkpoints" / "best.pt").samefile(path)
    assert not (artifacts / "config.yaml").samefile(outputs / "run" / "config.yaml")  # a person may edit it

    atomic = path.with_name("new")  # as every file of ours is replaced
    atomic.write_bytes(b"other")
    atomic.replace(path)
    assert (artifacts / "checkpoints" / "best.pt").read_bytes() == b"w" * 100_000


def test_an_artifact_that_cannot_be_linked_is_copied(outputs, monkeypatch):
    def refuse(*_):
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    logger = RunLogger(header(outputs))
    (outputs / "run" / "best.pt").write_bytes(b"w" * 100_000)
    logger.log_artifact(outputs / "run" / "best.pt", "checkpoints")
    logger.end_run("FINISHED")
    stored = outputs / "artifacts" / logger.run_id / "artifacts" / "checkpoints"
    assert [(path.name, path.stat().st_size) for path in stored.iterdir()] == [("best.pt", 100_000)]


def test_what_was_recorded_under_another_name_is_said_once_however_often_it_was_sent(tmp_path, capsys):
    told = Told(renamed=["f1:a is f1_a", "f1:a is f1_a", "f1:b is f1_b"])
    state = delivery._tell(tmp_path, DeliveryState(), told)
    assert state.renamed == ("f1:a is f1_a", "f1:b is f1_b")
    assert capsys.readouterr().err.count("\n") == 2
    assert delivery._tell(tmp_path, state, told) == state
    assert not capsys.readouterr().err


def test_short_epochs_are_sent_together(outputs, monkeypatch):
    deliveries = []
    monkeypatch.setattr(delivery_thread, "deliver", lambda folder: deliveries.append(deliver(folder)))
    logger = RunLogger(header(outputs))
    log_all(logger, epochs=50)
    logger.end_run("FINISHED")
    assert len(deliveries) <= 3
    assert [step for step, _ in Stored(outputs).points("train/loss")] == [*range(1, 51)]


def test_journals_of_a_folder_are_sent_as_they_grow_and_not_read_again_once_sent(outputs, monkeypatch):
    monkeypatch.setattr(delivery_thread, "_held_back", True)
    sent = []
    monkeypatch.setattr(delivery_thread, "deliver", lambda folder: sent.append(folder.name) or deliver(folder))
    loggers = [RunLogger(header(outputs, name)) for name in ("a", "b")]
    with delivery_thread.FolderDelivery(outputs, seconds=0.05):
        wait_until(lambda: {"a", "b"} <= {*sent})
        count = sent.count("a")
        loggers[1].log_metrics({"train/loss": 0.5}, step=1)
        wait_until(lambda: not count_undelivered_lines(outputs / "b"))
        wait_until(lambda: sent[-1] == "b")
    assert sent.count("a") == count
    for logger in loggers:
        logger.leave()


def test_a_journal_that_cannot_be_sent_holds_up_no_other_one(outputs, monkeypatch):
    monkeypatch.setattr(delivery_thread, "_held_back", True)

    def fails_for_one(folder):
        if folder.name == "b":
            raise TrackingError("b: names a file outside of its folder")
        return deliver(folder)

    monkeypatch.setattr(delivery_thread, "deliver", fails_for_one)
    loggers = [RunLogger(header(outputs, name)) for name in ("a", "b", "c")]
    with delivery_thread.FolderDelivery(outputs, seconds=0.05):
        wait_until(lambda: not count_undelivered_lines(outputs / "c"))
    assert count_undelivered_lines(outputs / "b")
    for logger in loggers:
        logger.leave()


def test_no_artifact_is_put_outside_of_its_run_s_place(outputs):
    store = Store(embedded_uri(outputs), outputs)
    client, run_id = store.client(), store.create_run(store.prepare("toys"), "a run", {}, 1)
    writer = ArtifactWriter(client, run_id, lambda: client.get_run(run_id))
    source = outputs / "large.png"
    source.write_bytes(b"w" * 100_000)
    with pytest.raises(MlflowException):
        writer.log(source, "../../../elsewhere")
    assert not list(outputs.parent.rglob("elsewhere"))
