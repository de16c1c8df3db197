"""The MLflow page over the embedded store."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking.store import Store, tracking_uri

HOST = "127.0.0.1"
"""Runs carry paths, overrides and host facts; the page has no login, so it is served to this machine alone."""


def serve(outputs: Path, port: int, host: str = HOST) -> None:
    """Serve MLflow's page of the store until it is interrupted.

    Raises TrackingError if there is no store, if the port is taken, or if host is any other than this machine.
    """
    if "MLFLOW_TRACKING_URI" in os.environ:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={os.environ['MLFLOW_TRACKING_URI']}: the runs are recorded there; open its own page"
        )
    store = Store(tracking_uri(None, outputs), outputs)
    store.check_exists()
    artifacts = (outputs.absolute() / "artifacts").as_uri()
    where = ["--backend-store-uri", store.uri, "--default-artifact-root", artifacts]
    if host not in (HOST, "localhost"):
        raise TrackingError(_with_login(host, port, where))
    if _is_reachable(port):
        raise TrackingError(f"--port={port}: something is already served there; choose another, e.g. --port={port + 1}")
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    log_file = outputs / "mlflow-ui.log"
    _say(f"Starting MLflow (it takes some seconds; its log: {log_file}) …")
    with log_file.open("ab") as log:
        # A session of its own: one signal then ends it with all its workers, and Ctrl-C reaches us alone.
        server = subprocess.Popen([*command, *where], stdout=log, stderr=log, start_new_session=True)
    try:
        while server.poll() is None and not _is_reachable(port):
            time.sleep(0.2)
        if server.poll() is None:
            _say(f"MLflow is at http://{HOST}:{port}/#/experiments (Ctrl-C ends it)")
        if server.wait() != 0:
            raise TrackingError(f"MLflow's server ended by itself; see {log_file}")
    except KeyboardInterrupt:
        _say("")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # what did not heed it


def _with_login(host: str, port: int, where: list[str]) -> str:
    """Say how to serve the store to others, which takes MLflow's own login."""
    server = ["mlflow", "server", "--app-name", "basic-auth", "--host", host, "--port", str(port), *where]
    return (
        f"--host={host}: the page has no login, so it is served to this machine alone (--host={HOST}). To show "
        "it to others, add MLflow's own: pip install 'mlflow[auth]', set MLFLOW_FLASK_SERVER_SECRET_KEY (long) and "
        f"MLFLOW_AUTH_ADMIN_PASSWORD, then run {shlex.join(server)}. For one machine of yours a tunnel does: "
        f"ssh -L {port}:{HOST}:{port} THIS_MACHINE"
    )


def _is_reachable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((HOST, port)) == 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
