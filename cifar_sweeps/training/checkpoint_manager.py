"""A run's checkpoints: written while the training goes on, checked by their sums, so that a resume finds a whole one.

While a run trains, its folder holds the states after the last two epochs, ``resume-EPOCH-SUM.pt``, and the best weights
that they know of, ``best-EPOCH-SUM.pt``; SUM begins the file's SHA-256, so that damage of any kind is seen. At the end
they become ``last.pt``, all that a further training needs, and ``best.pt``, weights alone.
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

_NAME = re.compile(r"(resume|best)-(\d{6})-([0-9a-f]{16})\.pt")
_KEPT = 2


class CheckpointManager:
    """The checkpoint files of one run, in a folder that exists.

    ``last.pt`` holds model, optimizer, schedule, epoch, config (plain values, as given) and the metrics of all epochs.
    ``best.pt`` is a state dict of the epoch with the highest validation accuracy, the earliest of equals. Without
    validation data nothing is selected: there is no ``best.pt``, and ``best_epoch`` stays None.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self.last = folder / "last.pt"
        self.best = folder / "best.pt"
        self.best_epoch: int | None = None
        self.best_accuracy: float | None = None
        self._folder = folder
        self._config = dict(config or {})
        self._history: list[dict[str, Any]] = []
        self._best_file: Path | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._writing: Future[None] | None = None

    def restore_latest(
        self, model: nn.Module, optimizer: RegularizedOptimizer, schedule: Schedule, say: Callable[[str], None]
    ) -> list[EpochMetrics]:
        """Load the newest whole state, if there is one, and return the metrics of its epochs; else an empty list.

        say: is told of files that are damaged, which are removed. Raises TrainingError if a state belongs to another
        model, optimizer or schedule.
        """
        for leftover in self._folder.glob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)
        for path in sorted(self._folder.glob("resume-*.pt"), reverse=True):
            state = self._whole_state(path, say)
            if state is None:
                path.unlink()
                continue
            _, history = restore(path, model, optimizer, schedule)
            best = state["best"]
            self._best_file = None if best is None else self._folder / Path(best).name
            for metrics in history:
                self._note(EpochMetrics(**metrics))
            self._tidy(state["epoch"])
            return [EpochMetrics(**metrics) for metrics in history]
        self._tidy(0)
        return []

    def save(
        self, model: nn.Module, optimizer: RegularizedOptimizer, schedule: Schedule, metrics: EpochMetrics
    ) -> None:
        """Take the state at an epoch's end; it is written while the training goes on.

        Raises TrainingError if the state before it could not be written.
        """
        self.wait()
        is_best = self._note(metrics)
        weights = _copied(model.state_dict())
        payload = {
            "model": weights,
            "optimizer": _copied(optimizer.state_dict()),
            "schedule": _copied(schedule.state_dict()),
            "epoch": metrics.epoch,
            "config": self._config,
            "metrics": list(self._history),
        }
        self._writing = self._writer.submit(self._write, payload, is_best)

    def wait(self) -> None:
        """Wait until what was offered is on the disk. Raises TrainingError if it could not be written."""
        if self._writing is not None:
            wait([self._writing])  # an interrupt in here leaves it to be waited for once more
            writing, self._writing = self._writing, None
            writing.result()

    def finish(self) -> None:
        """Make ``last.pt`` and ``best.pt`` of the newest states. Raises TrainingError if they cannot be written."""
        self.wait()
        newest = self.latest()
        try:
            if newest is not None:
                _link(newest, self.last)
            if self._best_file is not None:
                _link(self._best_file, self.best)
        except OSError as error:
            raise TrainingError(f"{self._folder}: cannot be written ({error}); make room") from error

    def clear(self) -> None:
        """Remove what a resume would need: the run has finished."""
        for kind in ("resume", "best"):
            for path in self._folder.glob(f"{kind}-*.pt"):
                path.unlink(missing_ok=True)

    def latest(self) -> Path | None:
        """Return the state of the last epoch that was written."""
        return max(self._folder.glob("resume-*.pt"), default=None)

    def _write(self, payload: dict[str, Any], is_best: bool) -> None:
        epoch = payload["epoch"]
        if is_best:
            self._best_file = _save_with_sum(self._folder, "best", epoch, payload["model"])
        best = None if self._best_file is None else self._best_file.name
        _save_with_sum(self._folder, "resume", epoch, {**payload, "best": best})
        self._tidy(epoch)

    def _whole_state(self, path: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
        try:
            _check_sum(path)
            state = load(path)
            if state["best"] is not None:
                _check_sum(self._folder / Path(state["best"]).name)
        except (TrainingError, KeyError) as error:
            say(f"{error}; goes back to the one before it")
            return None
        return state

    def _tidy(self, epoch: int) -> None:
        """Remove the states after ``epoch``, which are to be made again, and those that are no longer needed."""
        for kind in ("resume", "best"):
            paths = sorted(self._folder.glob(f"{kind}-*.pt"))
            known = [path for path in paths if (match := _NAME.fullmatch(path.name)) and int(match[2]) <= epoch]
            for path in {*paths} - {*known[-_KEPT:]}:
                path.unlink(missing_ok=True)

    def _note(self, metrics: EpochMetrics) -> bool:
        """Take an epoch into the history, and say whether it is the best so far."""
        self._history.append(asdict(metrics))
        accuracy = metrics.val_accuracy
        if accuracy is None or (self.best_accuracy is not None and accuracy <= self.best_accuracy):
            return False
        self.best_epoch, self.best_accuracy = metrics.epoch, accuracy
        return True


def _save_with_sum(folder: Path, kind: str, epoch: int, payload: Mapping[str, Any]) -> Path:
    """Write a file whose name holds its sum; it appears whole or not at all."""
    temporary = folder / f".{kind}-{epoch:06}.{os.getpid()}.tmp"
    try:
        save(temporary, payload)
        path = folder / f"{kind}-{epoch:06}-{_sum(temporary)}.pt"
        temporary.replace(path)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written ({error}); make room, or set outputs=FOLDER") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _check_sum(path: Path) -> None:
    match = _NAME.fullmatch(path.name)
    try:
        if match is None or _sum(path) != match[3]:
            raise TrainingError(f"{path}: is damaged: its content is not what was written")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror})") from error


def _sum(path: Path) -> str:
    return sha256(path)[:16]


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy where the file system knows no second names."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # where both already were names of the same file, it has not been moved


def _copied(state: Any) -> Any:  # noqa: ANN401 (whatever a state dict holds)
    """Return a state with tensors of its own: the training goes on with the old ones."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_copied(value) for value in state)
    return state
