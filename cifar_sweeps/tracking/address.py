"""Addresses of MLflow stores: what a user typed, made whole or refused, and kept apart from its password."""

import os
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_sweeps.errors import HIDDEN, ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL  # which takes half a second, and only an address that was typed needs

_VARIABLE = "MLFLOW_TRACKING_URI"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Databases that MLflow records in without a server."""
_DRIVERS = {"postgresql": "psycopg2", "mysql": "pymysql", "mssql": "pymssql"}
"""The driver for an address that names none."""
_PACKAGES = {"psycopg2": "psycopg2-binary"}
"""Packages that are not called as their drivers are."""
_SECRET = re.compile(r"pass|pwd|secret|token|credential|key", re.IGNORECASE)
"""Query keys whose values are secrets."""
_MANAGED = ("databricks", "databricks-uc", "uc")
_TOKEN = re.compile(r"^(?P<start>https?://)[^/:@]+@", re.IGNORECASE)
_LINK = re.compile(r"(?P<start>[a-z][\w+.-]*://)(?P<user>[^:@/?#]*):(?P<password>.+)@(?P<rest>[^@]*)", re.IGNORECASE)

_BARE = re.compile(r"(?P<start>)(?P<user>[^:@/?#\s]+):(?!//)(?P<password>.+)@(?P<rest>[^@]*)")
"""An address whose scheme was forgotten."""


@dataclass(frozen=True)
class StoreAddress:
    """The address of a store. ``uri`` has no password; ``secret_uri`` is what MLflow is given."""

    uri: str
    secret_uri: str

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite store; None for any other."""
        return sqlite_file(self.uri)


def parse_address(text: str, key: str = _VARIABLE) -> StoreAddress | None:
    """Return the address that a user typed; None for an empty one. An SQLite file is relative to the working folder.

    key: where it was typed, for messages. Raises ConfigError if MLflow could not use it, with what to write instead.
    """
    typed = text.strip()
    if len(typed) > 1 and typed[0] == typed[-1] and typed[0] in "'\"":
        typed = typed[1:-1].strip()
    if not typed:
        return None
    shown = f"{key}={without_password(typed)}"
    scheme, separator, rest = typed.partition("://")
    if not separator:
        return _without_scheme(typed, shown)
    scheme = scheme.lower()
    database = scheme.partition("+")[0]
    if scheme in ("http", "https"):
        return _server(scheme, rest, shown)
    if database in DATABASES:
        return _database(f"{scheme}://{rest}", shown)
    if scheme == "file":
        raise ConfigError(f"{shown}: {_NO_FOLDERS}; for example sqlite:///{rest.rstrip('/') or 'runs'}/mlflow.db")
    if scheme in _MANAGED or scheme in {point.name for point in entry_points(group="mlflow.tracking_store")}:
        return StoreAddress(without_password(typed), typed)
    raise ConfigError(
        f"{shown}: MLflow has no store of this kind ({scheme}://); use http://HOST:PORT for a server, or a database: "
        f"{', '.join(f'{each}://' for each in DATABASES)}"
    )


def without_password(uri: str) -> str:
    """Return an address with its password or token, and the secrets in its query, replaced by ***."""
    found = _LINK.fullmatch(uri) or _BARE.fullmatch(uri)
    if found is not None:
        uri = f"{found['start']}{found['user']}:{HIDDEN}@{found['rest']}"
    else:
        uri = _TOKEN.sub(rf"\g<start>{HIDDEN}@", uri)
    start, mark, query = uri.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")] if mark else []
    return (
        start
        + mark
        + "&".join(
            f"{key}{equals}{HIDDEN if equals and _SECRET.search(key) else value}" for key, equals, value in pairs
        )
    )


def with_password(uri: str) -> str:
    """Return an address that was recorded without its password with the one in ``MLFLOW_TRACKING_URI``.

    Unchanged where that names another store, or is not set: MLflow then uses ``MLFLOW_TRACKING_USERNAME`` and
    ``MLFLOW_TRACKING_PASSWORD`` for a server.
    """
    if HIDDEN not in uri:
        return uri
    current = parse_address(os.environ.get(_VARIABLE, ""))
    if current is not None and current.uri == uri:
        return current.secret_uri
    raise ConfigError(
        f"{uri}: the password of this store is not recorded; set {_VARIABLE} to the address with its password"
    )


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite store's address; None for any other store."""
    if not uri.startswith("sqlite"):
        return None
    if uri.startswith("sqlite:///") and not set("?%") & set(uri):  # most of all: that of an outputs folder
        return Path(uri.removeprefix("sqlite:///")) if uri != "sqlite:///" else None
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    return Path(database) if database else None


_NO_FOLDERS = "MLflow no longer records in folders; name a database in it"


def _without_scheme(typed: str, shown: str) -> StoreAddress:
    if typed.lower() in _MANAGED or typed.lower().startswith(tuple(f"{name}:" for name in _MANAGED)):
        return StoreAddress(typed, typed)
    if typed.lower().startswith("sqlite:"):
        path = typed[len("sqlite:") :].lstrip("/") or "mlflow.db"
        raise ConfigError(f"{shown}: an SQLite address has three slashes: sqlite:///{path}")
    user, at, host = typed.rpartition("@")
    if at and ":" in user:  # a password: shown as ***
        raise ConfigError(f"{shown}: has no scheme; write http://{user.partition(':')[0]}:PASSWORD@{host}")
    if re.fullmatch(r"(\[[\da-fA-F:]+\]|[\w.-]+):\d+(/.*)?", typed) or re.fullmatch(r"[\d.]+|localhost", typed):
        raise ConfigError(f"{shown}: has no scheme; write http://{typed}")
    path = typed.removeprefix("file:")
    if path.endswith((".db", ".sqlite", ".sqlite3")):
        raise ConfigError(f"{shown}: is a file's name and no address; write sqlite:///{path}")
    raise ConfigError(f"{shown}: {_NO_FOLDERS}; for example sqlite:///{path.rstrip('/') or 'runs'}/mlflow.db")


def _server(scheme: str, rest: str, shown: str) -> StoreAddress:
    host = rest.rpartition("@")[2] if "@" in rest.split("/")[0] or "@" in rest else rest
    name = host.split("/")[0]
    if not re.fullmatch(r"(\[[\da-fA-F:]+\]|[\w.-]+)(:\d{1,5})?", name):
        raise ConfigError(f"{shown}: names no host; write {scheme}://HOST:PORT")
    uri = f"{scheme}://{rest.rstrip('/')}"
    return StoreAddress(without_password(uri), uri)


def _database(uri: str, shown: str) -> StoreAddress:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(uri)
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except ModuleNotFoundError as error:
        kind, _, driver = uri.partition("://")[0].partition("+")
        named = driver or _DRIVERS.get(kind, str(error.name))
        package = _PACKAGES.get(named, named)
        # What a plain mysql:// or mssql:// means has to be compiled.
        write = "" if driver or named == error.name else f" and write {kind}+{named}://…"
        raise ConfigError(f"{shown}: needs a driver for this database: pip install {package}{write}") from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(f"{shown}: is no address of a database; write KIND://USER:PASSWORD@HOST:PORT/NAME") from error
    if url.get_backend_name() != "sqlite":
        return StoreAddress(without_password(uri), uri)
    return _sqlite(url, uri, shown)


def _sqlite(url: "URL", uri: str, shown: str) -> StoreAddress:
    database = url.database or ""
    if url.host:
        after = uri.partition("://")[2]
        raise ConfigError(f"{shown}: an SQLite address has three slashes: sqlite:///{after}")
    if database in ("", ":memory:") or database.startswith("file:"):
        raise ConfigError(
            f"{shown}: a database in memory ends with the process that uses it; name a file: sqlite:///runs.db"
        )
    path = Path(database).expanduser().absolute()
    query = uri.partition("?")[2]
    whole = f"{url.drivername}:///{path.as_posix()}" + (f"?{query}" if query else "")
    return StoreAddress(without_password(whole), whole)
