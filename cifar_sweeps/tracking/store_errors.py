"""What a store's error means for a call: it may pass, the call is refused for good, or its run was deleted."""

import errno
import re
import sqlite3

from cifar_sweeps.tracking import mlflow_api


def store_errors() -> tuple[type[Exception], ...]:
    """Return what MLflow raises if its store cannot be used; some of the database's own errors pass through.

    For ``except``, which asks for it only once something was raised: MLflow need not be imported before.
    """
    from sqlalchemy.exc import SQLAlchemyError

    return (mlflow_api.MlflowException, SQLAlchemyError, sqlite3.OperationalError, OSError)


_PASSING_CODES = frozenset({"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"})
_NO_ANSWER_OF_MLFLOW = "failed with error code"
"""MLflow's words for an answer that is not its server's own: of a proxy before it, or of a server that breaks off."""
_PASSING_TEXTS = (
    "failed with exception",  # MLflow's words for a request that reached no server
    "database is locked",
    "database table is locked",
    *(f"{_NO_ANSWER_OF_MLFLOW} {status}" for status in (408, 429, 500, 502, 503, 504)),
    "Connection refused",
    "Connection reset",
    "Connection aborted",
    "Connection broken",
    "connection to server",  # psycopg2, for all that has to do with its server
    "Can't connect to",  # pymysql
    "too many connections",
    "timed out",
)
"""Parts of the messages of MLflow, its databases and their drivers for what may pass."""
_PASSING_IN_DATABASE = re.compile(
    r"(?<!sqlite3\.)InterfaceError\)|OperationalError\)|connection already closed|server closed the connection"
    r"|terminating connection|the database system is |read-only transaction|deadlock|could not serialize"
    r"|QueuePool limit|transaction has been rolled back|invalid transaction|Lost connection|server has gone away",
    re.IGNORECASE,
)
"""Of a database that restarts or fails over. MLflow's server calls some of these a bad request, as it does real ones:
a value that a column does not hold."""
_PASSING_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
_TOO_LARGE = 413
"""Status of a proxy that takes no body of this size: nginx's limit is 1 MB unless ``client_max_body_size`` is set."""


def is_busy(error: BaseException) -> bool:
    """Return whether a store's error may pass by itself: it is locked, restarting, overloaded or out of reach."""
    text = str(error)
    if getattr(error, "error_code", "") in _PASSING_CODES or any(part in text for part in _PASSING_TEXTS):
        return True
    if _status(error) and not (_status(error) == 400 and _is_mlflows(error)):
        return _status(error) in _PASSING_STATUSES
    if not _status(error) and not isinstance(error, mlflow_api.MlflowException):
        return False
    # The head of the message: it goes on with the statement and its values, which may hold any words.
    said = str(error.response.text) if _status(error) else text  # type: ignore[attr-defined]
    return _PASSING_IN_DATABASE.search(said.partition("[SQL:")[0]) is not None


def is_refusal(error: BaseException) -> bool:
    """Return whether the store will refuse the same call again: it did answer, and the run is there to be written."""
    if _status(error):
        return _status(error) == _TOO_LARGE or (_status(error) == 400 and _is_mlflows(error) and not is_busy(error))
    if isinstance(error, OSError):  # artifacts are written to where the store says, which may be another machine's
        return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    if not isinstance(error, mlflow_api.MlflowException) or is_busy(error) or is_gone(error):
        return False
    if _NO_ANSWER_OF_MLFLOW in str(error):
        return f"{_NO_ANSWER_OF_MLFLOW} {_TOO_LARGE}" in str(error)
    return error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")


def is_gone(error: BaseException) -> bool:
    """Return whether a call failed because its run was deleted in MLflow, into the trash or for good."""
    if not isinstance(error, mlflow_api.MlflowException):
        return False
    text = str(error)
    return "must be in the 'active' state" in text or (
        error.error_code == "RESOURCE_DOES_NOT_EXIST" and ("Run" in text or "run" in text)
    )


def wants_login(error: BaseException) -> bool:
    """Return whether the server, or a proxy before it, did not take the user and the password."""
    if _status(error):
        return _status(error) in (401, 403)
    denied = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")
    return isinstance(error, mlflow_api.MlflowException) and error.error_code in denied


def _status(error: BaseException) -> int:
    """Return the status of an answer that the package ``requests`` raised, as it does for artifacts; 0 of all else."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _is_mlflows(error: BaseException) -> bool:
    """Return whether an answer is the server's own, and no proxy's page."""
    return str(getattr(getattr(error, "response", None), "text", "")).lstrip().startswith("{")
