"""The record of one run, or of one sweep: everything goes into the journal first, and from there to MLflow."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import DeliveryThread, read_delivery_state, reset_delivery
from cifar_sweeps.tracking.journal import Journal, State


@dataclass(frozen=True)
class RunHeader:
    """What a record begins with. ``folder`` is where the run lies, and its journal.

    uri: MLflow's address; None: the database in ``outputs``. parent: the folder of the sweep. identity: what two
    records of the same training have in common.
    """

    folder: Path
    outputs: Path
    backend: Literal["mlflow", "none"]
    uri: str | None
    study: str
    name: str
    tags: Mapping[str, str]
    identity: str
    parent: Path | None = None


class RunLogger:
    """A record that is being written. It is opened anew for each attempt at a run, and goes on where the last ended.

    Raises ConfigError if the folder holds another run's journal, TrackingError if the journal cannot be written.
    """

    def __init__(self, opening: RunHeader) -> None:
        self.folder = opening.folder
        self._journal = Journal(opening.folder)
        self._sender: DeliveryThread | None = None
        self.has_ended = False
        """Whether the end has been written down."""
        self.delivery_error: TrackingError | None = None
        """What stood against the delivery when the record was closed; `cifar-sweeps sync` tries again."""
        self._measured = {
            (metric, int(entry.fields["step"]))
            for entry in self._journal.entries
            if entry.op == "metrics"
            for metric in entry.fields["values"]
        }
        reset_delivery(opening.folder, len(self._journal.entries))
        if self._journal.entries:
            self._resume(opening)
        else:
            self._journal.append("open", **_header_fields(opening))
        self._journal.sync()
        if opening.backend == "mlflow":
            self._sender = DeliveryThread(opening.folder)
            self._sender.send()

    @property
    def run_id(self) -> str | None:
        """MLflow's name of the run; None where nothing is recorded, or the store has not been reached yet."""
        return read_delivery_state(self.folder).run_id

    def has(self, metric: str, step: int) -> bool:
        """Say whether an earlier attempt wrote down this metric at this step."""
        return (metric, step) in self._measured

    def log_params(self, values: Mapping[str, str]) -> None:
        """Write down what was asked for, once. MLflow keeps 6,000 characters of a value; `config.yaml` has it whole."""
        if not any(entry.op == "params" for entry in self._journal.entries):
            self._append("params", values=dict(values))

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Write down what the run is and where it comes from. A later value replaces an earlier one."""
        self._append("tags", values=dict(values))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write down what was measured at ``step`` (an epoch), all of it at once; it is on the disk then.

        What an earlier attempt wrote down is not written again: the same training gives the same figures.
        """
        new = {key: float(value) for key, value in values.items() if not self.has(key, step)}
        if new:
            self._measured |= {(key, step) for key in new}
            self._append("metrics", values=new, step=step)
            self._journal.sync()

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Keep a copy of the file, or of all that lies in the folder, ``path`` under ``folder`` of the artifacts."""
        self._append("artifact", path=os.path.relpath(path, self.folder), folder=folder)

    def log_input(self, *, name: str, fingerprint: str, source: str, images: Mapping[str, int], classes: int) -> None:
        """Write down which images were used. images: how many on each side, such as ``{"training": 45000}``."""
        self._append("dataset", name=name, fingerprint=fingerprint, source=source, images=dict(images), classes=classes)

    def log_model(self, path: Path, name: str, step: int) -> None:
        """Hand over a model in MLflow's format, made from the weights of epoch ``step``; the folder is moved."""
        self._append("model", path=os.path.relpath(path, self.folder), name=name, step=step)

    def end_run(self, state: State, reason: str = "") -> None:
        """End the record with a true state, and why if it is not FINISHED. What has an end keeps it.

        Raises TrackingError if the disk takes no more; what was written before is sent all the same.
        """
        if self.has_ended:  # the wait for the store was interrupted; what it lacks is sent later
            self._journal.close()
            return
        try:
            self._append("close", state=state, reason=reason)
            self._journal.sync()
            self.has_ended = True  # not before it is on the disk: what follows may remove what a resume needs
        finally:
            if self._sender is not None:
                self.delivery_error = self._sender.finish()
            self._journal.close()

    def _append(self, op: journal.Op, **facts: object) -> None:
        if self.has_ended:
            return
        self._journal.append(op, **facts)
        if self._sender is not None:
            self._sender.send()

    def _resume(self, opening: RunHeader) -> None:
        first = self._journal.entries[0].fields
        if first["identity"] != opening.identity:
            self._journal.close()
            raise ConfigError(
                f"{opening.folder}: holds the run {first['name']!r} of another config or of other images; "
                "choose another folder"
            )
        self._journal.append("resume")


def _header_fields(opening: RunHeader) -> dict[str, object]:
    # Paths are relative to the journal, so that an outputs folder may be moved before it is delivered.
    parent = opening.parent
    return {
        "journal": uuid.uuid4().hex,
        "identity": opening.identity,
        "backend": opening.backend,
        "uri": opening.uri,
        "outputs": os.path.relpath(opening.outputs, opening.folder),
        "study": opening.study,
        "name": opening.name,
        "parent": None if parent is None else os.path.relpath(parent, opening.folder),
        "tags": dict(opening.tags),
    }
