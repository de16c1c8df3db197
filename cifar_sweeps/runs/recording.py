"""Where a run's record is opened, and under what names."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.setup import resolve_threads
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import DEFAULT_EXPERIMENT, PREFIX, Store, configured_uri, tracking_uri
from cifar_sweeps.training.precision import resolve_device, resolve_precision


def experiment_name(config: RunConfig) -> str:
    """Return the MLflow experiment that a config's runs belong to."""
    return config.study_name or DEFAULT_EXPERIMENT


def open_run_logger(
    config: RunConfig,
    name: str,
    folder: Path,
    identity: str,
    more_tags: Mapping[str, str] | None = None,
    sweep: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> RunLogger:
    """Open the record of one run, in its folder and for the store that its config names.

    more_tags: by their short names. sweep: the folder of the sweep that the run belongs to, which has looked at the
    store already. say: is told if the store does not answer now; the journal waits for it.
    Raises TrackingError if the store cannot be used.
    """
    if sweep is None:
        trouble = _availability_error(config)
        if trouble and say is not None:
            say(trouble)
    own = {"overrides": shlex.join(config.overrides), "folder": str(folder.absolute()), "typed_in": str(Path.cwd())}
    tags = {**own, **(more_tags or {})}
    named = {f"{PREFIX}{key}": value for key, value in {"study": experiment_name(config), **tags}.items()}
    named["mlflow.note.content"] = (
        f"Repeat it: `cifar-train {shlex.join(reproduce_overrides(config, config.overrides))}`"
    )
    return RunLogger(
        RunHeader(
            folder=folder,
            outputs=Path(config.outputs),
            backend=config.tracking.backend,
            uri=configured_uri(config.tracking.uri),
            study=experiment_name(config),
            name=name,
            tags=named,
            identity=identity,
            parent=sweep,
        )
    )


def reproduce_overrides(config: RunConfig, overrides: Sequence[str]) -> list[str]:
    """Return what to type after ``cifar-train`` for the same bits: the overrides, and what the machine chose."""
    precision = resolve_precision(config.trainer.precision, resolve_device(config.trainer.device))
    return [*overrides, f"trainer.threads={resolve_threads(config)}", f"trainer.precision={precision.name}"]


def _availability_error(config: RunConfig) -> str | None:
    if config.tracking.backend == "none":
        return None
    return Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs)).availability_error(
        experiment_name(config)
    )
