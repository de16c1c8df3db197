"""Which MLflow a server runs, and what to know of one that is too old."""

import re

from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.address import with_password
from cifar_sweeps.tracking.store_errors import store_errors

FLOOR = (3, 16)
"""The first MLflow whose server orders and repeats writes that PostgreSQL ended as a deadlock (mlflow#24941), and that
looks up lines that are sent again by their keys (mlflow#24577), not in all that their run has recorded."""


def server_version(uri: str) -> str | None:
    """Return the version of MLflow that a server runs; None if it does not say. uri: without its password."""
    mlflow_api.load()
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        login = get_default_host_creds(with_password(uri))  # type: ignore[no-untyped-call]
        answer = http_request(login, "/version", "GET")  # type: ignore[no-untyped-call]
    except store_errors():
        return None
    text = str(answer.text).strip()
    return text if answer.status_code == 200 and re.fullmatch(r"\d+\.\d+[\w.+-]*", text) else None


def old_server_warning(uri: str) -> str | None:
    """Return a line about a server that runs an MLflow before `FLOOR`; None of any other."""
    version = server_version(uri)
    if version is None or tuple(int(part) for part in version.split(".")[:2]) >= FLOOR:
        return None
    floor = ".".join(map(str, FLOOR))
    return (
        f"{uri}: runs MLflow {version}, and before {floor} lines that are sent again after an outage take the longer "
        f"the more their run has recorded, and PostgreSQL may stop two writers of one run; upgrade it: mlflow>={floor}"
    )
