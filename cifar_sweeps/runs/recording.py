"""Open the logger of a run: its store, its name, its experiment and its tags."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.setup import resolve_threads
from cifar_sweeps.system.scripts import needed_environment, recorded_command
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
    extra_tags: Mapping[str, str] | None = None,
    sweep: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> RunLogger:
    """Open the logger of one run, for its folder and the store of its config.

    extra_tags: by their short names. sweep: the folder of the run's sweep, which has checked the store already.
    report: called with a message if the store does not answer now.
    Raises TrackingError if the store cannot be used.
    """
    if sweep is None:
        error = _availability_error(config)
        if error and report is not None:
            report(error)
    own = {"overrides": shlex.join(config.overrides), "folder": str(folder.absolute()), "typed_in": str(Path.cwd())}
    tags = {**own, **(extra_tags or {})}
    named = {f"{PREFIX}{key}": value for key, value in {"study": experiment_name(config), **tags}.items()}
    named["mlflow.note.content"] = _description(config, tags)
    return RunLogger(
        RunHeader(
            folder=folder,
            outputs=Path(config.outputs),
            backend=config.tracking.backend,
            uri=configured_uri(config.tracking.uri, config.outputs),
            study=experiment_name(config),
            name=name,
            tags=named,
            identity=identity,
            parent=sweep,
        )
    )


def _description(config: RunConfig, tags: Mapping[str, str]) -> str:
    """Return how to repeat a run, in Markdown. tags: by their short names."""
    at_once = f"`{repeat_command(config, tags.get('config_dir'))}`"
    if "extends" not in tags:
        return f"Repeat it: {at_once}"
    environment = needed_environment((), config.outputs, configured_uri(config.tracking.uri, config.outputs))
    arguments = ["extend", tags["extends"], *shlex.split(tags.get("extended_with", ""))]
    made = f"Run {tags['extends']}, made longer after epoch {tags['extended_after'].rpartition(',')[2]}"
    lines = [f"{made}: `{recorded_command('cifar-sweeps', arguments, environment)}`"]
    reason = tags.get("not_as_at_once")
    lines.append(f"Not the same as at once: {reason}." if reason else f"The same at once: {at_once}")
    return "\n\n".join(lines)


def reproduce_overrides(config: RunConfig, overrides: Sequence[str]) -> list[str]:
    """Return the overrides that reproduce the run bit for bit: its own, and the threads and precision in use."""
    precision = resolve_precision(config.trainer.precision, resolve_device(config.trainer.device))
    return [*overrides, f"trainer.threads={resolve_threads(config)}", f"trainer.precision={precision.name}"]


def repeat_command(config: RunConfig, config_dir: str | None) -> str:
    """Return the command that trains a run again by itself, also a sweep's job. config_dir: of its --config-dir."""
    own_files = ["--config-dir", config_dir] if config_dir else []
    overrides = reproduce_overrides(config, config.overrides)
    single = ["hydra.mode=RUN"] if any(each.startswith("study=") for each in overrides) else []
    environment = needed_environment(overrides, config.outputs, configured_uri(config.tracking.uri, config.outputs))
    return recorded_command("cifar-train", [*own_files, *overrides, *single], environment)


def _availability_error(config: RunConfig) -> str | None:
    if config.tracking.backend == "none":
        return None
    return Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs)).availability_error(
        experiment_name(config)
    )
