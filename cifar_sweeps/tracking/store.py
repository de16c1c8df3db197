"""The MLflow store: its creation, and access to its runs.

Everything goes through `MlflowClient`: no active run, no global tracking URI.
"""

import getpass
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.errors import TrackingError, in_one_line
from cifar_sweeps.system.locks import file_lock
from cifar_sweeps.system.scripts import sync_command
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.address import DATABASES, sqlite_file, with_password
from cifar_sweeps.tracking.names import Candidate, choose, describe
from cifar_sweeps.tracking.recorded_run import PREFIX, RecordedRun, run_state
from cifar_sweeps.tracking.server_version import old_server_warning
from cifar_sweeps.tracking.sqlite_store import (
    check_revision,
    create_database,
    read_revisions_as_text,
    relocate_artifacts,
)
from cifar_sweeps.tracking.store_errors import is_busy, store_errors, wants_login
from cifar_sweeps.tracking.store_uri import tracking_uri

DEFAULT_EXPERIMENT = "cifar_sweeps"
MAX_TAG_LENGTH = 8000
"""Characters that MLflow keeps of a tag."""
_LOCK_PATIENCE = 30.0
"""Seconds to wait for another process that creates the database, which takes it a second or two."""
_MAX_NAME_LENGTH = 250  # the column's size in databases that enforce one


class StoreUnavailableError(TrackingError):
    """A store that does not answer now, but may later."""


@dataclass(frozen=True)
class Store:
    """One MLflow tracking store. ``uri`` has no password: the client takes that from the environment."""

    uri: str
    outputs: Path

    @classmethod
    def open(cls, outputs: str | Path | None = None) -> "Store":
        """Return the store of an outputs folder: at ``MLFLOW_TRACKING_URI``, else the SQLite file in that folder.

        outputs: ``$CIFAR_SWEEPS_OUTPUTS`` by default, else ``./outputs``. Raises TrackingError if nothing has been
        recorded there yet.
        """
        folder = Path(outputs or os.environ.get("CIFAR_SWEEPS_OUTPUTS") or "outputs").expanduser()
        store = cls(tracking_uri(None, folder), folder)
        store.check_exists()
        return store

    def client(self) -> "mlflow_api.MlflowClient":
        """Return an MLflow client of this store."""
        if self._file is not None:
            read_revisions_as_text()
        return mlflow_api.MlflowClient(with_password(self.uri))

    def prepare(self, experiment: str) -> str:
        """Create the database and the experiment if they are missing; return the experiment's id.

        Locked, because processes that open a new SQLite file at once crash in MLflow's schema migration.
        Raises StoreUnavailableError if it does not answer, another TrackingError if it cannot be used or written.
        """
        try:
            self.outputs.mkdir(parents=True, exist_ok=True)
            mlflow_api.load()  # which takes a second or two, in which nobody need wait for the lock
            with self._lock():
                check_revision(self.uri)
                if self._file is not None:
                    create_database(self._file)
                    self._follow_move()
                client = self.client()
                return self._find_experiment(client, experiment) or self._create_experiment(client, experiment)
        except store_errors() as error:
            if is_busy(error):
                raise StoreUnavailableError(f"tracking.uri={self.uri}: the store does not answer") from error
            remedy = (
                "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user of that server who may write"
                if self._is_server and wants_login(error)
                else "correct the URI (tracking.uri or MLFLOW_TRACKING_URI)"
            )
            raise TrackingError(
                f"tracking.uri={self.uri}: the store cannot be used: {in_one_line(error)}; "
                f"{remedy}, or train without a store: tracking=none"
            ) from error

    def _find_experiment(self, client: "mlflow_api.MlflowClient", name: str) -> str | None:
        """Return the id of an experiment, taken out of MLflow's trash; None if there is none."""
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return None if found is None else str(found.experiment_id)

    def _create_experiment(self, client: "mlflow_api.MlflowClient", name: str) -> str:
        """Create an experiment, and return its id: that of another's, who of the team has just done so."""
        location = None if self._is_server else (self.outputs.absolute() / "artifacts").as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except mlflow_api.MlflowException as error:
            created = self._find_experiment(client, name) if error.error_code == "RESOURCE_ALREADY_EXISTS" else None
            if created is None:
                raise
            return created

    def availability_error(self, experiment: str) -> str | None:
        """Check that the store can record an experiment's runs, and return a message if it does not answer now.

        Also of one that answers, and does less than a user expects: `_shortcoming`. A writable file is not opened, nor
        a missing one made, which takes MLflow seconds: the delivery does so, beside the training. Raises TrackingError
        if it is not a store, or cannot be written.
        """
        try:
            if not (self._is_current() and self._is_writable()) and not self._is_new():
                self.prepare(experiment)
        except StoreUnavailableError as error:
            later = sync_command(self.outputs)
            return f"{error}; training continues, and its journal is kept: send it later with {later}"
        return self._shortcoming()

    def _shortcoming(self) -> str | None:
        """Return what a user has to know of a store that answers; None if nothing."""
        if self._is_server:
            return old_server_warning(self.uri)
        if self._file is None:
            folder = self.outputs.absolute() / "artifacts"
            return (
                f"{self.uri}: a database keeps no files: a new study's artifacts lie in {folder}, "
                "where others see them only on a shared disk; an MLflow server (http://HOST:PORT) keeps them for all"
            )
        return None

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str], start_time: int) -> str:
        """Create a run, RUNNING until it is ended, and return its id. start_time: milliseconds since 1970."""
        standard = {"mlflow.source.name": "cifar-train", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
        cut = {key: value[:MAX_TAG_LENGTH] for key, value in {**standard, **tags}.items()}
        run = self.client().create_run(
            experiment_id, start_time=start_time, run_name=_one_line(name)[:_MAX_NAME_LENGTH], tags=cut
        )
        return str(run.info.run_id)

    def runs_with_tag(self, experiment_id: str, tag: str, value: str) -> list[str]:
        """Return the ids of the runs with this tag, those in the trash last."""
        wanted = f"tags.`{tag}` = '{value}'"
        found = self.client().search_runs([experiment_id], wanted, mlflow_api.ViewType.ALL)
        return [str(run.info.run_id) for run in sorted(found, key=lambda run: run.info.lifecycle_stage != "active")]

    def find_run(self, run: str) -> "RecordedRun":
        """Return a run by its id, the beginning of that, its name, or the name of a single run's folder.

        Raises TrackingError if there is none, if two could be meant, or if it is a sweep.
        """
        client = self.client()
        experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
        pages = self.search(experiments, order="DESC")
        candidates = [_candidate(found) for found in pages]
        try:
            chosen = choose(run, candidates, "run", self.uri)
        except TrackingError as error:
            raise self._deleted_error(run, experiments) or error from None
        if chosen.tag("role") == "sweep":
            jobs = [each for each in candidates if each.item.tags.get("mlflow.parentRunId") == chosen.run_id]
            shown = ", ".join(f"{each.item.run_id[:8]} ({each.name})" for each in reversed(jobs)) or "it has none"
            raise TrackingError(f"{run}: is a sweep, not a run; give the id or name of one of its runs: {shown}")
        return chosen

    def naming_runs(self, words: Sequence[str]) -> list[str]:
        """Return those of ``words`` that `find_run` would take for runs: of arguments that may be files as well."""
        if not words:
            return []
        experiments = [str(experiment.experiment_id) for experiment in self.client().search_experiments()]
        candidates = [_candidate(found) for found in self.search(experiments)]
        return [word for word in words if any(each.is_named(word) for each in candidates)]

    def _deleted_error(self, run: str, experiments: list[str]) -> TrackingError | None:
        """Return what to say of a run that cannot be found because it is in MLflow's trash."""
        for found in _all_pages(
            lambda token: self.client().search_runs(
                experiments, "", mlflow_api.ViewType.DELETED_ONLY, 1000, None, token
            )
        ):
            if str(found.info.run_id).startswith(run) or found.info.run_name == run:
                return TrackingError(
                    f"{run}: the run {found.info.run_name} is deleted in MLflow; the page restores it from its trash, "
                    "as does its sweep's command when it is repeated"
                )
        return None

    def search(self, experiments: list[str], condition: str = "", order: str = "ASC") -> "Iterator[mlflow_api.Run]":
        """Yield the runs of these experiments that fulfil a condition of MLflow, in the order in which they started."""
        client, by = self.client(), [f"attributes.start_time {order}"]
        yield from _all_pages(
            lambda token: client.search_runs(experiments, condition, mlflow_api.ViewType.ACTIVE_ONLY, 1000, by, token)
        )

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return (epoch, value) of one metric, in order."""
        points = self.client().get_metric_history(run_id, metric)
        return sorted((int(point.step), float(point.value)) for point in points)

    def sweep_runs(self, experiment_id: str, sweep_id: str, view: int | None = None) -> "dict[str, mlflow_api.Run]":
        """Return the runs of a sweep, its parent among them, by their ids.

        view: of MLflow's `ViewType`, to see deleted ones.
        """
        wanted = mlflow_api.ViewType.ACTIVE_ONLY if view is None else view
        client, of_sweep = self.client(), f"tags.`{PREFIX}sweep_id` = '{sweep_id}'"
        pages = _all_pages(lambda token: client.search_runs([experiment_id], of_sweep, wanted, 1000, None, token))
        return {str(run.info.run_id): run for run in pages}

    def sweep_ids(self, experiment_id: str) -> set[str]:
        """Return the ids of the sweeps that an experiment has runs of, deleted ones among them."""
        client, of_sweeps = self.client(), f"tags.`{PREFIX}sweep_id` LIKE '%'"
        pages = _all_pages(
            lambda token: client.search_runs([experiment_id], of_sweeps, mlflow_api.ViewType.ALL, 1000, None, token)
        )
        return {str(run.data.tags[f"{PREFIX}sweep_id"]) for run in pages}

    def children(self, experiment_id: str, parent_run_id: str) -> list["RecordedRun"]:
        """Return a sweep's child runs, in the order in which they started."""
        client, by_parent = self.client(), f"tags.`mlflow.parentRunId` = '{parent_run_id}'"
        pages = _all_pages(
            lambda token: client.search_runs(
                [experiment_id], by_parent, mlflow_api.ViewType.ACTIVE_ONLY, 1000, ["attributes.start_time ASC"], token
            )
        )
        return [_recorded_run(run) for run in pages]

    def check_exists(self) -> None:
        """Raise TrackingError if the store is a missing file (opening creates it) or of another MLflow version."""
        if self._file is not None and not self._file.exists():
            raise TrackingError(
                f"{self._file}: there is no store yet; train something first, e.g. cifar-train study=quickstart, "
                "or set CIFAR_SWEEPS_OUTPUTS to the outputs folder that has one"
            )
        try:
            self._is_current()
        except StoreUnavailableError:
            raise
        except TrackingError:
            with self._lock():  # a store that is being created passes through all revisions
                self._is_current()
        self._follow_move()

    def _follow_move(self) -> None:
        """Have the embedded store find its artifacts where its outputs folder lies now, and say so if that is new."""
        if self._file is None or self._file != self.outputs.absolute() / self._file.name:
            return
        before = relocate_artifacts(self._file, self.outputs.absolute() / "artifacts")
        if before is not None:
            sys.stderr.write(
                f"{self.outputs}: was {Path(before).parent} when it was last used; its artifacts are found here now\n"
            )

    def _is_current(self) -> bool:
        """Return what `check_revision` does. Raises StoreUnavailableError if another program has locked the file."""
        try:
            return check_revision(self.uri)
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(f"{self.uri}: another program has locked it ({error})") from error

    @property
    def _is_server(self) -> bool:
        """Whether it is a server, which knows where artifacts belong."""
        return not self.uri.startswith(DATABASES)

    @property
    def _file(self) -> Path | None:
        """The file of an SQLite store; None for any other."""
        return sqlite_file(self.uri)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the database's creation, for any outputs folder that uses it; a server needs no lock.

        Raises StoreUnavailableError if another process does not let go of it.
        """
        with ExitStack() as stack:
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(file_lock(self._file.with_name(f".{self._file.name}.lock"), _LOCK_PATIENCE))
                except TimeoutError as error:
                    raise StoreUnavailableError(f"{self.uri}: {error}") from error
            yield

    def _is_new(self) -> bool:
        """Return whether it is a file that does not exist yet, and whose folder can be written."""
        path = self._file
        if path is None or path.exists():
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.outputs.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return os.access(path.parent, os.W_OK | os.X_OK)

    def _is_writable(self) -> bool:
        path = self._file
        if path is None:
            return False
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)  # SQLite's journal is written beside it


def default_store() -> Store:
    """Return the store at ``MLFLOW_TRACKING_URI``, else that of this folder's outputs.

    Raises TrackingError if nothing has been recorded there yet.
    """
    return Store.open()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no entry in passwd
        return "unknown"


def _one_line(name: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in name)


def _recorded_run(run: "mlflow_api.Run") -> RecordedRun:
    info = run.info
    if not re.fullmatch(r"[\w-]+", str(info.run_id)):  # it becomes a folder's name, and the server may be hostile
        raise TrackingError(f"{info.run_id!r}: the store returned an invalid run id")
    return RecordedRun(
        str(info.run_id),
        str(info.run_name),
        run_state(str(info.status), run.data.tags),
        run.data.metrics,
        run.data.tags,
    )


def _candidate(run: "mlflow_api.Run") -> Candidate[RecordedRun]:
    found = _recorded_run(run)
    sweep_id, folder = found.tag("sweep_id"), found.tag("folder")
    other = sweep_id if found.tag("role") == "sweep" else None if sweep_id or not folder else Path(folder).name
    shown = describe(found.run_id, found.name, found.tags, int(run.info.start_time or 0))
    return Candidate(found, (found.run_id, *([other] if other else [])), found.name, shown)


def _all_pages(search: "Callable[[str | None], mlflow_api.PagedList[mlflow_api.Run]]") -> "Iterator[mlflow_api.Run]":
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return
