"""Save a run's checkpoints in the background, and restore the latest undamaged one on resume.

While a run trains, its folder holds the states after the last two epochs, ``resume-EPOCH-SUM.pt``, and the best weights
to which they refer, ``best-EPOCH-SUM.pt``; SUM is the start of the file's SHA-256, so that any damage is detected. At
the end they become ``last.pt``, everything needed to continue training, and ``best.pt``, only weights.
"""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cifar_sweeps.errors import TrainingError
from cifar_sweeps.system.files import sha256
from cifar_sweeps.training.checkpoint_file import load, restore, save
from cifar_sweeps.training.metrics import EpochMetrics
from cifar_sweeps.training.optimizer import RegularizedOptimizer
from cifar_sweeps.training.schedules import Schedule

_FILE_NAME = re.compile(r"(resume|best)-(\d{6})-([0-9a-f]{16})\.pt")
_NUM_KEPT = 2


class CheckpointManager:
    """The checkpoint files of one run, in a folder that exists.

    ``last.pt`` holds model, optimizer, schedule, epoch, config (plain values, as given) and the metrics of all epochs.
    ``best.pt`` is a state dict of the epoch with the highest validation accuracy, the earliest if several are
    equal. Without validation data nothing is selected: there is no ``best.pt``, and ``best_epoch`` stays None.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self.last = folder / "last.pt"
        self.best = folder / "best.pt"
        self.best_epoch: int | None = None
        self.best_accuracy: float | None = None
        self.earlier_tests: dict[int, dict[str, float]] = {}
        """Test metrics by epoch that another run recorded, of which this one is the continuation."""
        self._folder = folder
        self._config = dict(config or {})
        self._history: list[dict[str, Any]] = []
        self._best_file: Path | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._writing: Future[None] | None = None

    def restore_latest(
        self, model: nn.Module, optimizer: RegularizedOptimizer, schedule: Schedule, report: Callable[[str], None]
    ) -> list[EpochMetrics]:
        """Load the latest undamaged state and return the metrics of its epochs; an empty list if there is none.

        report: receives a message for each damaged file, which is removed. Raises TrainingError if a state belongs to
        another model, optimizer or schedule.
        """
        for leftover in self._folder.glob(".*.tmp"):  # of a process that was killed during a write
            leftover.unlink(missing_ok=True)
        for path in sorted(self._folder.glob("resume-*.pt"), reverse=True):
            state = self._load_undamaged(path, report)
            if state is None:
                path.unlink()
                continue
            _, history = restore(path, model, optimizer, schedule)
            best = state["best"]
            self.earlier_tests = dict(state.get("tests", {}))
            self._best_file = None if best is None else self._folder / Path(best).name
            for metrics in history:
                self._add_metrics(EpochMetrics(**metrics))
            self._tidy(state["epoch"])
            return [EpochMetrics(**metrics) for metrics in history]
        self._tidy(0)
        return []

    def save(
        self, model: nn.Module, optimizer: RegularizedOptimizer, schedule: Schedule, metrics: EpochMetrics
    ) -> None:
        """Copy the state at the end of an epoch, and write it in the background.

        Raises TrainingError if the previous state could not be written.
        """
        self.wait()
        is_best = self._add_metrics(metrics)
        weights = _clone_tensors(model.state_dict())
        payload = {
            "model": weights,
            "optimizer": _clone_tensors(optimizer.state_dict()),
            "schedule": _clone_tensors(schedule.state_dict()),
            "epoch": metrics.epoch,
            "config": self._config,
            "metrics": list(self._history),
        }
        self._writing = self._writer.submit(self._write, payload, is_best)

    def wait(self) -> None:
        """Wait until the last saved state is on disk. Raises TrainingError if it could not be written."""
        if self._writing is not None:
            wait([self._writing])  # after an interrupt here, it can be waited for again
            writing, self._writing = self._writing, None
            writing.result()

    def finish(self) -> None:
        """Create ``last.pt`` and ``best.pt`` from the latest state. Raises TrainingError if they cannot be written."""
        self.wait()
        latest = self.latest()
        try:
            if latest is not None:
                _link_or_copy(latest, self.last)
            if self._best_file is not None:
                _link_or_copy(self._best_file, self.best)
        except OSError as error:
            raise TrainingError(f"{self._folder}: cannot be written ({error}); free some space") from error

    def clear(self) -> None:
        """Remove the files that only a resume needs, once the run has finished."""
        for kind in ("resume", "best"):
            for path in self._folder.glob(f"{kind}-*.pt"):
                path.unlink(missing_ok=True)

    def latest(self) -> Path | None:
        """Return the file of the last epoch that was written; None if there is none."""
        return max(self._folder.glob("resume-*.pt"), default=None)

    def _write(self, payload: dict[str, Any], is_best: bool) -> None:
        epoch = payload["epoch"]
        if is_best:
            self._best_file = save_with_sum(self._folder, "best", epoch, payload["model"])
        best = None if self._best_file is None else self._best_file.name
        save_with_sum(self._folder, "resume", epoch, {**payload, "best": best})
        self._tidy(epoch)

    def _load_undamaged(self, path: Path, report: Callable[[str], None]) -> dict[str, Any] | None:
        try:
            verify_checksum(path)
            state = load(path)
            if state["best"] is not None:
                verify_checksum(self._folder / Path(state["best"]).name)
        except (TrainingError, KeyError) as error:
            report(f"{error}; using the checkpoint before it")
            return None
        return state

    def _tidy(self, epoch: int) -> None:
        """Remove the files after ``epoch``, which will be trained again, and those that are no longer needed."""
        for kind in ("resume", "best"):
            paths = sorted(self._folder.glob(f"{kind}-*.pt"))
            candidates = [
                path for path in paths if (match := _FILE_NAME.fullmatch(path.name)) and int(match[2]) <= epoch
            ]
            for path in {*paths} - {*candidates[-_NUM_KEPT:]}:
                path.unlink(missing_ok=True)

    def _add_metrics(self, metrics: EpochMetrics) -> bool:
        """Append an epoch's metrics to the history, and return whether it is the best so far."""
        self._history.append(asdict(metrics))
        accuracy = metrics.val_accuracy
        if accuracy is None or (self.best_accuracy is not None and accuracy <= self.best_accuracy):
            return False
        self.best_epoch, self.best_accuracy = metrics.epoch, accuracy
        return True


def save_with_sum(folder: Path, kind: str, epoch: int, payload: Mapping[str, Any]) -> Path:
    """Write a file atomically, with its checksum in its name."""
    temporary = folder / f".{kind}-{epoch:06}.{os.getpid()}.tmp"
    try:
        save(temporary, payload)
        path = folder / f"{kind}-{epoch:06}-{_checksum(temporary)}.pt"
        temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written ({error}); free some space, or set outputs=FOLDER") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def verify_checksum(path: Path, name: str | None = None) -> None:
    """Raise TrainingError if a file's checksum is not the one in its name. name: the one that it was written under."""
    match = _FILE_NAME.fullmatch(name or path.name)
    try:
        if match is None or _checksum(path) != match[3]:
            raise TrainingError(f"{path}: is damaged: its checksum does not match")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error


def _checksum(path: Path) -> str:
    return sha256(path)[:16]


def _link_or_copy(source: Path, target: Path) -> None:
    """Hard-link ``source`` to ``target``, or copy it if the file system has no hard links."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # os.replace does nothing if both are already links to the same file


def _clone_tensors(state: Any) -> Any:  # noqa: ANN401 (whatever a state dict holds)
    """Return a copy of a state with cloned tensors, as training continues with the originals."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: _clone_tensors(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_clone_tensors(value) for value in state)
    return state
