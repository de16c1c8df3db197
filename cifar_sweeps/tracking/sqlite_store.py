"""MLflow's store in an SQLite file: made whole, and judged by its revision before MLflow opens it.

MLflow 3.17 refuses a store whose tables are there and whose revision is another; one that lacks a table, as an older
MLflow's does, it migrates without a word and without a backup. And of a newer store it says that it is out of date.
"""

import functools
import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from sqlalchemy.engine import make_url

from cifar_sweeps.errors import TrackingError

_OWN = re.compile(r"^revision\s*(?::[^=]+)?=(.*)$", re.MULTILINE)
_EARLIER = re.compile(r"^down_revision\s*(?::[^=]+)?=(.*)$", re.MULTILINE)
_NAME = re.compile(r"[\"'](\w+)[\"']")


def check_revision(uri: str) -> bool:
    """Return whether the store at ``uri`` is a file of this MLflow's. Changes nothing.

    False: it is no SQLite file, is not there yet or is empty, which is left to MLflow.
    Raises TrackingError, with how to mend it, if it is a file of another MLflow's.
    """
    # MLflow has addresses of its own, such as ``mlruns`` or ``databricks``, that are no database's.
    path = (make_url(uri).database or "") if uri.startswith("sqlite") else ""
    if not Path(path).is_file():
        return False
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
            f"{path}: was made by an older MLflow (revision {found}; {mlflow.__version__} needs {newest}); "
            f"end what uses it, keep a copy, then upgrade it: {copy} && {upgrade}"
        )
    raise TrackingError(
        f"{path}: was made by a newer MLflow (revision {found}, which {mlflow.__version__} does not know); "
        "use that version (pip install --upgrade mlflow), or another folder: CIFAR_SWEEPS_OUTPUTS=FOLDER"
    )


def create_database(path: Path) -> None:
    """Make a SQLite file that is not there; it appears whole.

    MLflow makes it in dozens of steps, and cannot go on where a kill cut them short: such a file is of no use any more.
    """
    if path.exists():
        return
    folder = path.with_name(f".{path.name}.new")
    shutil.rmtree(folder, ignore_errors=True)  # what a kill left, its rollback journal included
    folder.mkdir(parents=True)
    MlflowClient(f"sqlite:///{(folder / path.name).as_posix()}").search_experiments(max_results=1)
    (folder / path.name).replace(path)
    shutil.rmtree(folder)


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


@functools.cache
def _revisions() -> tuple[str, frozenset[str]]:
    """Return the newest revision that the installed MLflow knows, and all of them.

    Read from its migrations rather than by Alembic, which imports all of them, half a second at each start.
    """
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    sources = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    known, earlier = (
        {name for source in sources for line in pattern.findall(source) for name in _NAME.findall(line)}
        for pattern in (_OWN, _EARLIER)
    )
    newest = known - earlier
    if len(newest) != 1:
        raise TrackingError(
            f"{folder}: {len(newest)} of MLflow {mlflow.__version__}'s revisions are the newest; "
            "install another version: pip install 'mlflow<3.18'"
        )
    return newest.pop(), frozenset(known)
