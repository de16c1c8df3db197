"""What this package uses of MLflow, each name imported when it is first used.

MLflow takes a second or two to import, and SQLAlchemy with its store another half: neither planning a sweep nor a job
whose records the sweep's command sends needs them. Use the names as attributes of this module, and in quotes where they
are types: ``from`` would import MLflow at once.
"""

import importlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported; nothing leaves the machine
# The delivery retries by itself, and first looks whether the run was created after all; MLflow's own seven attempts
# with pauses would delay the command, and create the run twice.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one a file, among a command's own lines
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # each run's address, with the server's password in it
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # no warning on a machine without git

if TYPE_CHECKING:
    from mlflow import MlflowClient as MlflowClient
    from mlflow.entities import Dataset as Dataset
    from mlflow.entities import DatasetInput as DatasetInput
    from mlflow.entities import InputTag as InputTag
    from mlflow.entities import LifecycleStage as LifecycleStage
    from mlflow.entities import LoggedModelOutput as LoggedModelOutput
    from mlflow.entities import LoggedModelStatus as LoggedModelStatus
    from mlflow.entities import Metric as Metric
    from mlflow.entities import Param as Param
    from mlflow.entities import Run as Run
    from mlflow.entities import RunTag as RunTag
    from mlflow.entities import ViewType as ViewType
    from mlflow.exceptions import MlflowException as MlflowException
    from mlflow.models import Model as Model
    from mlflow.store.entities.paged_list import PagedList as PagedList
else:
    _MODULES = {"MlflowClient": "mlflow", "MlflowException": "mlflow.exceptions", "Model": "mlflow.models"}
    _ENTITIES = (
        *("Dataset", "DatasetInput", "InputTag", "LifecycleStage", "LoggedModelOutput", "LoggedModelStatus", "Metric"),
        *("Param", "Run", "RunTag", "ViewType"),
    )
    _MODULES |= dict.fromkeys(_ENTITIES, "mlflow.entities")

    def __getattr__(name: str) -> Any:  # noqa: ANN401
        if name not in _MODULES:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        load()
        found = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
        return found


def load() -> None:
    """Import MLflow, for what is imported from it by itself.

    In a thread of its own: Ctrl-C ends the wait for it, and the import goes on. Raised inside of it, the interrupt
    would leave half of MLflow, with which nothing that a command does at its end would work.
    """
    global _loading
    with _LOCK:
        if _loading is None:
            _loading = threading.Thread(target=_load, daemon=True, name="import of mlflow")
            _loading.start()
    _loading.join()
    if _failed is not None:
        raise _failed


_LOCK = threading.Lock()
_loading: threading.Thread | None = None
_failed: Exception | None = None


def _load() -> None:
    global _failed
    try:
        for name in ("mlflow", "mlflow.entities", "mlflow.exceptions", "mlflow.models"):
            importlib.import_module(name)
        _quieten()
    except Exception as error:  # noqa: BLE001 (raised where it was asked for)
        _failed = error


def _quieten() -> None:
    """Set the levels of loggers, which MLflow's import has set to others."""
    for noisy in ("mlflow", "alembic"):  # the schema's migrations, the server's start messages
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It logs a traceback of each database error that it raises, which is reported in one message here.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
