"""MLflow as the store of all runs: where it is, how it is made ready, how a run is written into it.

Everything goes through `MlflowClient`: no active run, no global tracking address.
"""

import getpass
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported: nothing leaves the machine
# The journal tries again by itself, and looks first whether a run was made after all; MLflow's own seven tries with
# pauses between them would hold up the command, and make the run twice.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # no git on the machine is no reason for a warning

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from sqlalchemy.exc import SQLAlchemyError

from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.tracking.sqlite_store import check_revision, create_database

for _noisy in ("mlflow", "alembic"):  # the schema's migrations, the server's greetings
    logging.getLogger(_noisy).setLevel(logging.WARNING)
# It prints a traceback of each database error that it raises; what is raised is told in one message here.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

DEFAULT_EXPERIMENT = "cifar_sweeps"
PREFIX = "cifar_sweeps."
"""All tags that this project sets begin so."""

LONGEST_TAG = 8000
"""Characters that MLflow takes of a tag."""
_LONGEST_NAME = 250  # what a database that counts has room for

_AWAY = "failed with exception"
"""What MLflow says of a request that met no server."""


STORE_ERRORS = (MlflowException, SQLAlchemyError, OSError)
"""What MLflow raises when its store cannot be used; a database's own errors pass through it here and there."""


class StoreUnavailableError(TrackingError):
    """A store that does not answer now, and may later."""


def tracking_uri(configured: str | None, outputs: str | Path) -> str:
    """Return the configured address, else ``MLFLOW_TRACKING_URI``, else the SQLite file in the outputs folder.

    Raises ConfigError if that folder's name means something else in an address.
    """
    return configured_uri(configured) or embedded_uri(outputs)


def configured_uri(configured: str | None) -> str | None:
    """Return the configured address, else ``MLFLOW_TRACKING_URI``, for use from any folder; None without both."""
    chosen = configured or os.environ.get("MLFLOW_TRACKING_URI")
    path = (chosen or "").removeprefix("sqlite:///")
    if chosen and path != chosen and not path.startswith("/"):
        return f"sqlite:///{Path(path).absolute().as_posix()}"
    return chosen


def embedded_uri(outputs: str | Path) -> str:
    """Return the address of the SQLite file in an outputs folder; raises as `tracking_uri` does."""
    path = (Path(outputs).absolute() / "mlflow.db").as_posix()
    if "?" in path or "%" in path:
        raise ConfigError(
            f"outputs={outputs}: {path} holds ? or %, with which an SQLite address names another file; "
            "choose a folder without them, or a store elsewhere: MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{path}"


@dataclass(frozen=True)
class Store:
    """One MLflow tracking store."""

    uri: str
    outputs: Path

    def client(self) -> MlflowClient:
        """Return MLflow's client of this store."""
        return MlflowClient(self.uri)

    def prepare(self, experiment: str) -> str:
        """Make the database and the experiment where they are missing; return the experiment's id.

        Locked, because processes that meet a fresh SQLite file at once crash in MLflow's schema migration.
        Raises StoreAwayError if it does not answer, another TrackingError if it is no store or cannot be written.
        """
        try:
            self.outputs.mkdir(parents=True, exist_ok=True)
            with self._lock():
                check_revision(self.uri)
                if self._is_local():
                    create_database(Path(self.uri.removeprefix("sqlite:///")))
                client = self.client()
                found = client.get_experiment_by_name(experiment)
                if found is not None and found.lifecycle_stage == "deleted":
                    client.restore_experiment(found.experiment_id)
                if found is not None:
                    return str(found.experiment_id)
                location = (self.outputs.absolute() / "artifacts").as_uri() if self._is_local() else None
                return str(client.create_experiment(experiment, artifact_location=location))
        except STORE_ERRORS as error:
            if _AWAY in str(error):
                raise StoreUnavailableError(f"tracking.uri={self.uri}: the store does not answer") from error
            raise TrackingError(
                f"tracking.uri={self.uri}: the store cannot be used: {_first_line(error)}; "
                "mend the address (tracking.uri or MLFLOW_TRACKING_URI), or train without a record: tracking=none"
            ) from error

    def availability_error(self, experiment: str) -> str | None:
        """Look whether the store can take an experiment's runs, and return what to say if it does not answer now.

        A file that is there and can be written is left as it is: to open it takes MLflow half a second, and whoever
        writes the first run makes the experiment. Raises TrackingError if it is no store, or cannot be written.
        """
        try:
            if not (check_revision(self.uri) and self._is_writable()):
                self.prepare(experiment)
        except StoreUnavailableError as away:
            return f"{away}; the training goes on, and its journal waits for the store: cifar-sweeps sync sends it"
        return None

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str], start_time: int) -> str:
        """Make a run, RUNNING until it is closed, and return its id. start_time: milliseconds since 1970."""
        standard = {"mlflow.source.name": "cifar-train", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
        cut = {key: value[:LONGEST_TAG] for key, value in {**standard, **tags}.items()}
        run = self.client().create_run(
            experiment_id, start_time=start_time, run_name=_one_line(name)[:_LONGEST_NAME], tags=cut
        )
        return str(run.info.run_id)

    def run_with_tag(self, experiment_id: str, tag: str, value: str) -> str | None:
        """Return the id of the run with this tag; None if there is none."""
        wanted = f"tags.`{tag}` = '{value}'"
        found = self.client().search_runs([experiment_id], wanted, ViewType.ALL, max_results=1)
        return str(found[0].info.run_id) if found else None

    def find_run(self, run: str) -> "RecordedRun":
        """Return a run by its id, the beginning of its id (at least four letters), or its name (the newest so called).

        Raises TrackingError if there is none, or more than one id begins so.
        """
        client = self.client()
        experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
        pages = _all_pages(
            lambda token: client.search_runs(
                experiments, "", ViewType.ACTIVE_ONLY, 1000, ["attributes.start_time DESC"], token
            )
        )
        runs = [_recorded(found) for found in pages]
        named = [found for found in runs if found.name == run]
        begun = [found for found in runs if found.run_id.startswith(run) and len(run) >= 4]
        if len(begun) > 1:
            raise TrackingError(f"{run}: {len(begun)} runs have ids that begin so; give more letters")
        if not begun and not named:
            known = ", ".join(f"{found.run_id[:8]} ({found.name})" for found in runs[:3]) or "no runs at all"
            raise TrackingError(f"{run}: no run has this id or name in {self.uri}; the newest: {known}")
        return (begun or named)[0]

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return (epoch, value) of one metric, in order."""
        points = self.client().get_metric_history(run_id, metric)
        return sorted((int(point.step), float(point.value)) for point in points)

    def children(self, experiment_id: str, parent_run_id: str) -> list["RecordedRun"]:
        """Return what is known of a sweep's runs, in the order in which they started."""
        client, ours = self.client(), f"tags.`mlflow.parentRunId` = '{parent_run_id}'"
        pages = _all_pages(
            lambda token: client.search_runs(
                [experiment_id], ours, ViewType.ACTIVE_ONLY, 1000, ["attributes.start_time ASC"], token
            )
        )
        return [_recorded(run) for run in pages]

    def check_exists(self) -> None:
        """Raise TrackingError if the store is a file that is not there, or another MLflow's: opening changes both."""
        path = self.uri.removeprefix("sqlite:///")
        if self._is_local() and not Path(path).exists():
            raise TrackingError(
                f"{path}: there is no store yet; train something first, e.g. cifar-train study=quickstart"
            )
        try:
            check_revision(self.uri)
        except TrackingError:
            with self._lock():  # a store that is being made passes through all revisions
                check_revision(self.uri)

    def _lock(self) -> AbstractContextManager[object]:
        """Keep others from making the same database, wherever their outputs lie; a server looks after itself."""
        if not self._is_local():
            return nullcontext()
        path = Path(self.uri.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.with_name(f".{path.name}.lock"))

    def _is_local(self) -> bool:
        return self.uri.startswith("sqlite:")

    def _is_writable(self) -> bool:
        path = Path(self.uri.removeprefix("sqlite:///"))
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)  # its journal lies beside it


@dataclass(frozen=True)
class RecordedRun:
    """One run as the store has it. ``metrics`` are the last values."""

    run_id: str
    name: str
    state: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    def tag(self, key: str) -> str | None:
        """Return one of the tags that this project sets, by its short name."""
        return self.tags.get(f"{PREFIX}{key}")


def default_store() -> Store:
    """Return the store of this folder's outputs, or the one that ``MLFLOW_TRACKING_URI`` names.

    Raises TrackingError if nothing has been recorded there yet.
    """
    outputs = Path(os.environ.get("CIFAR_SWEEPS_OUTPUTS", "outputs"))
    store = Store(tracking_uri(None, outputs), outputs)
    store.check_exists()
    return store


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def _one_line(name: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in name)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _recorded(run: Run) -> RecordedRun:
    info = run.info
    if not re.fullmatch(r"[\w-]+", str(info.run_id)):  # it becomes a folder's name, and a server may say anything
        raise TrackingError(f"{info.run_id!r}: the store calls a run so, which is no run's id")
    return RecordedRun(str(info.run_id), str(info.run_name), str(info.status), run.data.metrics, run.data.tags)


def _all_pages(search: Callable[[str | None], PagedList[Run]]) -> Iterator[Run]:
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return
