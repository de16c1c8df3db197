"""From journals to MLflow: in order, in batches, and each line once, whatever dies in between.

Each call to the store is one that may be made twice without harm: MLflow keeps one metric of the same key, step, time
and value; tags and files are overwritten by themselves; what is created (a run, a model) is looked for first, by a name
that the journal gave it. So a delivery that broke off between a call and the note of it makes the call again, and no
duplicate and no gap is left.
"""

import json
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from cifar_sweeps.errors import TrackingError, in_one_line
from cifar_sweeps.system.files import is_inside
from cifar_sweeps.tracking import journal, mlflow_inputs
from cifar_sweeps.tracking.journal import Entry
from cifar_sweeps.tracking.store import LONGEST_TAG, PREFIX, Store, embedded_uri

NOTE = "delivered.json"
LOCK = ".delivery.lock"
_LONGEST_PARAM = 6000
_MOST_METRICS, _MOST_PARAMS, _MOST_TAGS = 1000, 100, 100
END_TAGS = tuple(f"{PREFIX}{key}" for key in ("failure", "failed_epoch", "failed_step", "last_checkpoint"))
"""Tags that say why a run ended; one that goes on has them no longer."""
_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts while the store does not answer; the last one goes on."""


@dataclass(frozen=True)
class DeliveryState:
    """How far a journal has come: its run in the store, and the number of the last line that is there."""

    run_id: str | None = None
    lines: int = 0


def read_delivery_state(folder: Path) -> DeliveryState:
    """Return how far the folder's journal has come; a note that cannot be read is none, and all is sent again."""
    try:
        return DeliveryState(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return DeliveryState()


def count_undelivered_lines(folder: Path) -> int:
    """Return how many lines of the folder's journal the store lacks; 0 where nothing is recorded in a store."""
    entries = journal.read(folder)
    if not entries or entries[0].fields["backend"] == "none":
        return 0
    return max(0, len(entries) - read_delivery_state(folder).lines)


def reset_delivery(folder: Path, lines: int) -> None:
    """Note that all is to be sent again, if more was sent than the ``lines`` that a power cut has left of a journal.

    Whoever goes on with the journal does so ahead of its next line, which would count as sent already.
    """
    state = read_delivery_state(folder)
    if state.lines > lines:
        _note(folder, DeliveryState(state.run_id, 0))


def deliver(folder: Path) -> str | None:
    """Send what the store lacks of a folder's journal, and return the run's id in MLflow.

    Returns None where nothing is recorded in a store. Raises TrackingError where the store does not answer, or refuses.
    """
    entries = journal.read(folder)
    if not entries or entries[0].fields["backend"] == "none":
        return None
    state = read_delivery_state(folder)
    if len(entries) <= state.lines:
        return state.run_id
    try:
        with FileLock(folder / LOCK):
            return _deliver(folder, entries, read_delivery_state(folder))
    except TrackingError:
        raise
    except Exception as error:  # also a client's package that is not installed: the journal waits for whatever it is
        raise TrackingError(
            f"tracking.uri={store_of(folder, entries[0]).uri}: does not take the record of {folder}: "
            f"{in_one_line(error)}"
        ) from error


def store_of(folder: Path, opening: Entry) -> Store:
    """Return the store that a journal is meant for: its own outputs' where no address was given."""
    # Not resolved: a link to another disk leads into its folder, whose parent is not the outputs folder.
    outputs = Path(os.path.normpath(folder.absolute() / str(opening.fields["outputs"])))
    uri = opening.fields["uri"]
    return Store(str(uri) if uri else embedded_uri(outputs), outputs)


def _deliver(folder: Path, entries: Sequence[Entry], state: DeliveryState) -> str | None:
    store = store_of(folder, entries[0])
    client, run_id = store.client(), state.run_id
    for batch in _batches(entries[state.lines :]):
        if run_id is None:
            may_exist = (folder / NOTE).exists()
            _note(folder, state)
            run_id = _run_of(folder, entries[0], store, may_exist)
        _send(client, run_id, batch, folder)
        _note(folder, DeliveryState(run_id, batch[-1].number))
    return run_id


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Group neighbours that one call can carry."""
    for op, group in groupby(entries, key=lambda entry: entry.op):
        batch: list[Entry] = []
        size = 0
        for entry in group:
            more = len(entry.fields["values"]) if op in ("metrics", "params", "tags") else 1
            limit = {"metrics": _MOST_METRICS, "params": _MOST_PARAMS, "tags": _MOST_TAGS}.get(op, 0)
            if batch and size + more > limit:
                yield batch
                batch, size = [], 0
            batch.append(entry)
            size += more
        yield batch


def _run_of(folder: Path, opening: Entry, store: Store, may_exist: bool) -> str:
    """Return the journal's run in the store; it is made if it is not there, its parent's before it.

    may_exist: an earlier delivery broke off, perhaps after it had made the run.
    """
    facts = opening.fields
    experiment_id = store.prepare(str(facts["study"]))
    tags = {**facts["tags"], f"{PREFIX}journal": str(facts["journal"])}
    if facts["parent"] is not None:
        parent = deliver(Path(os.path.normpath(folder.absolute() / str(facts["parent"]))))
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
    made = store.run_with_tag(experiment_id, f"{PREFIX}journal", str(facts["journal"])) if may_exist else None
    return made or store.create_run(experiment_id, str(facts["name"]), tags, opening.time)


def _send(client: MlflowClient, run_id: str, batch: Sequence[Entry], folder: Path) -> None:
    """Make the call that a batch asks for. All its entries have the same op."""
    first = batch[0]
    match first.op:
        case "open":
            pass  # the run is there: `_run_of`
        case "resume":
            client.update_run(run_id, status="RUNNING")
            for key in client.get_run(run_id).data.tags.keys() & set(END_TAGS):
                client.delete_tag(run_id, key)
        case "params":
            params = [Param(key, value[:_LONGEST_PARAM]) for key, value in _values(batch)]
            for start in range(0, len(params), _MOST_PARAMS):
                client.log_batch(run_id, params=params[start : start + _MOST_PARAMS])
        case "tags":
            last = dict(_values(batch))
            client.log_batch(run_id, tags=[RunTag(key, value[:LONGEST_TAG]) for key, value in last.items()])
        case "metrics":
            metrics = [
                Metric(key, float(value), entry.time, int(entry.fields["step"]))
                for entry in batch
                for key, value in entry.fields["values"].items()
            ]
            client.log_batch(run_id, metrics=metrics)
        case "artifact":
            path = _own_tags(folder, first)
            if path.exists():  # what was deleted since then can no longer be kept
                client.log_artifact(run_id, str(path), first.fields["folder"] or None)
        case "dataset":
            mlflow_inputs.log_input(client, run_id, **first.fields)
        case "model":
            path = _own_tags(folder, first)
            if path.exists():
                mlflow_inputs.log_model(
                    client, run_id, path, name=str(first.fields["name"]), step=int(first.fields["step"])
                )
                shutil.rmtree(path, ignore_errors=True)  # it lies with the store's artifacts now
        case "close":
            if first.fields["reason"]:
                client.log_batch(run_id, tags=[RunTag(f"{PREFIX}failure", first.fields["reason"][:LONGEST_TAG])])
            client.set_terminated(run_id, str(first.fields["state"]), first.time)
        case unknown:
            raise TrackingError(f"{folder}: a newer cifar_sweeps wrote {unknown!r} into the journal; update this one")


def _own_tags(folder: Path, entry: Entry) -> Path:
    """Return the path in an entry. Raises TrackingError if it leads out of the folder: others may have written it."""
    path = folder / str(entry.fields["path"])
    if not is_inside(path, folder) or path.resolve() == folder.resolve():
        raise TrackingError(f"{folder}: line {entry.number} of its journal names {path}, which is not in the folder")
    return path


def _values(batch: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    for entry in batch:
        yield from entry.fields["values"].items()


def _note(folder: Path, state: DeliveryState) -> None:
    # Without fsync: whatever note a power cut leaves, an older one costs calls that may be made twice.
    path = folder / NOTE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(state)), encoding="utf-8")
    temporary.replace(path)


class DeliveryThread:
    """Delivers a journal in a thread of its own while the run goes on; the run never waits for the store.

    A store that does not answer is tried again, later and later.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wake = threading.Event()
        self._is_over = False
        self._trouble: TrackingError | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="sender")
        self._thread.start()

    def send(self) -> None:
        """There is something new to send."""
        self._wake.set()

    def finish(self) -> TrackingError | None:
        """Send what is left, and return what stood against it, if anything did: one last attempt, without waiting."""
        self._is_over = True
        self._wake.set()
        self._thread.join()
        return self._trouble

    def _work(self) -> None:
        failures = 0
        while True:
            wait = _WAITS[min(failures, len(_WAITS)) - 1] if failures else None
            self._wake.wait(wait)
            self._wake.clear()  # ahead of the look at what woke it, or a later call would be lost
            last = self._is_over
            try:
                deliver(self._folder)
                failures, self._trouble = 0, None
            except TrackingError as error:
                failures, self._trouble = failures + 1, error
            if last:
                return


def undelivered_folders(root: Path) -> list[Path]:
    """Return the folders under ``root`` whose journals the store lacks lines of, a sweep's own ahead of its runs'."""
    return [folder for folder in journal.folders(root) if count_undelivered_lines(folder)]
