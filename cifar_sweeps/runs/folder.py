"""The folder of one run: its path, checks before it is used, and its config.yaml."""

from datetime import datetime
from pathlib import Path

import yaml

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.training.checkpoint_manager import CheckpointManager


def runs_folder(config: RunConfig) -> Path:
    """Return the folder of single runs (runs outside a sweep)."""
    return Path(config.outputs) / "runs"


def next_run_folder(config: RunConfig) -> Path:
    """Return a new folder for a run under the config's outputs, named after the time; it is not created yet."""
    return runs_folder(config) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def check_not_finished(folder: Path) -> None:
    """Raise ConfigError if the folder holds a run that has finished."""
    previous = read_run(folder)
    if previous is not None and previous.state == "FINISHED":
        CheckpointManager(folder / "checkpoints").clear()  # if it was killed before it did this
        raise ConfigError(f"{folder}: holds the run {previous.name!r}, which has finished; choose another folder")


def create_writable(folder: Path) -> None:
    """Create the folder and try to write into it. Raises ConfigError if that fails."""
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise ConfigError(
            f"outputs: {folder} cannot be written ({error.strerror}); set outputs=FOLDER to another folder"
        ) from error


def write_config(config: RunConfig, folder: Path) -> Path:
    """Write the whole composed config into the folder and return its path."""
    path = folder / "config.yaml"
    write_text_atomic(path, yaml.safe_dump(config.as_dict, sort_keys=False, allow_unicode=True))
    return path
