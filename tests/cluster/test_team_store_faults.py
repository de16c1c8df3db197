"""Answers that get lost or are a proxy's, logins and passwords, databases without a server, servers that are old."""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import TINY
from mlflow.models import Model

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import delivery_thread
from cifar_sweeps.tracking.delivery import count_undelivered_lines, deliver, read_delivery_state
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import Store, StoreUnavailableError

from .postgres.proxy import CutOff, Page, Proxy
from .postgres.team_store import TeamStore, missing
from .test_team_store import Recorded, ask

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

PASSWORD = "hunter2-correct-horse"
SMALL = (*TINY, "analysis.pictures=false", "sweep.report=false")


@pytest.fixture(scope="module")
def store():
    store = TeamStore(Path(tempfile.mkdtemp(prefix="cifar_sweeps_store_", dir="/tmp")), workers=1)
    try:
        store.start()
        yield store
    finally:
        store.remove()


def write_journal(outputs, uri, study, lines=1200):
    """Write a run's journal with every kind of line; nothing is sent yet."""
    folder = outputs / "run"
    folder.mkdir(parents=True)
    logger = RunLogger(RunHeader(folder, outputs, "none", uri, study, "a run", {"t": "1"}, "same"))
    logger.log_params({f"p{number}": str(number) for number in range(150)})
    for step in range(1, lines + 1):
        logger.log_metrics({"val/loss": 1 / step, "a": float("nan")}, step)
        if step == lines // 2:
            (folder / "big.bin").write_bytes(bytes(2_000_000))
            logger.log_artifact(folder / "big.bin", "checkpoints")
            logger.set_tags({"half": "yes"})
    logger.log_input(name="toy", fingerprint="12", source="/x", images={"training": 5}, classes=10)
    (folder / "model").mkdir()
    Model().save(str(folder / "model" / "MLmodel"))
    logger.log_model(folder / "model", "model", lines)
    logger.set_experiment_tags({"view": "1"})
    logger.end_run("FINISHED")
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"backend": "none"', '"backend": "mlflow"', 1))
    return folder


def check_recorded(store, study, lines=1200, artifacts=("checkpoints/big.bin",)):
    """Assert that all of `write_journal` is recorded once."""
    recorded = Recorded(store, study)
    assert list(recorded.runs.values()) == ["a run"]
    assert recorded.states == {"FINISHED": 1}
    rows = recorded.rows("key, step, value, is_nan", "metrics")
    expected = {("a run", "val/loss", step): (1 / step, False) for step in range(1, lines + 1)}
    expected |= {("a run", "a", step): (0.0, True) for step in range(1, lines + 1)}
    assert len(rows) == len(expected)
    assert {tuple(row[:3]): tuple(row[3:]) for row in rows} == expected
    assert len(recorded.rows("key", "params")) == 150
    tags = dict(row[1:] for row in recorded.rows("key, value", "tags"))
    assert tags["half"] == "yes"
    (run,) = recorded.runs
    client = Store(store.uri, Path("unused")).client()
    assert len(client.get_run(run).inputs.dataset_inputs) == 1
    assert len(client.search_logged_models([client.get_run(run).info.experiment_id])) == 1
    assert len(client.get_run(run).outputs.model_outputs) == 1
    assert client.get_experiment_by_name(study).tags["view"] == "1"
    assert tuple(recorded.artifacts()["a run"]) == tuple(artifacts)


def deliver_until_done(folder, most=200):
    """Deliver again after each failure, as the thread of a run does; return how many there were."""
    for failures in range(most):
        with contextlib.suppress(StoreUnavailableError):  # another error is none that the thread waits for at the end
            deliver(folder)
            return failures
    raise AssertionError(f"not delivered after {most} attempts")


@pytest.mark.cluster_short
def test_calls_that_were_committed_and_whose_answers_were_lost_leave_no_duplicates(store, outputs):
    """Each call's first answer is lost: the client cannot know whether the store has it, and calls again."""
    seen = set()

    def cut_off_once(request):
        key = (request.method, request.path, request.body)
        if key in seen:
            return None
        seen.add(key)
        return CutOff()

    with Proxy(store.uri) as proxy:
        folder = write_journal(outputs, proxy.uri, "answers lost")
        proxy.fault = cut_off_once
        failures = deliver_until_done(folder)
        assert failures > 20
        assert len(proxy.requests) > failures
    check_recorded(store, "answers lost")


@pytest.mark.parametrize(
    "page",
    [
        Page(500),
        Page(502),
        Page(503),
        Page(504),
        Page(429),
        Page(400),
        Page(404),
        Page(200),
        Page(
            503, '{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "(psycopg2.errors.DeadlockDetected) deadlock"}'
        ),
        Page(400, '{"error_code": "BAD_REQUEST", "message": "(psycopg2.InterfaceError) connection already closed"}'),
        Page(400, '{"error_code": "BAD_REQUEST", "message": "QueuePool limit of size 5 overflow 10 reached"}'),
        Page(
            500, '{"error_code": "INTERNAL_ERROR", "message": "(psycopg2.OperationalError) the database system is x"}'
        ),
    ],
    ids=lambda page: f"{page.status} {page.text[:60]}",
)
def test_a_page_of_a_proxy_or_a_database_that_restarts_is_no_refusal_and_no_lost_run(store, outputs, page):
    """Three in ten requests are answered so: nothing of it is set aside, and no run is taken for deleted."""
    with Proxy(store.uri) as proxy:
        study = f"page {page.status} {hash(page)}"
        folder = write_journal(outputs, proxy.uri, study, lines=10)
        chance = random.Random(0)
        proxy.fault = lambda _: page if chance.random() < 0.3 else None
        for _ in range(200):
            with contextlib.suppress(TrackingError):
                deliver(folder)
                break
    assert count_undelivered_lines(folder) == 0
    assert read_delivery_state(folder).refused == ()
    check_recorded(store, study, lines=10)


def test_a_file_that_is_too_large_for_a_proxy_is_told_and_holds_up_nothing(store, outputs, capsys):
    with Proxy(store.uri) as proxy:
        folder = write_journal(outputs, proxy.uri, "too large", lines=10)
        proxy.fault = lambda request: Page(413, "<html>413</html>") if len(request.body) > 1_000_000 else None
        deliver(folder)
    said = capsys.readouterr().err
    assert "does not take, and is not sent again: artifact big.bin: HTTPError: 413" in said
    check_recorded(store, "too large", lines=10, artifacts=())


def test_a_database_that_restarts_under_a_run_delays_it_and_loses_nothing(store, outputs, monkeypatch, capsys):
    monkeypatch.setattr(delivery_thread, "_RETRY_DELAYS", (0.2,))
    (outputs / "run").mkdir()
    logger = RunLogger(RunHeader(outputs / "run", outputs, "mlflow", store.uri, "restart", "a run", {}, "same"))
    for step in range(1, 301):
        logger.log_metrics({"loss": 1 / step}, step)
        if step in (100, 200):
            store.stop_database(kill=step == 200)
        if step in (150, 250):
            store.start_database()
    logger.end_run("FINISHED")
    assert logger.delivery_error is None, logger.delivery_error
    rows = Recorded(store, "restart").rows("step, value", "metrics")
    assert sorted(rows) == [("a run", step, 1 / step) for step in range(1, 301)]
    assert "not sent again" not in capsys.readouterr().err


def command(*arguments, outputs, module="cifar_sweeps", **environment):
    """Run a command as a user does; return its status and all that it prints."""
    start = ["-m", module] if module == "cifar_sweeps" else ["-c", "from cifar_sweeps.cli.main import main; main()"]
    done = subprocess.run(
        [sys.executable, *start, *arguments],
        env={**os.environ, "COLUMNS": "200", "CIFAR_SWEEPS_OUTPUTS": str(outputs), **environment},
        cwd=outputs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def assert_nowhere(secret, outputs, store, *texts):
    """Assert that a password is in no file of the outputs, no text, no table, no artifact and no log of the server."""
    places = [*outputs.rglob("*"), *store.artifacts.rglob("*"), store.server_log, store.database_log]
    files = [path for path in places if path.is_file()]
    assert any(path.name == "journal.jsonl" for path in files)
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert not [text for text in texts if secret in text]
    tables = [name for (name,) in ask(store, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert "experiment_tags" in tables
    for table in tables:
        assert ask(store, f'SELECT count(*) FROM "{table}" AS each WHERE each::text LIKE %s', f"%{secret}%") == [(0,)]


@pytest.mark.cluster_short
@pytest.mark.parametrize("where", ["address", "variables"])
def test_a_server_s_password_is_used_and_printed_and_written_nowhere(store, outputs, where):
    with Proxy(store.uri, login=f"alice:{PASSWORD}") as proxy:
        login = (
            {"MLFLOW_TRACKING_URI": f"http://alice:{PASSWORD}@{proxy.address}"}
            if where == "address"
            else {
                "MLFLOW_TRACKING_URI": proxy.uri,
                "MLFLOW_TRACKING_USERNAME": "alice",
                "MLFLOW_TRACKING_PASSWORD": PASSWORD,
            }
        )
        study = f"study_name=login_{where}"
        sweep = command(
            *("-m", *SMALL, study, "optimizer.lr=0.01,1e9", "hydra.verbose=true", "hydra.launcher.n_jobs=1"),
            outputs=outputs,
            HYDRA_FULL_ERROR="1",
            **login,
        )
        results = command("results", f"login_{where}", outputs=outputs, module="cli", **login)
        synced = command("sync", outputs=outputs, module="cli", **login)
        wrong = {key: value.replace(PASSWORD, f"wrong-{PASSWORD}") for key, value in login.items()}
        refused = command(*SMALL, study, outputs=outputs, **wrong)
        away = command(*SMALL, study, outputs=outputs, **{**login, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"})
    gone = command("sync", outputs=outputs, module="cli", **login)
    names = Recorded(store, f"login_{where}").runs.values()
    assert len(names) == 4, sweep[1]  # the sweep, its two jobs and the run after it
    assert results[0] == synced[0] == away[0] == 0, results[1] + synced[1] + away[1]
    assert refused[0] == 1
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in refused[1]
    assert "Traceback" not in refused[1]
    assert_nowhere(PASSWORD, outputs, store, *(text for _, text in (sweep, results, synced, refused, away, gone)))


def test_a_database_is_a_store_without_a_server_and_its_password_is_nowhere(store, outputs):
    login = {"MLFLOW_TRACKING_URI": store.database_uri}
    sweep = command(
        *("-m", *SMALL, "study_name=direct", "seed=0,1", "hydra.launcher.n_jobs=2"), outputs=outputs, **login
    )
    results = command("results", "direct", outputs=outputs, module="cli", **login)
    plain = {"MLFLOW_TRACKING_URI": store.database_uri.replace("+psycopg2", "")}
    other = command(*SMALL, "study_name=direct", outputs=outputs, **plain)
    assert sweep[0] == results[0] == 0, sweep[1] + results[1]
    assert "a database keeps no files" in sweep[1]
    assert len(Recorded(store, "direct").runs) == 3 + (other[0] == 0)
    if other[0]:  # what a plain address means depends on SQLAlchemy's version
        assert "write postgresql+psycopg2://…" in other[1]
        assert "Traceback" not in other[1]
    assert len(list(outputs.glob("artifacts/**/config.yaml"))) >= 2
    assert not list(outputs.glob("mlruns"))
    assert_nowhere(store.password, outputs, store, sweep[1], results[1], other[1])


@pytest.mark.parametrize(("version", "told"), [("3.15.2", True), ("3.16.0", False), ("<html>", False)])
def test_a_server_that_is_too_old_is_told_in_a_line(store, outputs, version, told):
    with Proxy(store.uri) as proxy:
        proxy.fault = lambda request: Page(200, version) if request.path == "/version" else None
        said = Store(proxy.uri, outputs).availability_error("versions")
    assert (said is not None) == told
    assert not told or (f"runs MLflow {version}" in said and "mlflow>=3.16" in said and "\n" not in said)
