"""Addresses of stores: each works, or is refused in one message whose advice works; no password is shown."""

import re
from pathlib import Path

import pytest

from cifar_sweeps.errors import ConfigError, hide_secrets
from cifar_sweeps.tracking.address import parse_address, sqlite_file, with_password, without_password
from cifar_sweeps.tracking.store_uri import configured_uri, is_mlflows_own


@pytest.mark.parametrize("text", ["", "  ", "''", '" "', "\n"])
def test_an_empty_address_is_none(text):
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sqlite:///a/b.db", "sqlite:///{here}/a/b.db"),
        ("sqlite:////abs/b.db", "sqlite:////abs/b.db"),
        (" 'sqlite:///b.db' ", "sqlite:///{here}/b.db"),
        ("SQLite:///b.db?timeout=60", "sqlite:///{here}/b.db?timeout=60"),
        ("sqlite:///~/b.db", "sqlite:///{home}/b.db"),
        ("sqlite+pysqlite:///b.db", "sqlite+pysqlite:///{here}/b.db"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("HTTPS://mlflow.example.org/team/", "https://mlflow.example.org/team"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://alice:hunter2@host:5000", "http://alice:***@host:5000"),
        ("http://alice:p@ss:w/rd@host", "http://alice:***@host"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_what_mlflow_can_use_is_made_whole(text, uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = parse_address(text)
    assert found.uri == uri.replace("{here}", str(tmp_path)).replace("{home}", str(tmp_path / "home"))
    assert [*tmp_path.iterdir()] == []


REFUSED = [
    ("127.0.0.1:5000", "has no scheme; write (http://127.0.0.1:5000)"),
    ("localhost:5000", "write (http://localhost:5000)"),
    ("localhost", "write (http://localhost)"),
    (
        "alice:hunter2@host:5000",
        "has no scheme; write (http://alice:\\*\\*\\*@host:5000)|write http://alice:PASSWORD@host",
    ),
    ("mlflow.example.org:443/team", "write (http://mlflow.example.org:443/team)"),
    ("./mlruns", "no longer records in folders; .* for example (sqlite:///./mlruns/mlflow.db)"),
    ("/data/mlruns", "for example (sqlite:////data/mlruns/mlflow.db)"),
    ("file:///data/mlruns", "for example (sqlite:////data/mlruns/mlflow.db)"),
    ("file:mlruns", "for example (sqlite:///mlruns/mlflow.db)"),
    ("runs/mlflow.db", "is a file's name and no address; write (sqlite:///runs/mlflow.db)"),
    ("sqlite:mlflow.db", "three slashes: (sqlite:///mlflow.db)"),
    ("sqlite:/mlflow.db", "three slashes: (sqlite:///mlflow.db)"),
    ("sqlite://mlflow.db", "three slashes: (sqlite:///mlflow.db)"),
    ("sqlite://", "in memory ends with the process that uses it; name a file: (sqlite:///runs.db)"),
    ("sqlite:///:memory:", "name a file: (sqlite:///runs.db)"),
    ("sqlite:///file::memory:?uri=true", "name a file: (sqlite:///runs.db)"),
    ("http://", "names no host"),
    ("http:///path", "names no host"),
    ("http://host:port", "names no host"),
    ("postgresql+nodriver://u:hunter2@h/d", "is no address of a database|needs a driver"),
    ("redis://localhost", "MLflow has no store of this kind"),
    ("ftp://host/x", "use http://HOST:PORT"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_mlflow_cannot_use_is_refused_with_what_to_write(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        parse_address(text, "tracking.uri")
    said = str(caught.value)
    assert said.startswith("tracking.uri=")
    assert "hunter2" not in said
    found = re.search(message, said)
    assert found is not None, said
    if found.groups() and found.group(1):  # what it advises is accepted
        assert parse_address(found.group(1)) is not None
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("uri", ["postgresql://u:hunter2@h/d", "mysql://u:hunter2@h/d", "mssql://u:hunter2@h/d"])
def test_a_missing_driver_is_named(uri):
    with pytest.raises(ConfigError, match=r"needs a driver for this database: pip install [\w-]+") as caught:
        parse_address(uri)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "http://alice:hunter2@127.0.0.1:9",
        "http://alice:hunter2/hunter2@127.0.0.1:9",
        "http://alice:hunter2@hunter2@127.0.0.1:9/path",
        "https://hunter2@host/path",
        "https://host/?key=hunter2",
        "postgresql://u:hunter2@h:5432/d?sslmode=require",
        "mysql+pymysql://h/d?user=u&password=hunter2",
        "https://h/?api_key=hunter2&x=1",
        "ConnectionError: HTTPConnectionPool(host='h'): http://u:hunter2@h/api failed",
        "could not reach postgresql://u:hunter2@h/d?token=hunter2 at all",
    ],
)
def test_no_password_is_shown(text, monkeypatch):
    assert "hunter2" not in hide_secrets(text)
    assert "hunter2" not in without_password(text) or " " in text
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok")
    assert hide_secrets("Bearer tok") == "Bearer ***"


@pytest.mark.parametrize("secret", ["alice:pw", "alice:p/w", "alice:p@w", "TOKEN"])
def test_a_password_in_the_config_is_refused_before_anything_is_recorded(secret):
    with pytest.raises(ConfigError, match="holds a password") as caught:
        configured_uri(f"http://{secret}@host:5000")
    assert secret not in str(caught.value)
    assert hide_secrets("postgresql://alice@host/db") == "postgresql://alice@host/db"
    assert configured_uri("http://host:5000/") == "http://host:5000"


@pytest.mark.parametrize(
    ("typed", "uri", "is_own"),
    [
        ("", "sqlite:////there/mlflow.db", False),
        ("sqlite:////there/mlflow.db", "sqlite:////there/mlflow.db", True),
        ("sqlite:////there/mlflow.db", "sqlite:////elsewhere/mlflow.db", False),
        ("sqlite:///{here}/mlflow.db", "sqlite:///{here}/mlflow.db", True),
        # MLflow takes it word by word, and would open a file of that name.
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db", False),
        ("'sqlite:///{here}/mlflow.db'", "sqlite:///{here}/mlflow.db", False),
        ("http://host:5000", "http://host:5000", True),
        ("http://alice:pw@host:5000", "http://alice:***@host:5000", True),
        # Not used where another store is configured, and not parsed before.
        ("./mlruns", "http://host:5000", False),
        ("host:5000", "http://host:5000", False),
    ],
)
def test_a_store_is_mlflow_s_own_if_the_environment_s_words_lead_there(typed, uri, is_own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", typed.format(here=tmp_path))
    assert is_mlflows_own(uri.format(here=tmp_path)) is is_own


def test_an_address_gets_its_password_back_from_the_environment_alone(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://alice:hunter2@host:5000/")
    assert with_password("http://alice:***@host:5000") == "http://alice:hunter2@host:5000"
    assert with_password("http://other:5000") == "http://other:5000"
    with pytest.raises(ConfigError, match="is not recorded; set MLFLOW_TRACKING_URI"):
        with_password("http://alice:***@elsewhere")


def test_the_file_of_an_address():
    assert sqlite_file("sqlite:////a/b.db?timeout=60") == Path("/a/b.db")
    assert sqlite_file("http://host") is None
