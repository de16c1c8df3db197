"""Say where the runs of a sweep are seen in MLflow: on a page that the user serves, or a server's own."""

import os
import re
import shlex
from collections.abc import Iterator, Mapping

from cifar_sweeps.system.scripts import shell_command
from cifar_sweeps.tracking.address import DATABASES

_ADDRESS = "http://127.0.0.1:5000"
"""Where `cifar-sweeps ui` and `mlflow server` serve the page, unless they are told otherwise."""


def mlflow_lines(uri: str, environment: Mapping[str, str], page: str) -> Iterator[str]:
    """Yield the command that serves a store's page, unless it is a server, which has one, and the page's address.

    uri: the store's, without its password. environment: variables with which the command finds it. page: what follows
    the host.
    """
    kind = uri.partition("://")[0].partition("+")[0]
    if kind in ("http", "https"):
        host = re.sub(r"(?<=://)[^/@]*@", "", uri).rstrip("/")  # without the login, which the browser asks for
        yield f"{host}/{page}"
        return
    if kind == "sqlite":
        yield _ui_command(environment)
    elif kind in DATABASES:
        yield shlex.join(["mlflow", "server", "--backend-store-uri", uri])
    else:  # Databricks, or the store of a plugin: where its page is, it knows itself
        yield f"{uri}: {page}"
        return
    yield f"{_ADDRESS}/{page}"


def _ui_command(environment: Mapping[str, str]) -> str:
    """Return the command that opens the MLflow page: the user's own way in."""
    if os.environ.get("CIFAR_SWEEPS_MAKE") and not environment:
        return "make ui"
    return shell_command("cifar-sweeps", ["ui"], environment)
