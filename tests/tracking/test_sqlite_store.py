"""A store of another MLflow version is not changed; the error says how to upgrade it."""

import fcntl
import hashlib
import sqlite3
from pathlib import Path

import mlflow
import pytest
from alembic.script import ScriptDirectory
from mlflow.store.db import utils as mlflow_db

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import sqlite_store
from cifar_sweeps.tracking import store as store_module
from cifar_sweeps.tracking.sqlite_store import _revisions, check_revision
from cifar_sweeps.tracking.store import Store, StoreUnavailableError
from cifar_sweeps.tracking.store_uri import tracking_uri


@pytest.fixture(scope="module")
def created(tmp_path_factory):
    """The bytes of an empty store created by this MLflow."""
    folder = tmp_path_factory.mktemp("created")
    store = Store(tracking_uri(None, folder), folder)
    store.prepare("study")
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture(scope="module")
def revisions():
    """Alembic's list of the installed MLflow's revisions, the newest first."""
    script = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return [revision.revision for revision in script.walk_revisions()]


@pytest.fixture
def store(created, tmp_path):
    folder = tmp_path / "my outputs"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(created)
    return Store(tracking_uri(None, folder), folder)


def change(store, *statements):
    connection = sqlite3.connect(store.outputs / "mlflow.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def digest(store):
    return hashlib.sha256((store.outputs / "mlflow.db").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "statements",
    [[], ["DROP TABLE IF EXISTS scorer_versions", "DROP TABLE IF EXISTS scorers"]],
    ids=["the tables are there", "a table is not there yet"],
)
@pytest.mark.parametrize("use", [lambda store: store.prepare("x"), Store.check_exists], ids=["train", "look"])
def test_an_older_store_is_not_changed_and_the_error_says_how_to_upgrade_it(store, statements, use, revisions):
    change(store, f"UPDATE alembic_version SET version_num = '{revisions[1]}'", *statements)
    before = digest(store)
    with pytest.raises(TrackingError) as caught:
        use(store)
    message = str(caught.value)
    assert "was made by an older MLflow" in message
    path = store.outputs / "mlflow.db"
    assert f"cp '{path}' '{path}.backup' && mlflow db upgrade '{store.uri}'" in message
    assert digest(store) == before


def test_a_newer_store_is_not_changed(store):
    change(store, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    before = digest(store)
    with pytest.raises(TrackingError, match=r"newer MLflow \(revision fedcba987654.*pip install --upgrade mlflow"):
        store.prepare("x")
    assert digest(store) == before


def test_a_file_that_is_not_a_database_is_an_error(store):
    (store.outputs / "mlflow.db").write_bytes(b"not a database, and longer than its header would be" * 9)
    with pytest.raises(TrackingError, match="is damaged, or not an MLflow database"):
        store.prepare("x")


def test_current_missing_and_remote_stores_pass(store, tmp_path):
    assert store.prepare("study") == "1"
    assert check_revision(store.uri)
    for uri in (
        f"sqlite:///{tmp_path}/none.db",
        "http://127.0.0.1:9",
        "postgresql://me@there/db",
        "mlruns",
        "databricks",
    ):
        assert not check_revision(uri)
    assert not (tmp_path / "none.db").exists()


def test_the_revisions_are_those_of_alembic(revisions):
    assert _revisions() == (revisions[0], frozenset(revisions))


def test_mlflow_opens_a_store_without_importing_its_migrations(store, revisions):
    store.client().search_experiments()

    looked_up = mlflow_db._get_latest_schema_revision
    assert looked_up.__module__ == sqlite_store.__name__  # a later MLflow has another name for it
    assert looked_up() == revisions[0]


def test_an_existing_store_is_not_opened_to_check_it(store):
    before = digest(store)
    assert store.availability_error("another study") is None
    assert digest(store) == before


def test_a_missing_store_is_left_to_the_delivery_which_creates_it_beside_the_training(tmp_path):
    uri = tracking_uri(None, tmp_path / "outputs")
    store = Store(uri, tmp_path / "outputs")
    assert store.availability_error("study") is None
    assert not check_revision(uri)
    store.prepare("study")
    assert check_revision(uri)


def test_one_whose_folder_cannot_be_made_is_an_error_before_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    outputs = tmp_path / "file" / "outputs"
    with pytest.raises(TrackingError, match="cannot be used"):
        Store(tracking_uri(None, outputs), outputs).availability_error("study")


def test_a_process_that_does_not_let_go_of_the_store_delays_the_others_and_holds_up_none(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_LOCK_PATIENCE", 0.2)
    store = Store(tracking_uri(None, tmp_path), tmp_path)
    with (tmp_path / ".mlflow.db.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailableError, match=r"another process has held .* is it suspended"):
            store.prepare("study")
    assert store.prepare("study") == "1"
