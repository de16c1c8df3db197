"""Serve MLflow's web page of the local store."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import configured_uri, embedded_uri
from cifar_sweeps.tracking.ui import watchdog

HOST = "127.0.0.1"
"""Localhost only: the page has no login, and runs hold paths, overrides and facts about the machine."""

_WITHOUT_WORKERS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""MLflow otherwise starts seven processes of 240 MB each, for jobs that this project has none of."""


def serve(outputs: Path, port: int, host: str = HOST) -> None:
    """Serve MLflow's page of the store until interrupted.

    It ends with this process, however that ends. Raises TrackingError if there is no store, if the port is in use, or
    if host is not this machine.
    """
    store = _store(outputs)
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
    watched = [sys.executable, watchdog.__file__]
    with log_file.open("ab") as log:
        # The watchdog sees its standard input closed when this process ends, even if it is killed, and ends MLflow.
        server = subprocess.Popen(
            [*watched, *command, *store_options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches only this process
            env={**os.environ, **_WITHOUT_WORKERS},
        )
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
        assert server.stdin is not None
        server.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=15)


def _store(outputs: Path) -> Store:
    """Return the store that the page can show: of ``MLFLOW_TRACKING_URI``, or where this folder's last runs went.

    Raises TrackingError if that is a server, which has a page of its own.
    """
    uri = configured_uri(None)
    why = "MLFLOW_TRACKING_URI"
    if uri is None:
        uri, why = _last_uri(outputs), f"the last runs in {outputs}"
    store = Store(uri or embedded_uri(outputs), outputs)
    if store.uri.startswith(("http://", "https://")):
        raise TrackingError(f"{why}: recorded at {store.uri}; open that page in a browser")
    if not store.uri.startswith("sqlite"):
        shown = shlex.join(["mlflow", "server", "--backend-store-uri", store.uri])
        raise TrackingError(f"{why}: recorded in {store.uri}; serve its page: {shown}")
    if uri is not None and uri != embedded_uri(outputs):
        _print(f"Serving {store.uri} ({why}).")
    return store


def _last_uri(outputs: Path) -> str | None:
    """Return the store that was recorded in last, by a sweep or run of an outputs folder; None: the embedded one.

    By what was written last: a sweep that is joined again keeps its name.
    """
    journals = [path for kind in ("sweeps", "runs") for path in (outputs / kind).glob(f"*/{journal.NAME}")]
    for path in sorted(journals, key=_written, reverse=True):
        entries = journal.read(path.parent)
        if entries and entries[0].fields["backend"] == "mlflow":
            uri = entries[0].fields["uri"]
            return None if uri is None else str(uri)
    return None


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed since
        return 0.0


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
