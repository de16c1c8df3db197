# ruff: noqa: F811 (fixtures of another module)
"""What was deleted in MLflow, or is refused by it, keeps nothing else from the store."""

import sqlite3

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils import validation
from test_delivery import Stored, empty_store, header, log_all, outputs  # noqa: F401 (fixtures)

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import artifact_files, delivery_thread, journal
from cifar_sweeps.tracking.delivery import count_undelivered_lines, deliver, read_delivery_state
from cifar_sweeps.tracking.recovery import recover_abandoned_runs, restore_deleted, sync
from cifar_sweeps.tracking.run_logger import RunLogger
from cifar_sweeps.tracking.store import Store, StoreUnavailableError
from cifar_sweeps.tracking.store_calls import acceptable_name
from cifar_sweeps.tracking.store_errors import is_busy
from cifar_sweeps.tracking.store_uri import embedded_uri


def delete(outputs, what, purged):
    """Delete a run, the parent or the experiment of a recorded sweep, as a user does in MLflow."""
    stored = Stored(outputs)
    (experiment_id,) = {run.info.experiment_id for run in stored.runs}
    names = {"child": ["child"], "parent": ["sweep"], "both": ["child", "sweep"], "experiment": []}[what]
    chosen = [run.info.run_id for run in stored.runs if run.info.run_name in names]
    for run_id in chosen:
        stored.client.delete_run(run_id)
    if what == "experiment":
        stored.client.delete_experiment(experiment_id)
        chosen = [run.info.run_id for run in stored.runs]
    if purged:  # what `mlflow gc` does to a run
        store = stored.client._tracking_client.store
        for run_id in chosen:
            store._hard_delete_run(run_id)


def recorded_sweep(outputs, end=True):
    """Record a sweep of one job; without ``end`` the job was stopped."""
    tags = {"cifar_sweeps.sweep_id": "sweep"}
    parent = RunLogger(header(outputs, "sweep", tags=tags))
    child = RunLogger(header(outputs, "sweep/child", parent=outputs / "sweep", name="child", tags=tags))
    log_all(child)
    child.end_run("FINISHED" if end else "KILLED")
    parent.end_run("FINISHED" if end else "KILLED")


def test_a_run_in_the_trash_is_said_to_be_there(outputs):
    recorded_sweep(outputs)
    stored = Stored(outputs)
    run_id = next(run.info.run_id for run in stored.runs if run.info.run_name == "child")
    delete(outputs, "child", purged=False)
    store = Store(embedded_uri(outputs), outputs)
    for typed in (run_id, run_id[:8], "child"):
        with pytest.raises(TrackingError, match=f"{typed}: the run child is deleted in MLflow"):
            store.find_run(typed)


@pytest.mark.parametrize("purged", [False, True], ids=["in the trash", "gone"])
@pytest.mark.parametrize("what", ["child", "parent", "both", "experiment"])
def test_a_sweep_that_is_joined_is_whole_in_the_store_again(outputs, what, purged, capsys):
    recorded_sweep(outputs)
    restore_deleted(outputs / "sweep", "toys")
    assert capsys.readouterr().err == ""  # nothing was deleted
    delete(outputs, what, purged)
    restore_deleted(outputs / "sweep", "toys")
    said = capsys.readouterr().err
    assert ("is gone from MLflow; it is sent again" if purged else "had been deleted in MLflow; it is restored") in said
    stored = Stored(outputs)
    by_name = {run.info.run_name: run for run in stored.runs}
    assert sorted(run.info.run_name for run in stored.runs) == ["child", "sweep"]
    assert by_name["child"].data.tags["mlflow.parentRunId"] == by_name["sweep"].info.run_id
    assert by_name["child"].data.metrics["val/accuracy"] == pytest.approx(0.3)
    assert {run.info.status for run in stored.runs} == {"FINISHED"}


@pytest.mark.parametrize("purged", [False, True], ids=["in the trash", "gone"])
def test_a_run_that_was_deleted_while_it_was_stopped_is_whole_after_it_resumed(outputs, purged, capsys):
    recorded_sweep(outputs, end=False)
    delete(outputs, "child", purged)
    again = RunLogger(header(outputs, "sweep/child", parent=outputs / "sweep", name="child"))
    again.log_metrics({"val/accuracy": 0.9}, step=4)
    again.end_run("FINISHED")
    assert again.delivery_error is None
    assert "had been deleted" in capsys.readouterr().err or purged
    stored = Stored(outputs)
    (child,) = [run for run in stored.runs if run.info.run_name == "child"]
    assert child.info.status == "FINISHED"
    history = stored.client.get_metric_history(child.info.run_id, "val/accuracy")
    assert sorted(point.step for point in history) == [1, 2, 3, 4]
    assert sync(outputs)


NAMES = ["cat (black), #1", "a", "../x", "/x", "a//b", "a/../b", ".", "..", "", " ", "ü/ß", "x" * 300, "x" * 299 + "y"]
NAMES += ["a:b", "a_b", "tab\there", "new\nline", "emoji 🎉", "per/class/recall of 'b'", "trailing/", "\0"]


def test_every_name_becomes_one_that_mlflow_takes_and_two_never_the_same():
    names = {name: acceptable_name(name) for name in NAMES}
    assert len(set(names.values())) == len(set(NAMES))
    for changed in names.values():
        validation._validate_param(changed, "value")
        validation._validate_metric(changed, 1.0, 0, 0)
        validation._validate_tag(changed, "value")
    assert {name for name, changed in names.items() if name == changed} == {"a", "a_b", "ü/ß"}


def test_odd_names_are_recorded_and_what_is_refused_for_good_holds_up_nothing(outputs, monkeypatch, capsys):
    own = MlflowClient.log_batch

    def picky(client, run_id, metrics=(), params=(), tags=(), **more):
        if any(metric.key == "never" for metric in metrics):
            raise MlflowException.invalid_parameter_value("not this one")
        return own(client, run_id, metrics, params, tags, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", picky)
    logger = RunLogger(header(outputs))
    logger.log_params(dict.fromkeys(NAMES, "value"))
    logger.log_metrics({"train/loss": float("nan"), "never": 1.0, "recall/cat (black), #1": 0.5}, step=1)
    logger.log_metrics({"train/loss": float("inf"), "recall/cat (black), #1": 0.25}, step=2)
    logger.end_run("FINISHED")
    assert logger.delivery_error is None
    (run,) = Stored(outputs).runs
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == len(set(NAMES))
    odd = acceptable_name("recall/cat (black), #1")
    assert run.data.metrics[odd] == 0.25
    said = capsys.readouterr().err
    assert said.count(f"metric 'recall/cat (black), #1' is {odd!r} in MLflow") == 1  # not for each epoch
    assert said.count("the store does not take, and is not sent again: metric 'never'") == 1
    assert len(read_delivery_state(outputs / "run").refused) == 1
    assert count_undelivered_lines(outputs / "run") == 0
    assert sync(outputs)  # nothing is left to send


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database is locked"),
        MlflowException("API request to x failed with exception HTTPConnectionPool"),
        MlflowException("API request to endpoint x failed with error code 503 != 200."),
        MlflowException("API request to endpoint x failed with error code 429 != 200."),
        OSError(111, "Connection refused"),
        MlflowException("(psycopg2.OperationalError) connection to server at h failed: too many connections"),
    ],
    ids=str,
)
def test_a_store_that_is_busy_or_restarts_is_tried_again(outputs, monkeypatch, error, capsys):
    assert is_busy(error)
    recorded_sweep(outputs, end=False)
    again = journal.Journal(outputs / "sweep" / "child")
    again.append("metrics", values={"val/accuracy": 0.9}, step=4)
    again.close()
    attempts = []
    own = MlflowClient.log_batch

    def busy_twice(*args, **more):
        attempts.append(1)
        if len(attempts) <= 2:
            raise error
        return own(*args, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", busy_twice)
    monkeypatch.setattr(delivery_thread, "_RETRY_DELAYS", (0.01,))
    with pytest.raises(StoreUnavailableError):
        deliver(outputs / "sweep" / "child")
    assert delivery_thread.deliver_patiently(outputs / "sweep" / "child", 5.0) is not None
    assert "waiting for it" in capsys.readouterr().err
    assert count_undelivered_lines(outputs / "sweep" / "child") == 0


def test_a_database_that_another_program_has_locked_delays_no_start(outputs):
    lock = sqlite3.connect(outputs / "mlflow.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    store = Store(f"sqlite:///{outputs}/mlflow.db", outputs)
    try:
        assert "another program has locked it" in store.availability_error("toys")
        with pytest.raises(StoreUnavailableError, match="another program has locked it"):
            store.check_exists()
    finally:
        lock.close()
    assert store.availability_error("toys") is None


def test_a_store_that_is_gone_can_be_given_up_and_keeps_nothing_else(outputs, monkeypatch, capsys):
    gone = RunLogger(header(outputs, "gone", uri="http://127.0.0.1:9"))
    log_all(gone)
    gone.end_run("FINISHED")
    here = RunLogger(header(outputs, "here"))
    with monkeypatch.context() as patched:
        patched.setattr(delivery_thread.DeliveryThread, "finish", lambda *_, **__: None)
        log_all(here)
        here.end_run("FINISHED")
    lines = []
    recover_abandoned_runs(outputs, lines.append)  # what any command does
    assert len(lines) == 1
    assert count_undelivered_lines(outputs / "here") == 0  # behind one that does not answer
    assert not sync(outputs)
    assert "cifar-sweeps sync --give-up" in capsys.readouterr().out
    assert sync(outputs, gives_up=True)
    recover_abandoned_runs(outputs, pytest.fail)
    assert sync(outputs)
    assert "given up" in read_delivery_state(outputs / "gone").refused[0]


def test_an_artifact_that_cannot_be_written_where_the_store_says_holds_up_nothing(outputs, monkeypatch, capsys):
    def elsewhere(*_args, **_more):
        raise PermissionError(13, "Permission denied", "/home/alice")

    monkeypatch.setattr(artifact_files, "_put", lambda *_: False)
    monkeypatch.setattr(MlflowClient, "log_artifact", elsewhere)
    logger = RunLogger(header(outputs))
    log_all(logger)
    logger.end_run("FINISHED")
    assert logger.delivery_error is None
    (run,) = Stored(outputs).runs
    assert run.info.status == "FINISHED"
    assert "is not sent again: artifact config.yaml: PermissionError" in capsys.readouterr().err


def test_a_child_that_is_sent_late_finds_its_purged_parent_sent_again(outputs, capsys):
    recorded_sweep(outputs, end=False)
    delete(outputs, "both", purged=True)
    again = RunLogger(header(outputs, "sweep/child", parent=outputs / "sweep", name="child"))
    again.end_run("FINISHED")
    by_name = {run.info.run_name: run for run in Stored(outputs).runs}
    assert by_name["child"].data.tags["mlflow.parentRunId"] == by_name["sweep"].info.run_id
