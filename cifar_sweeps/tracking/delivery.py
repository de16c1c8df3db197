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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from cifar_sweeps.errors import TrackingError, in_one_line
from cifar_sweeps.system.files import is_inside, write_text_atomic
from cifar_sweeps.system.locks import file_lock
from cifar_sweeps.tracking import journal, mlflow_api, mlflow_inputs
from cifar_sweeps.tracking.artifact_files import ArtifactWriter
from cifar_sweeps.tracking.journal import Entry
from cifar_sweeps.tracking.recorded_run import EARLY_STOPPED, EARLY_STOPPED_OF, PREFIX
from cifar_sweeps.tracking.store import Store, StoreUnavailableError
from cifar_sweeps.tracking.store_calls import MAX_AT_ONCE, MAX_PARAMS, MAX_TAGS, Told, log_values, restore_run
from cifar_sweeps.tracking.store_errors import is_busy, is_gone, is_refusal
from cifar_sweeps.tracking.store_uri import embedded_uri

NOTE = "delivered.json"
LOCK = ".delivery.lock"
_JOURNAL_TAG = f"{PREFIX}journal"
_TOGETHER = frozenset({"params", "tags", "metrics", "artifact", "dataset"})
"""Operations that can be sent together, whatever their order: none changes what another one does."""
_LARGE_FILE = 1_000_000
"""Bytes of an artifact above which it is noted as sent at once: a delivery that dies then does not send it again."""
END_TAGS = (
    *(f"{PREFIX}{key}" for key in ("failure", "failed_epoch", "failed_step", "last_checkpoint")),
    EARLY_STOPPED,
    EARLY_STOPPED_OF,
)
"""Tags that say why a run ended; removed when it is resumed."""


@dataclass(frozen=True)
class DeliveryState:
    """How much of a journal is delivered: its run's id in the store, and the number of lines that are there.

    refused: what the store did not take, with the reasons; it is not sent again. renamed: what the user was told of
    names that MLflow does not take. untried: nothing has been sent yet, so that the store need not be searched for the
    run. A journal without its note, which may have been lost, is not. may_have_twin: an earlier call to create the
    run may have been thought lost: a store that hung carries it out later.
    """

    run_id: str | None = None
    lines: int = 0
    refused: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    untried: bool = False
    may_have_twin: bool = False


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


def note_untried(folder: Path) -> None:
    """Note of a journal that has just been created that nothing of it has been sent."""
    _note(folder, DeliveryState(untried=True))


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


def send_anew(folder: Path) -> None:
    """Send a journal whose run is gone from the store as a new run."""
    _note(folder, DeliveryState())
    say(f"The run of {folder} is gone from MLflow; {_sent_again(journal.read(folder))}.")
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


def say(line: str) -> None:
    """Print a line about a delivery, which may run in a thread beside a live table: on stderr."""
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
    experiment_id = ""
    if state.run_id is None:  # first: a client makes a missing file in place, step by step
        experiment_id = store.prepare(str(entries[0].fields["study"]))
    client, run_id = store.client(), state.run_id
    target: _Target | None = None
    for batch in _batches(entries[state.lines :], folder):
        if run_id is None:
            may_exist, state = not state.untried, replace(state, untried=False)
            # On disk, before the run can be in the store: a power cut would bring back the note that nothing is there.
            write_text_atomic(folder / NOTE, json.dumps(asdict(state)))
            run_id = _find_or_create_run(folder, entries[0], store, experiment_id, may_exist)
            state = replace(state, may_have_twin=may_exist)
        target = target or _Target(client, run_id, folder)
        try:
            told = _send_or_set_aside(target, batch)
        except mlflow_api.MlflowException as error:
            restored = restore_run(client, run_id) if is_gone(error) else False
            if restored is False:
                raise
            if restored is None:
                _note(folder, DeliveryState())
                say(f"The run of {folder} is gone from MLflow; {_sent_again(entries)}.")
                return _deliver(folder, entries, DeliveryState())
            say(f"The run of {folder} had been deleted in MLflow; it is restored.")
            told = _send_or_set_aside(target, batch)
        state = _tell(folder, replace(state, run_id=run_id, lines=batch[-1].number), told)
        if state.may_have_twin and batch[-1].op == "close":
            _delete_twins(store, run_id, entries[0])
            state = replace(state, may_have_twin=False)
        _note(folder, state)
    return run_id


def _delete_twins(store: Store, run_id: str, header: Entry) -> None:
    """Move runs of the same journal, which nothing was sent to, into MLflow's trash."""
    experiment_id = store.prepare(str(header.fields["study"]))
    for twin in store.runs_with_tag(experiment_id, _JOURNAL_TAG, str(header.fields["journal"])):
        if twin != run_id:
            store.client().delete_run(twin)
            say(f"{store.uri}: a call that was thought lost had created run {twin} a second time; it is deleted.")


def _tell(folder: Path, state: DeliveryState, told: Told) -> DeliveryState:
    """Say what was recorded otherwise than the journal has it, each thing once; return the state that remembers it."""
    renamed = [line for line in dict.fromkeys(told.renamed) if line not in state.renamed]
    for line in renamed:
        say(f"{folder}: {line}, which does not take that name")
    for line in told.refused:
        say(f"{folder}: the store does not take, and is not sent again: {line}")
    return replace(state, renamed=(*state.renamed, *renamed), refused=(*state.refused, *told.refused))


def _sent_again(entries: Sequence[Entry]) -> str:
    lost = ", without the model for mlflow.pyfunc" if any(entry.op == "model" for entry in entries) else ""
    return f"it is sent again from its journal{lost}"


@dataclass(frozen=True)
class _Target:
    """The run in the store that a journal's lines are sent to. folder: the journal's."""

    client: "mlflow_api.MlflowClient"
    run_id: str
    folder: Path

    @cached_property
    def run(self) -> "mlflow_api.Run":
        """The run as it was in the store when this was first asked for: its ids and its place do not change."""
        return self.client.get_run(self.run_id)

    @cached_property
    def artifacts(self) -> ArtifactWriter:
        """Writes the run's artifacts."""
        return ArtifactWriter(self.client, self.run_id, lambda: self.run)


def _send_or_set_aside(target: _Target, batch: Sequence[Entry]) -> Told:
    """Send a batch; what the store refuses for good is set aside, and all else of it sent."""
    try:
        return _send(target, batch)
    except (mlflow_api.MlflowException, OSError) as error:
        if not is_refusal(error):
            raise
        if len(batch) == 1:
            return Told(refused=[f"{batch[0].op} {batch[0].fields.get('path', '')}: {in_one_line(error)}"])
    half = len(batch) // 2
    each = [_send_or_set_aside(target, part) for part in (batch[:half], batch[half:])]
    return Told([line for told in each for line in told.renamed], [line for told in each for line in told.refused])


def _batches(entries: Sequence[Entry], folder: Path) -> Iterator[list[Entry]]:
    """Group consecutive entries whose values fit into one call, with the files and data sets between them."""
    batch, sizes = list[Entry](), Counter[str]()
    for entry in entries:
        more = len(entry.fields["values"]) if entry.op in ("metrics", "params", "tags") else 0
        fits = sizes.total() + more <= MAX_AT_ONCE
        fits &= {"params": MAX_PARAMS, "tags": MAX_TAGS}.get(entry.op, MAX_AT_ONCE) >= sizes[entry.op] + more
        if batch and not (fits and {entry.op, batch[-1].op} <= _TOGETHER):
            yield batch
            batch, sizes = [], Counter()
        batch.append(entry)
        sizes[entry.op] += more
        if entry.op == "artifact" and _is_large(folder / str(entry.fields["path"])):
            yield batch
            batch, sizes = [], Counter()
    if batch:
        yield batch


def _is_large(path: Path) -> bool:
    try:
        return path.is_dir() or path.stat().st_size > _LARGE_FILE
    except OSError:  # it may have been deleted since
        return False


def _find_or_create_run(folder: Path, header: Entry, store: Store, experiment_id: str, may_exist: bool) -> str:
    """Return the id of the journal's run in the store; create it, after its parent, if it is missing.

    may_exist: an earlier delivery was cut short, perhaps after it had created the run.
    """
    fields = header.fields
    tags = {**fields["tags"], _JOURNAL_TAG: str(fields["journal"])}
    if fields["parent"] is not None:
        place = Path(os.path.normpath(folder.absolute() / str(fields["parent"])))
        parent = deliver(place)
        if may_exist and parent is not None and restore_run(store.client(), parent) is None:
            send_anew(place)
            parent = read_delivery_state(place).run_id
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
    found = store.runs_with_tag(experiment_id, _JOURNAL_TAG, str(fields["journal"])) if may_exist else []
    return found[0] if found else store.create_run(experiment_id, str(fields["name"]), tags, header.time)


def _send(target: _Target, batch: Sequence[Entry]) -> Told:
    """Make the store calls for a batch: of entries that can be sent together, or of a single other one."""
    client, run_id, folder, first = target.client, target.run_id, target.folder, batch[0]
    match first.op:
        case op if op in _TOGETHER:
            return _send_together(target, batch)
        case "open":
            pass  # the run exists: `_find_or_create_run`
        case "resume":
            client.update_run(run_id, status="RUNNING")
            for key in client.get_run(run_id).data.tags.keys() & set(END_TAGS):
                client.delete_tag(run_id, key)
        case "model":
            path = _path_in_folder(folder, first)
            if path.exists():
                mlflow_inputs.log_model(
                    client, run_id, path, name=str(first.fields["name"]), step=int(first.fields["step"])
                )
                shutil.rmtree(path, ignore_errors=True)  # the store's artifacts have it now
        case "experiment_tags":
            for key, value in first.fields["values"].items():
                client.set_experiment_tag(target.run.info.experiment_id, key, value)
        case "close":
            if first.fields["reason"]:
                log_values(client, run_id, tags={f"{PREFIX}failure": str(first.fields["reason"])})
            client.set_terminated(run_id, str(first.fields["state"]), first.time)
        case unknown:
            raise TrackingError(f"{folder}: a newer cifar_sweeps wrote {unknown!r} into the journal; upgrade this one")
    return Told()


def _send_together(target: _Target, batch: Sequence[Entry]) -> Told:
    """Send entries of which none changes what another one does: their values first, then files and data sets."""
    metrics = [
        mlflow_api.Metric(key, float(value), entry.time, int(entry.fields["step"]))
        for entry in batch
        if entry.op == "metrics"
        for key, value in entry.fields["values"].items()
    ]
    params, tags = dict(_values(batch, "params")), dict(_values(batch, "tags"))
    told = Told()
    if metrics or params or tags:
        told = log_values(
            target.client, target.run_id, params=params, tags=tags, metrics=metrics, run=lambda: target.run
        )
    for entry in batch:
        if entry.op == "dataset":
            mlflow_inputs.log_input(target.client, target.run_id, **entry.fields)
        if entry.op == "artifact":
            path = _path_in_folder(target.folder, entry)
            if path.exists():  # it may have been deleted since
                target.artifacts.log(path, str(entry.fields["folder"]))
    return told


def _path_in_folder(folder: Path, entry: Entry) -> Path:
    """Return an entry's path. Raises TrackingError if it is outside the folder: the journal may be another user's."""
    path = folder / str(entry.fields["path"])
    if not is_inside(path, folder) or path.resolve() == folder.resolve():
        raise TrackingError(f"{folder}: line {entry.number} of its journal names {path}, which is not in the folder")
    return path


def _values(batch: Sequence[Entry], op: str) -> Iterator[tuple[str, str]]:
    for entry in batch:
        if entry.op == op:
            yield from entry.fields["values"].items()


def _note(folder: Path, state: DeliveryState) -> None:
    # Without fsync: an older note, after a power cut, only costs repeated calls.
    path = folder / NOTE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(state)), encoding="utf-8")
    temporary.replace(path)


def undelivered_folders(root: Path) -> list[Path]:
    """Return the folders under ``root`` with undelivered lines, a sweep's own before those of its runs."""
    return [folder for folder in journal.folders(root) if count_undelivered_lines(folder)]
