"""The MLflow page over the embedded store."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking.store import Store, tracking_uri

HOST = "127.0.0.1"
"""Runs carry paths, overrides and host facts; the page has no login, so it is served to this machine alone."""


def serve(outputs: Path, port: int) -> None:
    """Serve MLflow's page of the store until it is interrupted.

    Raises TrackingError if there is no store, or if the port is taken.
    """
    if "MLFLOW_TRACKING_URI" in os.environ:
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={os.environ['MLFLOW_TRACKING_URI']}: the runs are recorded there; open its own page"
        )
    store = Store(tracking_uri(None, outputs), outputs)
    store.check_exists()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise TrackingError(
                f"--port={port}: something is already served there; choose another, e.g. --port={port + 1}"
            )
    sys.stdout.write(f"MLflow is at http://{HOST}:{port}/#/experiments (Ctrl-C ends it)\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    artifacts = (outputs.absolute() / "artifacts").as_uri()
    where = ["--backend-store-uri", store.uri, "--default-artifact-root", artifacts]
    server = subprocess.Popen([*command, *where])
    try:
        server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
