"""The claims of a study as its file has them now, in place of those that its runs recorded."""

import copy
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.config.budget import scale_claim_epochs
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.study import SweepRun

Configs = Mapping[str, dict[str, Any]]


def with_current_claims(configs: Configs, sweeps: Sequence[SweepRun]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the arms' configs with the claims of the study's file as it is now, and a line if they have changed.

    configs: one per arm, as recorded. sweeps: whose command names the study and the folder of its file.
    Raises ConfigError if the file cannot be read.
    """
    recorded = {arm: dict(config) for arm, config in configs.items()}
    file, name = _study_file(sweeps)
    if not name or (not any(config.get("claims") for config in configs.values()) and file is None):
        return recorded, []
    if file is None:
        return recorded, [f"The file of study={name} is gone; claims are judged as the runs recorded them."]
    claims = _claims(file)
    if claims is None:  # it has them from another file, which it includes
        return recorded, []
    changed = False
    for config in recorded.values():
        now = scale_claim_epochs(copy.deepcopy(claims), config)
        changed = changed or read_claims(now) != read_claims(config.get("claims"))
        config["claims"] = now
    return recorded, [f"Claims are judged as {file} is now; it has changed since the sweep."] if changed else []


def _study_file(sweeps: Sequence[SweepRun]) -> tuple[Path | None, str]:
    """Return the file of the newest sweep's study, None if it is gone, and the study's name; "" without one."""
    for sweep in reversed(sweeps):
        try:
            overrides = shlex.split(sweep.overrides)
        except ValueError:  # cut at what MLflow keeps
            overrides = sweep.overrides.split()
        named = [line.partition("=")[2] for line in overrides if line.lstrip("+").startswith("study=")]
        if not named or any(line.lstrip("+").startswith("claims") for line in overrides):
            continue
        folders = [*([Path(sweep.config_dir)] if sweep.config_dir else []), conf_folder()]
        files = [folder / "study" / f"{named[-1]}.yaml" for folder in folders]
        return next((file for file in files if file.is_file()), None), named[-1]
    return None, ""


def _claims(file: Path) -> list[dict[str, Any]] | None:
    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except (OmegaConfBaseException, OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        raise ConfigError(f"{file}: is not valid YAML: {' '.join(str(error).split())}") from error
    content = content if isinstance(content, dict) else {}
    claims = content.get("claims")
    if claims is None:
        return None if content.get("defaults") else []
    if not isinstance(claims, list):
        raise ConfigError(f"{file}: claims must be a list")
    return [entry for entry in claims if isinstance(entry, dict)]
