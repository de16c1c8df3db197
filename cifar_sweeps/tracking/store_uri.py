"""The address of the store that a config or the environment names, or of the one in the outputs folder."""

import os
from pathlib import Path

from cifar_sweeps.errors import ConfigError, hide_secrets
from cifar_sweeps.tracking.address import parse_address


def tracking_uri(configured: str | None, outputs: str | Path) -> str:
    """Return the configured URI, else ``MLFLOW_TRACKING_URI``, else that of the SQLite file in the outputs folder.

    Raises ConfigError if that folder's name cannot stand in a URI.
    """
    return configured_uri(configured) or embedded_uri(outputs)


def configured_uri(configured: str | None, outputs: str | Path | None = None) -> str | None:
    """Return the configured address, else ``MLFLOW_TRACKING_URI``, made whole and without its password; None if none.

    outputs: None too if it is that of this folder's own SQLite file, which may be moved with the folder.
    Raises ConfigError if MLflow cannot use it, or if the configured one holds a password, which records would show.
    """
    if configured and hide_secrets(configured) != configured:
        raise ConfigError(
            f"tracking.uri={hide_secrets(configured)}: holds a password, which the run's records would show; "
            "put the address into the environment variable MLFLOW_TRACKING_URI instead"
        )
    address = parse_address(configured, "tracking.uri") if configured else None
    address = address or parse_address(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if address is None or (outputs is not None and address.uri == f"sqlite:///{_embedded_file(outputs)}"):
        return None
    return address.uri


def is_mlflows_own(uri: str) -> bool:
    """Return whether MLflow uses this store if it is told nothing: by ``MLFLOW_TRACKING_URI``, which it reads itself.

    It takes that word by word. An address that we had to complete, such as a relative one, leads it elsewhere; one
    with a password is MLflow's own, for nothing else may hold that.
    """
    typed = os.environ.get("MLFLOW_TRACKING_URI", "")
    try:
        address = parse_address(typed)
    except ConfigError:  # it is not used: another store was configured
        return False
    return address is not None and address.uri == uri and (typed == uri or address.secret_uri != uri)


def jobs_may_send(configured: str | None) -> bool:
    """Return whether a sweep's jobs send to the store at the configured address themselves: to a server.

    A file of this machine is written by the sweep's command alone: no job then needs MLflow, and none waits for another
    that writes. Raises ConfigError as `configured_uri` does.
    """
    uri = configured_uri(configured)
    return uri is not None and not uri.startswith(("sqlite", "file", "/", "."))


def embedded_uri(outputs: str | Path) -> str:
    """Return the URI of the SQLite file in an outputs folder; raises as `tracking_uri` does."""
    path = _embedded_file(outputs)
    if "?" in path or "%" in path:
        raise ConfigError(
            f"outputs={outputs}: {path} contains ? or %, which an SQLite URI cannot hold; "
            "choose a folder without them, or another store: MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{path}"


def _embedded_file(outputs: str | Path) -> str:
    return (Path(outputs).absolute() / "mlflow.db").as_posix()
