"""Open the logger of a run: its store, its name, its experiment and its tags."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.setup import resolve_threads
from cifar_sweeps.system.scripts import needed_environment, recorded_command
from cifar_sweeps.tracking.recorded_run import PREFIX, SWEPT
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import DEFAULT_EXPERIMENT, Store
from cifar_sweeps.tracking.store_uri import configured_uri, tracking_uri
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
    named[f"{PREFIX}repeat"] = how_to_repeat(config, tags)
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


def how_to_repeat(config: RunConfig, tags: Mapping[str, str]) -> str:
    """Return the command that trains a run again by itself. tags: by their short names.

    Of one that was made longer, and differs from a training of its length at once, the command that made it longer.
    """
    if "not_as_at_once" in tags:
        return extend_command(config, tags)
    return repeat_command(config, tags.get("config_dir"))


def extension_lines(config: RunConfig, tags: Mapping[str, str]) -> list[str]:
    """Return, in Markdown, which run was made longer, and how; nothing of any other run. tags: by their short names."""
    if "extends" not in tags:
        return []
    epoch = tags["extended_after"].rpartition(",")[2]
    made = f"run {tags['extends']} after epoch {epoch}, by `{extend_command(config, tags)}`"
    reason = tags.get("not_as_at_once")
    return [f"**Made longer**: {made}. {f'Not the same as at once: {reason}.' if reason else 'The same as at once.'}"]


def extend_command(config: RunConfig, tags: Mapping[str, str]) -> str:
    """Return the command that made a run longer. tags: by their short names."""
    environment = needed_environment((), config.outputs, configured_uri(config.tracking.uri, config.outputs))
    arguments = ["extend", tags["extends"], *shlex.split(tags.get("extended_with", ""))]
    return recorded_command("cifar-sweeps", arguments, environment)


def reproduce_overrides(config: RunConfig, overrides: Sequence[str]) -> list[str]:
    """Return the overrides that reproduce the run bit for bit: its own, and the threads and precision in use."""
    precision = resolve_precision(config.trainer.precision, resolve_device(config.trainer.device))
    own = {"trainer.threads": str(resolve_threads(config)), "trainer.precision": precision.name}
    kept = [each for each in overrides if each.partition("=")[0] not in own]
    return [*kept, *(f"{key}={value}" for key, value in own.items())]


def repeat_command(config: RunConfig, config_dir: str | None) -> str:
    """Return the command that trains a run again by itself, also a sweep's job. config_dir: of its --config-dir."""
    own_files = ["--config-dir", config_dir] if config_dir else []
    # How its sweep ran its jobs is nothing of the run's.
    own = [each for each in config.overrides if not each.lstrip("+~").startswith("sweep.")]
    overrides = reproduce_overrides(config, own)
    single = ["hydra.mode=RUN"] if any(each.startswith("study=") for each in overrides) else []
    environment = needed_environment(overrides, config.outputs, configured_uri(config.tracking.uri, config.outputs))
    return recorded_command("cifar-train", [*own_files, *overrides, *single], environment)


def swept_params(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that hold what the run's sweep varied; none of a single run. tags: by short names."""
    swept: dict[str, object] = json.loads(tags.get("swept", "{}"))
    return {f"{SWEPT}{key}": str(value) for key, value in swept.items()}


def _availability_error(config: RunConfig) -> str | None:
    if config.tracking.backend == "none":
        return None
    return Store(tracking_uri(config.tracking.uri, config.outputs), Path(config.outputs)).availability_error(
        experiment_name(config)
    )
