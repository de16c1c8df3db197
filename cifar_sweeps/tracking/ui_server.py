"""Serve MLflow's web page of the local store."""

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
"""Localhost only: the page has no login, and runs hold paths, overrides and facts about the machine."""


def serve(outputs: Path, port: int, host: str = HOST) -> None:
    """Serve MLflow's page of the store until interrupted.

    Raises TrackingError if there is no store, if the port is in use, or if host is not this machine.
    """
    if "MLFLOW_TRACKING_URI" in os.environ:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={os.environ['MLFLOW_TRACKING_URI']}: runs are recorded there; open that server's page"
        )
    store = Store(tracking_uri(None, outputs), outputs)
    store.check_exists()
    artifacts = (outputs.absolute() / "artifacts").as_uri()
    store_options = ["--backend-store-uri", store.uri, "--default-artifact-root", artifacts]
    if host not in (HOST, "localhost"):
        raise TrackingError(_login_instructions(host, port, store_options))
    if _is_reachable(port):
        raise TrackingError(f"--port={port}: the port is in use; choose another, e.g. --port={port + 1}")
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    log_file = outputs / "mlflow-ui.log"
    _print(f"Starting MLflow (takes some seconds; log: {log_file}) …")
    with log_file.open("ab") as log:
        # A session of its own: one signal ends it with all its workers, and Ctrl-C reaches only this process.
        server = subprocess.Popen([*command, *store_options], stdout=log, stderr=log, start_new_session=True)
    try:
        while server.poll() is None and not _is_reachable(port):
            time.sleep(0.2)
        if server.poll() is None:
            _print(f"MLflow is at http://{HOST}:{port}/#/experiments (Ctrl-C stops it)")
        if server.wait() != 0:
            raise TrackingError(f"MLflow's server stopped unexpectedly; see {log_file}")
    except KeyboardInterrupt:
        _print("")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # what ignored SIGTERM


def _login_instructions(host: str, port: int, store_options: list[str]) -> str:
    """Return how to serve the store to other machines, with MLflow's own login."""
    server = ["mlflow", "server", "--app-name", "basic-auth", "--host", host, "--port", str(port), *store_options]
    return (
        f"--host={host}: the page has no login, so it is served on this machine only (--host={HOST}). To open "
        "it to others, add MLflow's login: pip install 'mlflow[auth]', set MLFLOW_FLASK_SERVER_SECRET_KEY (long) and "
        f"MLFLOW_AUTH_ADMIN_PASSWORD, then run {shlex.join(server)}. From a single machine, use a tunnel: "
        f"ssh -L {port}:{HOST}:{port} THIS_MACHINE"
    )


def _is_reachable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((HOST, port)) == 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
