"""The MLflow page has no login, so it is served on this machine only."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from mlflow.cli import server as mlflow_server

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking.journal import Journal
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.ui import server, watchdog


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
        server.serve(outputs, 5001, host)
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

    monkeypatch.setattr(server, "_is_reachable", lambda _: False)
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(KeyboardInterrupt):
        server.serve(outputs, 5001, "localhost")
    assert started[0][started[0].index("--host") + 1] == "127.0.0.1"


SERVER = "import os, sys, time; print(os.getpid(), flush=True); os.fork(); time.sleep(60)"


@pytest.mark.parametrize("ending", ["closed", signal.SIGKILL, signal.SIGTERM], ids=str)
def test_what_the_page_is_served_by_ends_with_its_command_however_that_ends(ending):
    starter = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n"
        "sys.stdin.read()\n"
    )
    watched = [sys.executable, watchdog.__file__, sys.executable, "-c", SERVER]
    command = subprocess.Popen(
        [sys.executable, "-c", starter, *watched], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    group = int(command.stdout.readline())
    os.killpg(group, 0)  # it runs, in a group of its own
    if ending == "closed":
        command.stdin.close()
    else:
        command.send_signal(ending)
        time.sleep(0.01)
        command.send_signal(ending)
    command.wait(timeout=20)
    end = time.monotonic() + 20
    while _is_alive(group):
        assert time.monotonic() < end, "the server still runs"
        time.sleep(0.05)


def _is_alive(group):
    """Whether a process of the group runs; one that has ended may still wait for this container's init."""
    found = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True, check=False)
    return any(not state.startswith("Z") for state in found.stdout.split())


def test_the_status_of_a_server_that_fails_is_passed_on():
    failing = [sys.executable, watchdog.__file__, sys.executable, "-c", "raise SystemExit(3)"]
    with subprocess.Popen(failing, stdin=subprocess.PIPE) as started:
        assert started.wait(timeout=20) == 3


def recorded_in(outputs, name, uri):
    folder = outputs / "runs" / name
    folder.mkdir(parents=True)
    journal = Journal(folder)
    journal.append("open", backend="mlflow", uri=uri)
    journal.close()
    return folder / "journal.jsonl"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://host:5000", "recorded at http://host:5000; open that page in a browser"),
        ("postgresql://me:***@host/db", "serve its page: mlflow server --backend-store-uri"),
    ],
)
def test_a_store_that_the_page_cannot_show_is_named(outputs, uri, said, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    os.utime(recorded_in(outputs, "2026-01-01", None), (1, 1))
    recorded_in(outputs, "2026-01-02", uri)
    with pytest.raises(TrackingError, match=re.escape(said)):
        server.serve(outputs, 5001)


def test_the_page_shows_the_store_of_a_sweep_that_was_joined_again_last(outputs, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = recorded_in(outputs, "2026-01-01", None)
    second = recorded_in(outputs, "2026-01-02", f"sqlite:///{tmp_path}/other.db")
    os.utime(first, (1, 1))
    assert server._last_uri(outputs) == f"sqlite:///{tmp_path}/other.db"
    os.utime(second, (0, 0))
    assert server._last_uri(outputs) is None


def test_the_page_shows_the_store_of_the_last_run(outputs, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    recorded_in(outputs, "2026-01-01", f"sqlite:///{tmp_path}/other.db")
    monkeypatch.setattr(server, "_is_reachable", lambda _: True)
    with pytest.raises(TrackingError, match="in use"):
        server.serve(outputs, 5001)
    assert f"Serving sqlite:///{tmp_path}/other.db" in capsys.readouterr().out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", " ")  # set to nothing is not set
    with pytest.raises(TrackingError, match="in use"):
        server.serve(outputs, 5001)
