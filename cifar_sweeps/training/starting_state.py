"""Prepare a new run to resume from another one's last.pt: read it, and put it into the new run's folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_sweeps.errors import TrainingError
from cifar_sweeps.training.checkpoint_file import load
from cifar_sweeps.training.checkpoint_manager import save_with_sum, verify_checksum
from cifar_sweeps.training.metrics import EpochMetrics


@dataclass(frozen=True)
class LastState:
    """What a ``last.pt`` holds (see `CheckpointManager`), and its epochs' metrics."""

    state: Mapping[str, Any]
    history: tuple[EpochMetrics, ...]

    @property
    def epoch(self) -> int:
        """The last epoch that was trained."""
        return len(self.history)

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best validation accuracy, the earliest of several; None without validation."""
        scores = [(each.val_accuracy, -each.epoch) for each in self.history if each.val_accuracy is not None]
        return -max(scores)[1] if scores else None


def read_last_state(path: Path) -> LastState:
    """Read a ``last.pt``. Raises TrainingError if it is damaged, or holds no state to go on from."""
    state = load(path)
    try:
        history = tuple(EpochMetrics(**each) for each in state["metrics"])
        whole = isinstance(state["model"], Mapping) and isinstance(state["optimizer"], Mapping)
        whole = whole and [each.epoch for each in history] == list(range(1, state["epoch"] + 1)) and len(history) > 0
    except (KeyError, TypeError):
        whole, history = False, ()
    if not whole:
        raise TrainingError(
            f"{path}: holds no training state (model, optimizer, metrics) to go on from; choose another"
        )
    return LastState(state, history)


def place_state(
    folder: Path, last: LastState, best: Path | None, tests: Mapping[int, Mapping[str, float]] | None = None
) -> None:
    """Write the checkpoints from which a run in this folder resumes, after the epochs of ``last``.

    folder: its checkpoints'. best: the ``best.pt`` that belongs to ``last``; None: its best weights were not kept, and
    the run has none before an epoch is better. tests: test metrics of earlier epochs, which the run records.
    Raises TrainingError if ``best`` is damaged or of another run, or if the folder cannot be written.
    """
    name = None
    if last.best_epoch == last.epoch:
        name = save_with_sum(folder, "best", last.epoch, last.state["model"]).name
    elif last.best_epoch is not None and best is not None:
        verify_checksum(best, str(last.state.get("best")))
        name = save_with_sum(folder, "best", last.best_epoch, load(best)).name
    earlier = {epoch: dict(metrics) for epoch, metrics in (tests or {}).items()}
    save_with_sum(folder, "resume", last.epoch, {**last.state, "best": name, "tests": earlier})
