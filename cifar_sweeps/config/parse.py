"""Parse a composed config into a checked RunConfig; hash it, flatten it."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.config.budget import apply_budget
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.config.type_checks import schema_errors, to_dataclass
from cifar_sweeps.config.upgrades import as_in_version_1
from cifar_sweeps.config.value_checks import value_errors
from cifar_sweeps.errors import ConfigError


def conf_folder() -> Path:
    """Return the folder of YAML groups: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def parse_config(cfg: DictConfig) -> RunConfig:
    """Check a composed config against the schema and return it typed, with all interpolations resolved.

    Raises ConfigError with every fault that was found.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    assert isinstance(plain, dict)
    return from_dict({str(key): value for key, value in plain.items()})


def from_dict(named: Mapping[str, Any]) -> RunConfig:
    """Check nested plain values, as a run's ``config.yaml`` holds them, and return them typed and cut to their budget.

    Raises ConfigError with every fault that was found.
    """
    faults = [*schema_errors(named, RunConfig)]
    if not faults:
        faults = [*value_errors(named)]
    if faults:
        raise ConfigError(faults)
    named = apply_budget(named)
    config = to_dataclass(named, RunConfig)
    assert isinstance(config, RunConfig)
    return dataclasses.replace(config, as_dict=named)


# What cannot change a run's result: where things lie and what they are called, what is drawn afterwards.
_WITHOUT_EFFECT = frozenset(
    {"outputs", "study_name", "tracking", "analysis", "sweep", "published", "published_epochs", "published_parts"}
    | {"assumptions", "claims"}
    | {"budget"}  # what it changed stands in the epochs and images themselves
)


_PLACES = frozenset({"root", "cache"})


_MANNERS = frozenset({"resume"})  # of the trainer: how it goes on after a stop, with the same bits


def config_hash(plain: Mapping[str, Any]) -> str:
    """Sixteen hex digits that are equal for two configs if, on the same images, they ask for the same training."""

    def relevant(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: relevant(entry) for key, entry in value.items() if key not in _PLACES}
        return value

    kept: dict[str, Any] = {key: relevant(value) for key, value in plain.items() if key not in _WITHOUT_EFFECT}
    kept["trainer"] = {key: value for key, value in plain["trainer"].items() if key not in _MANNERS}
    return hashlib.sha256(json.dumps(as_in_version_1(kept), sort_keys=True).encode()).hexdigest()[:16]


def flatten(plain: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as ``{"optimizer.lr": "0.001"}``: the parameters of an MLflow run. Lists stay whole."""
    pairs: dict[str, str] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping):
            pairs.update(flatten(value, f"{prefix}{key}."))
        else:
            pairs[f"{prefix}{key}"] = str(value)
    return pairs
