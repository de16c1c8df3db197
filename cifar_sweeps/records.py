"""Where a run's record is opened, and under what names."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_sweeps.config import RunConfig
from cifar_sweeps.scene import threads
from cifar_sweeps.tracking.record import NoRecord, Record
from cifar_sweeps.tracking.store import DEFAULT_EXPERIMENT, PREFIX, Store, tracking_uri
from cifar_sweeps.training.precision import resolve_device, resolve_precision


def study_name(config: RunConfig) -> str:
    """Return the MLflow experiment that a config's runs belong to."""
    return config.study_name or DEFAULT_EXPERIMENT


def open_record(
    config: RunConfig,
    name: str,
    overrides: Sequence[str],
    folder: Path,
    more_tags: Mapping[str, str] | None = None,
    parent_run_id: str | None = None,
) -> Record:
    """Open the record of one run in the store that its config names.

    overrides: what to type after ``cifar-train`` to get this config. more_tags: by their short names.
    """
    if config.tracking.backend == "none":
        return NoRecord()
    study = study_name(config)
    store = Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs))
    tags = {"study": study, "overrides": shlex.join(overrides), "folder": str(folder.absolute()), **(more_tags or {})}
    named = {f"{PREFIX}{key}": value for key, value in tags.items()}
    named["mlflow.note.content"] = f"Repeat it: `cifar-train {shlex.join(repeating(config, overrides))}`"
    return store.create_run(store.prepare(study), name, named, parent_run_id)


def repeating(config: RunConfig, overrides: Sequence[str]) -> list[str]:
    """Return what to type after ``cifar-train`` for the same bits: the overrides, and what the machine chose."""
    precision = resolve_precision(config.trainer.precision, resolve_device(config.trainer.device))
    return [*overrides, f"trainer.threads={threads(config)}", f"trainer.precision={precision.name}"]
