"""MLflow's store in an SQLite file: create it atomically, and check its schema revision before MLflow opens it.

MLflow 3.17 refuses a store with all tables and another revision, but silently migrates one that lacks a table, as an
older MLflow's does, without a backup; and it calls a newer store out of date.
"""

import functools
import importlib.util
import re
import shlex
import shutil
import sqlite3
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.address import sqlite_file

_REVISION = re.compile(r"^revision\s*(?::[^=]+)?=(.*)$", re.MULTILINE)
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
_PREVIOUS = re.compile(r"^down_revision\s*(?::[^=]+)?=(.*)$", re.MULTILINE)
_PATIENCE = 1.0
"""Seconds to wait for a program that has locked the file, where a command starts."""
_NAME = re.compile(r"[\"'](\w+)[\"']")


def check_revision(uri: str) -> bool:
    """Return whether the store at ``uri`` is an SQLite file of this MLflow's revision. Changes nothing.

    False: it is not an SQLite file, does not exist yet or is empty, which is left to MLflow.
    Raises TrackingError, with what to do, if it is of another revision; sqlite3.OperationalError if it is locked.
    """
    file = sqlite_file(uri)
    if file is None or not file.is_file():
        return False
    path = str(file)
    found = _revision(path)
    if found is None:
        return False
    newest, known = _revisions()
    if found == newest:
        return True
    if found in known:
        copy = shlex.join(["cp", path, f"{path}.backup"])
        upgrade = shlex.join(["mlflow", "db", "upgrade", uri])
        raise TrackingError(
            f"{path}: was made by an older MLflow (revision {found}; {_mlflow_version()} needs {newest}); "
            f"stop whatever uses it, back it up and upgrade it: {copy} && {upgrade}"
        )
    raise TrackingError(
        f"{path}: was made by a newer MLflow (revision {found}, which {_mlflow_version()} does not know); "
        "use that version (pip install --upgrade mlflow), or another folder: CIFAR_SWEEPS_OUTPUTS=FOLDER"
    )


def read_revisions_as_text() -> None:
    """Let MLflow look up its newest revision as `check_revision` does, wherever this process opens a database.

    By itself it imports all of its seventy migrations for that, in each job anew. Of an MLflow that has no such
    function any more nothing is changed.
    """
    mlflow_api.load()
    from mlflow.store.db import utils as mlflow_db  # with alembic, only where a database is opened

    if hasattr(mlflow_db, "_get_latest_schema_revision"):
        mlflow_db._get_latest_schema_revision = lambda: _revisions()[0]


def create_database(path: Path) -> None:
    """Create the SQLite file atomically, if it does not exist.

    MLflow creates it in dozens of steps and cannot continue after a kill: such a file is unusable.
    """
    if path.exists():
        return
    folder = path.with_name(f".{path.name}.new")
    shutil.rmtree(folder, ignore_errors=True)  # left by a kill, rollback journal included
    folder.mkdir(parents=True)
    mlflow_api.MlflowClient(f"sqlite:///{(folder / path.name).as_posix()}").search_experiments(max_results=1)
    (folder / path.name).replace(path)
    shutil.rmtree(folder)


def relocate_artifacts(path: Path, artifacts: Path) -> str | None:
    """Let a store's records say that its artifacts lie in ``artifacts``, if its folder was moved, copied or mounted.

    MLflow records absolute places. Returns where they lay before; None if nothing was to be changed, or could be: the
    store is read-only, or locked by another program.
    """
    now = artifacts.as_uri()
    if not path.is_file() or not artifacts.is_dir():
        return None
    try:
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
        try:
            rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
            moved = [str(row[0]) for row in rows if str(row[0]).startswith("file:") and _is_elsewhere(str(row[0]), now)]
            if not moved:
                return None
            connection.execute("BEGIN IMMEDIATE")
            for before in moved:
                for table, column in _PLACES:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 (our own names)
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
                    )
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return None
    return unquote(urlsplit(moved[0]).path)


def _is_elsewhere(before: str, now: str) -> bool:
    """Return whether a recorded place is an outputs folder's artifacts, and not those that lie here."""
    if before == now or not before.endswith("/artifacts"):
        return False
    try:
        return not Path(unquote(urlsplit(before).path)).samefile(unquote(urlsplit(now).path))
    except OSError:  # it is not there any more
        return True


def _revision(path: str) -> str | None:
    """Return a database's revision; None if it has none, such as an empty one."""
    try:
        connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)
        try:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
        return None  # no such table; or it cannot be read, and MLflow says why
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"{path}: is damaged, or not an MLflow database ({error}); move it away, or set CIFAR_SWEEPS_OUTPUTS=FOLDER"
        ) from error
    return str(rows[0][0]) if rows else None


def _mlflow_version() -> str:
    return metadata.version("mlflow")


@functools.cache
def _revisions() -> tuple[str, frozenset[str]]:
    """Return the newest revision of the installed MLflow, and all of them.

    Parsed from its migrations: Alembic imports all of them, which takes half a second at each start.
    """
    found = importlib.util.find_spec("mlflow")  # not imported: that takes a second or two
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "store" / "db_migrations" / "versions"
    sources = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    known, previous = (
        {name for source in sources for line in pattern.findall(source) for name in _NAME.findall(line)}
        for pattern in (_REVISION, _PREVIOUS)
    )
    newest = known - previous
    if len(newest) != 1:
        raise TrackingError(
            f"{folder}: {len(newest)} of MLflow {_mlflow_version()}'s revisions have no successor; expected one. "
            "Install another version: pip install 'mlflow<3.18'"
        )
    return newest.pop(), frozenset(known)
