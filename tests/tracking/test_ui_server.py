"""The MLflow page has no login, so it is served on this machine only."""

import shlex
import subprocess

import pytest
from mlflow.cli import server as mlflow_server

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import ui_server
from cifar_sweeps.tracking.store import Store


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """A folder whose store is taken to exist."""
    monkeypatch.setattr(Store, "check_exists", lambda _: None)
    folder = tmp_path / "my outputs"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_it_is_not_served_to_other_machines_without_a_login(outputs, monkeypatch, host):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("starts a server"))
    with pytest.raises(TrackingError) as caught:
        ui_server.serve(outputs, 5001, host)
    message = str(caught.value)
    assert message.startswith(f"--host={host}: the page has no login")
    assert "pip install 'mlflow[auth]'" in message
    command = shlex.split(message.partition("then run ")[2].partition(". From a single")[0])
    assert command[:2] == ["mlflow", "server"]
    # Parsed by MLflow itself, so that its options exist.
    given = mlflow_server.make_context("server", command[2:]).params
    assert (given["app_name"], given["host"], given["port"]) == ("basic-auth", host, 5001)
    assert given["backend_store_uri"] == f"sqlite:///{outputs}/mlflow.db"


def test_it_is_served_on_the_loopback_address(outputs, monkeypatch):
    started = []

    def popen(command, **_):
        started.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr(ui_server, "_is_reachable", lambda _: False)
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(KeyboardInterrupt):
        ui_server.serve(outputs, 5001, "localhost")
    assert started[0][started[0].index("--host") + 1] == "127.0.0.1"
