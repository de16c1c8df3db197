"""Whether an SQLite store was made by an MLflow that this one understands: judged before MLflow opens it.

MLflow 3.17 refuses a store whose tables are there and whose revision is another; one that lacks a table, as an older
MLflow's does, it migrates without a word and without a backup. And of a newer store it says that it is out of date.
"""

import functools
import shlex
import sqlite3
from pathlib import Path

import mlflow
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from cifar_sweeps.errors import TrackingError


def check_revision(uri: str) -> None:
    """Raise TrackingError, with how to mend it, if the store at ``uri`` is a file of another MLflow's. Changes nothing.

    A store that is no SQLite file, is not there yet or is empty is left to MLflow.
    """
    url = make_url(uri)
    path = url.database or ""
    if url.get_backend_name() != "sqlite" or not Path(path).is_file():
        return
    found = _revision(path)
    if found is None or found == _revisions()[0]:
        return
    if found in _revisions():
        copy = shlex.join(["cp", path, f"{path}.backup"])
        upgrade = shlex.join(["mlflow", "db", "upgrade", uri])
        raise TrackingError(
            f"{path}: was made by an older MLflow (revision {found}; {mlflow.__version__} needs {_revisions()[0]}); "
            f"end what uses it, keep a copy, then upgrade it: {copy} && {upgrade}"
        )
    raise TrackingError(
        f"{path}: was made by a newer MLflow (revision {found}, which {mlflow.__version__} does not know); "
        "use that version (pip install --upgrade mlflow), or another folder: CIFAR_SWEEPS_OUTPUTS=FOLDER"
    )


def _revision(path: str) -> str | None:
    """Return the revision that a database says it has; None if it says nothing, as an empty one."""
    try:
        connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError:  # no such table; or it cannot be read, and MLflow says why
        return None
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"{path}: is damaged, or no store of runs ({error}); move it away, or set CIFAR_SWEEPS_OUTPUTS=FOLDER"
        ) from error
    return str(rows[0][0]) if rows else None


@functools.cache  # MLflow's migrations, all of which are imported for it
def _revisions() -> tuple[str, ...]:
    """Return the revisions that the installed MLflow knows, the newest first."""
    script = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return tuple(revision.revision for revision in script.walk_revisions())
