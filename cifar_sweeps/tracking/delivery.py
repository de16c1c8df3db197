"""Deliver journals to MLflow: in order, in batches, each line exactly once even if the process dies in between.

Every call to the store is idempotent: MLflow keeps one metric per key, step, time and value; tags and files are
overwritten; a run or model is looked up by an id from the journal before it is created. A delivery that died between a
call and the note of it repeats the call, and leaves neither a duplicate nor a gap. What the store refuses for good is
set aside, once, with the reason, and what comes after it is sent. A run that was deleted in MLflow is taken out of its
trash; one that is gone for good is sent anew.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, ViewType
from mlflow.exceptions import MlflowException

from cifar_sweeps.errors import TrackingError, in_one_line
from cifar_sweeps.system.files import is_inside
from cifar_sweeps.system.locks import file_lock
from cifar_sweeps.tracking import journal, mlflow_inputs
from cifar_sweeps.tracking.journal import Entry
from cifar_sweeps.tracking.store import PREFIX, STORE_ERRORS, Store, StoreUnavailableError, embedded_uri, is_busy
from cifar_sweeps.tracking.store_calls import Told, is_gone, is_refusal, log_metrics, log_params, log_tags, restore_run

NOTE = "delivered.json"
LOCK = ".delivery.lock"
_MAX_METRICS, _MAX_PARAMS, _MAX_TAGS = 1000, 100, 100
END_TAGS = tuple(f"{PREFIX}{key}" for key in ("failure", "failed_epoch", "failed_step", "last_checkpoint"))
"""Tags that say why a run ended; removed when it is resumed."""
_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts while the store does not answer; the last one repeats."""
END_PATIENCE = 20.0
"""Seconds that a command waits at its end for a store that has answered before: it may be locked, or restart."""


@dataclass(frozen=True)
class DeliveryState:
    """How much of a journal is delivered: its run's id in the store, and the number of lines that are there.

    refused: what the store did not take, with the reasons; it is not sent again. renamed: what the user was told of
    names that MLflow does not take.
    """

    run_id: str | None = None
    lines: int = 0
    refused: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()


def read_delivery_state(folder: Path) -> DeliveryState:
    """Return how much of the folder's journal is delivered; nothing if the note cannot be read: all is sent again."""
    try:
        state = DeliveryState(**json.loads((folder / NOTE).read_text(encoding="utf-8")))
        return replace(state, refused=tuple(state.refused), renamed=tuple(state.renamed))
    except (OSError, ValueError, TypeError):
        return DeliveryState()


def count_undelivered_lines(folder: Path) -> int:
    """Return how many lines of the folder's journal the store lacks; 0 with tracking=none."""
    entries = journal.read(folder)
    if not entries or entries[0].fields["backend"] == "none":
        return 0
    return max(0, len(entries) - read_delivery_state(folder).lines)


def reset_delivery(folder: Path, lines: int) -> None:
    """Send everything again if more lines were sent than the ``lines`` that a power cut has left of a journal.

    To be called before the next line is written, which would otherwise count as sent.
    """
    state = read_delivery_state(folder)
    if state.lines > lines:
        _note(folder, replace(state, lines=0))


def deliver(folder: Path) -> str | None:
    """Send the lines of a folder's journal that the store lacks, and return the run's id in MLflow.

    Returns None with tracking=none. Raises StoreUnavailableError if the store does not answer now, another
    TrackingError if it cannot be used.
    """
    entries = journal.read(folder)
    if not entries or entries[0].fields["backend"] == "none":
        return None
    state = read_delivery_state(folder)
    if len(entries) <= state.lines:
        return state.run_id
    try:
        with file_lock(folder / LOCK):
            return _deliver(folder, entries, read_delivery_state(folder))
    except TrackingError:
        raise
    except Exception as error:  # any kind, such as a package that the client lacks: the journal keeps the lines
        kind = StoreUnavailableError if is_busy(error) else TrackingError
        raise kind(
            f"tracking.uri={store_of(folder, entries[0]).uri}: cannot deliver {folder}: {in_one_line(error)}"
        ) from error


def restore_deleted(folder: Path, study: str) -> None:
    """Put back what was deleted in MLflow of the sweep in ``folder``, and say so, a line each.

    What is in MLflow's trash is taken out of it; what is gone for good is sent anew from its journal.
    """
    entries = journal.read(folder)
    if not entries or entries[0].fields["backend"] == "none" or read_delivery_state(folder).run_id is None:
        return
    try:
        _restore_deleted(folder, study, store_of(folder, entries[0]))
    except TrackingError as error:
        _say(f"Whether runs of this sweep were deleted cannot be told now: {error}")
    except STORE_ERRORS as error:
        _say(f"Whether runs of this sweep were deleted cannot be told now: {in_one_line(error)}")


def _restore_deleted(folder: Path, study: str, store: Store) -> None:
    client = store.client()
    before = client.get_experiment_by_name(study)
    if before is not None and before.lifecycle_stage == LifecycleStage.DELETED:
        _say(f"The experiment {study} had been deleted in MLflow; it is restored.")
    runs = store.sweep_runs(store.prepare(study), folder.name, ViewType.ALL)
    parent = None
    for path in [folder, *(each for each in journal.folders(folder) if each != folder)]:
        run_id = read_delivery_state(path).run_id
        if run_id is None:  # it is sent when its journal is next looked at
            continue
        found = runs.get(run_id)
        if found is None:
            _send_anew(path)
        elif found.info.lifecycle_stage == LifecycleStage.DELETED:
            client.restore_run(run_id)
            _say(f"The run {found.info.run_name} had been deleted in MLflow; it is restored.")
        if path == folder:
            parent = read_delivery_state(folder).run_id
        elif found is not None and parent is not None and found.data.tags.get("mlflow.parentRunId") != parent:
            client.set_tag(run_id, "mlflow.parentRunId", parent)


def _send_anew(folder: Path) -> None:
    """Send a journal whose run is gone from the store as a new run."""
    _note(folder, DeliveryState())
    _say(f"The run of {folder} is gone from MLflow; {_sent_again(journal.read(folder))}.")
    deliver(folder)


def give_up(folder: Path) -> int:
    """Set aside all lines of a folder's journal that its store lacks: they are not sent any more. Return how many.

    The journal keeps them.
    """
    lines = count_undelivered_lines(folder)
    if lines:
        state = read_delivery_state(folder)
        reason = f"{lines} lines: its store was given up"
        _note(folder, replace(state, lines=state.lines + lines, refused=(*state.refused, reason)))
    return lines


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def store_of(folder: Path, header: Entry) -> Store:
    """Return the store that a journal is sent to: that of its outputs folder if no URI was given."""
    # Not resolved: the parent of a link's target on another disk is not the outputs folder.
    outputs = Path(os.path.normpath(folder.absolute() / str(header.fields["outputs"])))
    uri = header.fields["uri"]
    return Store(str(uri) if uri else embedded_uri(outputs), outputs)


def _deliver(folder: Path, entries: Sequence[Entry], state: DeliveryState) -> str | None:
    store = store_of(folder, entries[0])
    client, run_id = store.client(), state.run_id
    for batch in _batches(entries[state.lines :]):
        if run_id is None:
            may_exist = (folder / NOTE).exists()
            _note(folder, state)
            run_id = _find_or_create_run(folder, entries[0], store, may_exist)
        try:
            told = _send_or_set_aside(client, run_id, batch, folder)
        except MlflowException as error:
            restored = restore_run(client, run_id) if is_gone(error) else False
            if restored is False:
                raise
            if restored is None:
                _note(folder, DeliveryState())
                _say(f"The run of {folder} is gone from MLflow; {_sent_again(entries)}.")
                return _deliver(folder, entries, DeliveryState())
            _say(f"The run of {folder} had been deleted in MLflow; it is restored.")
            told = _send_or_set_aside(client, run_id, batch, folder)
        state = _tell(folder, replace(state, run_id=run_id, lines=batch[-1].number), told)
        _note(folder, state)
    return run_id


def _tell(folder: Path, state: DeliveryState, told: Told) -> DeliveryState:
    """Say what was recorded otherwise than the journal has it, each thing once; return the state that remembers it."""
    renamed = [line for line in told.renamed if line not in state.renamed]
    for line in renamed:
        _say(f"{folder}: {line}, which does not take that name")
    for line in told.refused:
        _say(f"{folder}: the store does not take, and is not sent again: {line}")
    return replace(state, renamed=(*state.renamed, *renamed), refused=(*state.refused, *told.refused))


def _sent_again(entries: Sequence[Entry]) -> str:
    lost = ", without the model for mlflow.pyfunc" if any(entry.op == "model" for entry in entries) else ""
    return f"it is sent again from its journal{lost}"


def _send_or_set_aside(client: MlflowClient, run_id: str, batch: Sequence[Entry], folder: Path) -> Told:
    """Send a batch; what the store refuses for good is set aside, and all else of it sent."""
    try:
        return _send(client, run_id, batch, folder)
    except (MlflowException, OSError) as error:
        if not is_refusal(error):
            raise
        if len(batch) == 1:
            return Told(refused=[f"{batch[0].op} {batch[0].fields.get('path', '')}: {in_one_line(error)}"])
    each = [_send_or_set_aside(client, run_id, [entry], folder) for entry in batch]
    return Told([line for told in each for line in told.renamed], [line for told in each for line in told.refused])


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Group consecutive entries that fit into one call."""
    for op, group in groupby(entries, key=lambda entry: entry.op):
        batch: list[Entry] = []
        size = 0
        for entry in group:
            more = len(entry.fields["values"]) if op in ("metrics", "params", "tags") else 1
            limit = {"metrics": _MAX_METRICS, "params": _MAX_PARAMS, "tags": _MAX_TAGS}.get(op, 0)
            if batch and size + more > limit:
                yield batch
                batch, size = [], 0
            batch.append(entry)
            size += more
        yield batch


def _find_or_create_run(folder: Path, header: Entry, store: Store, may_exist: bool) -> str:
    """Return the id of the journal's run in the store; create it, after its parent, if it is missing.

    may_exist: an earlier delivery was cut short, perhaps after it had created the run.
    """
    fields = header.fields
    experiment_id = store.prepare(str(fields["study"]))
    tags = {**fields["tags"], f"{PREFIX}journal": str(fields["journal"])}
    if fields["parent"] is not None:
        place = Path(os.path.normpath(folder.absolute() / str(fields["parent"])))
        parent = deliver(place)
        if may_exist and parent is not None and restore_run(store.client(), parent) is None:
            _send_anew(place)
            parent = read_delivery_state(place).run_id
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
    found = store.run_with_tag(experiment_id, f"{PREFIX}journal", str(fields["journal"])) if may_exist else None
    return found or store.create_run(experiment_id, str(fields["name"]), tags, header.time)


def _send(client: MlflowClient, run_id: str, batch: Sequence[Entry], folder: Path) -> Told:
    """Make the store call for a batch, whose entries all have the same op."""
    first = batch[0]
    match first.op:
        case "open":
            pass  # the run exists: `_find_or_create_run`
        case "resume":
            client.update_run(run_id, status="RUNNING")
            for key in client.get_run(run_id).data.tags.keys() & set(END_TAGS):
                client.delete_tag(run_id, key)
        case "params":
            return log_params(client, run_id, dict(_values(batch)), _MAX_PARAMS)
        case "tags":
            return log_tags(client, run_id, dict(_values(batch)))
        case "metrics":
            metrics = [
                Metric(key, float(value), entry.time, int(entry.fields["step"]))
                for entry in batch
                for key, value in entry.fields["values"].items()
            ]
            return log_metrics(client, run_id, metrics)
        case "artifact":
            path = _path_in_folder(folder, first)
            if path.exists():  # it may have been deleted since
                client.log_artifact(run_id, str(path), first.fields["folder"] or None)
        case "dataset":
            mlflow_inputs.log_input(client, run_id, **first.fields)
        case "model":
            path = _path_in_folder(folder, first)
            if path.exists():
                mlflow_inputs.log_model(
                    client, run_id, path, name=str(first.fields["name"]), step=int(first.fields["step"])
                )
                shutil.rmtree(path, ignore_errors=True)  # the store's artifacts have it now
        case "close":
            if first.fields["reason"]:
                log_tags(client, run_id, {f"{PREFIX}failure": str(first.fields["reason"])})
            client.set_terminated(run_id, str(first.fields["state"]), first.time)
        case unknown:
            raise TrackingError(f"{folder}: a newer cifar_sweeps wrote {unknown!r} into the journal; upgrade this one")
    return Told()


def _path_in_folder(folder: Path, entry: Entry) -> Path:
    """Return an entry's path. Raises TrackingError if it is outside the folder: the journal may be another user's."""
    path = folder / str(entry.fields["path"])
    if not is_inside(path, folder) or path.resolve() == folder.resolve():
        raise TrackingError(f"{folder}: line {entry.number} of its journal names {path}, which is not in the folder")
    return path


def _values(batch: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    for entry in batch:
        yield from entry.fields["values"].items()


def _note(folder: Path, state: DeliveryState) -> None:
    # Without fsync: an older note, after a power cut, only costs repeated calls.
    path = folder / NOTE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(state)), encoding="utf-8")
    temporary.replace(path)


class DeliveryThread:
    """Delivers a journal in a thread of its own, so that the run never waits for the store.

    A store that does not answer is tried again at growing intervals.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wake = threading.Event()
        self._is_finishing = False
        self._patience = 0.0
        self._error: TrackingError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="delivery")
        self._thread.start()

    def send(self) -> None:
        """Wake the thread: the journal has new lines."""
        self._wake.set()

    def finish(self, patient: bool = False) -> TrackingError | None:
        """Send what is left in one last attempt, and return its error, if any.

        patient: a store that has answered before, and does not now, is tried for `END_PATIENCE` seconds.
        """
        self._patience = END_PATIENCE if patient else 0.0
        self._is_finishing = True
        self._wake.set()
        self._thread.join()
        return self._error

    def _run(self) -> None:
        failures = 0
        while True:
            wait = _RETRY_DELAYS[min(failures, len(_RETRY_DELAYS)) - 1] if failures else None
            self._wake.wait(wait)
            self._wake.clear()  # before reading the journal, or a later call would be lost
            last = self._is_finishing
            try:
                if last:
                    deliver_patiently(self._folder, self._patience)
                else:
                    deliver(self._folder)
                failures, self._error = 0, None
            except TrackingError as error:
                failures, self._error = failures + 1, error
            if last:
                return


def deliver_patiently(folder: Path, patience: float) -> str | None:
    """Deliver as `deliver`; while a store that has answered before does not, try again for ``patience`` seconds."""
    end = time.monotonic() + patience
    attempt = 0
    while True:
        try:
            return deliver(folder)
        except StoreUnavailableError:
            delay = _RETRY_DELAYS[min(attempt, len(_RETRY_DELAYS) - 1)]
            if read_delivery_state(folder).run_id is None or time.monotonic() + delay > end:
                raise
            if not attempt:
                _say(f"The store does not answer; waiting for it, {patience:.0f} s at most …")
            attempt += 1
            time.sleep(delay)


def undelivered_folders(root: Path) -> list[Path]:
    """Return the folders under ``root`` with undelivered lines, a sweep's own before those of its runs."""
    return [folder for folder in journal.folders(root) if count_undelivered_lines(folder)]
