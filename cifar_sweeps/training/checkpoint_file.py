"""Save and load a checkpoint file, written atomically, of only tensors and plain values."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from cifar_sweeps.errors import TrainingError
from cifar_sweeps.system.files import atomic_write
from cifar_sweeps.training.optimizer import RegularizedOptimizer
from cifar_sweeps.training.schedules import Schedule


def restore(
    path: Path, model: nn.Module, optimizer: RegularizedOptimizer, schedule: Schedule
) -> tuple[int, list[dict[str, Any]]]:
    """Load a ``last.pt`` into a model, optimizer and schedule that were built from the same config.

    Returns the next epoch to train (from 1), and the metrics of the epochs before it as plain dicts.
    Raises TrainingError if the file is damaged, or belongs to another model or optimizer.
    """
    state = load(path)
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        return state["epoch"] + 1, list(state["metrics"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: does not fit this run's model, optimizer or schedule ({error}); "
            "resume with the config that it was saved with, or delete it to start again"
        ) from error


def load_weights(path: Path, model: nn.Module) -> None:
    """Load the weights of a ``last.pt`` or of a state dict, such as ``best.pt``, into ``model``.

    Raises TrainingError if the file is damaged, or holds the weights of another model.
    """
    state = load(path)
    weights = state["model"] if isinstance(state.get("model"), Mapping) else state
    try:
        model.load_state_dict(weights)
    except (TypeError, AttributeError, RuntimeError) as error:
        details = [line.strip() for line in str(error).splitlines()[1:4]]
        raise TrainingError(
            f"{path}: holds the weights of another model ({' '.join(details) or error}); "
            "choose the model that it was trained with, or another file"
        ) from error


def save(path: Path, payload: Mapping[str, Any], *, is_compressed: bool = False) -> None:
    """Write ``payload`` (tensors and plain values) atomically: ``path`` is the old file or the complete new one.

    is_compressed: a thirteenth smaller, in several times the time: for a file that is written once. `load` and
    ``torch.load`` read it like any other, to the same bits; only ``mmap=True`` cannot.
    Raises TrainingError if it cannot be written; the old file then stays unchanged.
    """
    try:
        with atomic_write(path) as file:
            if is_compressed:
                _save_compressed(payload, file)
            else:
                torch.save(payload, file)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        if isinstance(error.__context__, KeyboardInterrupt):  # and an interrupt too
            raise error.__context__ from None
        raise TrainingError(f"{path}: cannot be written ({error}); free some space, or set outputs=FOLDER") from error


def _save_compressed(payload: Mapping[str, Any], file: BinaryIO) -> None:
    """Write what ``torch.save`` writes, its archive's entries deflated."""
    plain = io.BytesIO()
    torch.save(payload, plain)
    with zipfile.ZipFile(plain) as entries, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in entries.infolist():
            target.writestr(zipfile.ZipInfo(entry.filename), entries.read(entry), zipfile.ZIP_DEFLATED)


def load(path: Path, map_location: str = "cpu") -> dict[str, Any]:
    """Load what `save` wrote, without running code from the file.

    Raises TrainingError if it is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path}: is not a whole checkpoint ({reason}); delete it and train again, or use another one"
        ) from error
    return state
