"""Record one run or one sweep: everything goes into its journal first, and from there to MLflow."""

import os
import posixpath
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import note_untried, read_delivery_state, reset_delivery
from cifar_sweeps.tracking.delivery_thread import DeliveryThread, is_held_back
from cifar_sweeps.tracking.journal import Journal, State


@dataclass(frozen=True)
class RunHeader:
    """First line of a run's journal. ``folder`` is the run's folder, which holds the journal.

    uri: MLflow's tracking URI; None: the database in ``outputs``. parent: the folder of the sweep. identity: the
    training hash, equal in two runs of the same training.
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
    """Logs one run to its journal and its store. Each attempt at a run opens a new one, which continues the last.

    Raises ConfigError if the folder holds another run's journal, TrackingError if the journal cannot be written.
    """

    def __init__(self, header: RunHeader) -> None:
        self.folder = header.folder
        self._is_alone = header.parent is None
        self._journal = Journal(header.folder)
        self._delivery: DeliveryThread | None = None
        self.has_ended = False
        """Whether the final state has been written."""
        self.delivery_error: TrackingError | None = None
        """Why the delivery failed when the run ended; `cifar-sweeps sync` tries again."""
        self._logged = {
            (metric, int(entry.fields["step"]))
            for entry in self._journal.entries
            if entry.op == "metrics"
            for metric in entry.fields["values"]
        }
        reset_delivery(header.folder, len(self._journal.entries))
        if self._journal.entries:
            self._resume(header)
        else:
            self._journal.append("open", **_header_fields(header))
            if header.backend == "mlflow":
                note_untried(header.folder)
        self._journal.sync()
        if header.backend == "mlflow" and not is_held_back():
            self._delivery = DeliveryThread(header.folder)
            self._delivery.send()

    @property
    def run_id(self) -> str | None:
        """MLflow's run id; None with tracking=none, or if the store has not been reached yet."""
        return read_delivery_state(self.folder).run_id

    @property
    def started(self) -> int:
        """When the run was first started, in milliseconds since 1970."""
        return self._journal.entries[0].time

    @property
    def artifacts(self) -> list[str]:
        """Places among the run's artifacts of all files that were logged, in this attempt or an earlier one."""
        logged = [entry.fields for entry in self._journal.entries if entry.op == "artifact"]
        places = [posixpath.join(str(each["folder"]), Path(str(each["path"])).name) for each in logged]
        return list(dict.fromkeys(places))

    def has(self, metric: str, step: int) -> bool:
        """Return whether this metric has been logged at this step, in this attempt or an earlier one."""
        return (metric, step) in self._logged

    def log_params(self, values: Mapping[str, str]) -> None:
        """Log the parameters, once. MLflow keeps 6,000 characters of a value; `config.yaml` has all of it."""
        if not any(entry.op == "params" for entry in self._journal.entries):
            self._append("params", values=dict(values))

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run. A later value replaces an earlier one."""
        self._append("tags", values=dict(values))

    def set_experiment_tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run's experiment, such as a view that MLflow's page keeps there."""
        self._append("experiment_tags", values=dict(values))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log metrics at ``step`` (an epoch) in one line, which is on disk when this returns.

        Metrics that an earlier attempt logged are skipped: the same training gives the same values.
        """
        new = {key: float(value) for key, value in values.items() if not self.has(key, step)}
        if new:
            self._logged |= {(key, step) for key in new}
            self._append("metrics", values=new, step=step)
            self._journal.sync()

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Log the file or folder ``path`` as an artifact under ``folder``."""
        self._append("artifact", path=os.path.relpath(path, self.folder), folder=folder)

    def log_input(self, *, name: str, fingerprint: str, source: str, images: Mapping[str, int], classes: int) -> None:
        """Log the data set. images: the number in each split, such as ``{"training": 45000}``."""
        self._append("dataset", name=name, fingerprint=fingerprint, source=source, images=dict(images), classes=classes)

    def log_model(self, path: Path, name: str, step: int) -> None:
        """Log a model in MLflow's format with the weights of epoch ``step``; its folder is removed once delivered."""
        self._append("model", path=os.path.relpath(path, self.folder), name=name, step=step)

    def end_run(self, state: State, reason: str = "") -> None:
        """End the run with its final state, and a reason if that is not FINISHED. A second call changes nothing.

        Raises TrackingError if the disk is full; what was written before is sent all the same.
        """
        if self.has_ended:  # the delivery was interrupted; the rest is sent later
            self._journal.close()
            return
        try:
            self._append("close", state=state, reason=reason)
            self._journal.sync()
            self.has_ended = True  # only once it is on disk: the caller then removes what a resume needs
        finally:
            if self._delivery is not None:
                # A sweep waits for the store once, at its end, for all of its jobs.
                self.delivery_error = self._delivery.finish(patient=self._is_alone)
            self._journal.close()

    def leave(self) -> None:
        """Let go of the journal without an end: the run goes on, and another process continues its record."""
        if self._delivery is not None:
            self.delivery_error = self._delivery.finish(patient=False)
        self._journal.close()

    def _append(self, op: journal.Op, **fields: object) -> None:
        if self.has_ended:
            return
        self._journal.append(op, **fields)
        if self._delivery is not None:
            self._delivery.send()

    def _resume(self, header: RunHeader) -> None:
        first = self._journal.entries[0].fields
        if first["identity"] != header.identity:
            self._journal.close()
            raise ConfigError(
                f"{header.folder}: holds the run {first['name']!r} of another config or of other images; "
                "choose another folder"
            )
        self._journal.append("resume")


def _header_fields(header: RunHeader) -> dict[str, object]:
    # Paths are relative to the journal, so that an outputs folder can be moved before it is delivered.
    parent = header.parent
    return {
        "journal": uuid.uuid4().hex,
        "identity": header.identity,
        "backend": header.backend,
        "uri": header.uri,
        "outputs": os.path.relpath(header.outputs, header.folder),
        "study": header.study,
        "name": header.name,
        "parent": None if parent is None else os.path.relpath(parent, header.folder),
        "tags": dict(header.tags),
    }
