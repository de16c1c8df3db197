"""Parse a composed config into a checked RunConfig; hash it, flatten it."""

import dataclasses
import functools
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
from cifar_sweeps.config.upgrades import with_current_values, without_added_keys
from cifar_sweeps.config.value_checks import value_errors
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.system.files import expand_home


def conf_folder() -> Path:
    """Return the folder of YAML groups: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def parse_config(cfg: DictConfig) -> RunConfig:
    """Check a composed config against the schema and return it typed, with all interpolations resolved.

    Raises ConfigError with every error that was found.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    assert isinstance(plain, dict)
    return from_dict({str(key): value for key, value in plain.items()})


def from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Check a config of nested plain values, such as a run's ``config.yaml``; return it typed and with its budget.

    Raises ConfigError with every error that was found.
    """
    values = with_current_values(values)
    errors = [*schema_errors(values, RunConfig)]
    if not errors:
        errors = [*value_errors(values)]
    if errors:
        raise ConfigError(errors)
    values = _with_home(apply_budget(values))
    config = to_dataclass(values, RunConfig)
    assert isinstance(config, RunConfig)
    return dataclasses.replace(config, as_dict=values)


_TYPED_PLACES = ("outputs", "data.root", "data.source.root", "data.source.cache", "model.weights", "trainer.init_from")


def _with_home(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose places have the home folder for a ``~`` at their start."""
    found = dict(values)
    for place in _TYPED_PLACES:
        *groups, key = place.split(".")
        node, copies = found, True
        for group in groups:
            copies = isinstance(node.get(group), Mapping)
            if not copies:
                break
            node[group] = dict(node[group])
            node = node[group]
        if copies and isinstance(node.get(key), str):
            node[key] = expand_home(node[key])
    return found


# What cannot change a run's result: names and places, documentation, what is made after the training.
_WITHOUT_EFFECT = frozenset(
    {"outputs", "study_name", "tracking", "analysis", "sweep", "published", "published_epochs", "published_parts"}
    | {"full_epochs"}
    | {"assumptions", "claims"}
    | {"budget"}  # its effect is in the epochs and images themselves
)
_PATHS = frozenset({"root", "cache"})
_TRAINER_KEYS_WITHOUT_EFFECT = frozenset({"resume"})  # a resumed training has the same bits


@functools.cache  # the same few keys in each of a thousand runs
def is_without_effect(key: str) -> bool:
    """Return whether a key (``tracking.uri``, ``hydra/launcher``) cannot change a run's result.

    Places of data are not among them (`is_place`): what lies there can.
    """
    group, *_ = key.replace("/", ".").split(".")
    return group in _WITHOUT_EFFECT | {"hydra"} or key in {f"trainer.{each}" for each in _TRAINER_KEYS_WITHOUT_EFFECT}


def is_place(key: str) -> bool:
    """Return whether a key says where data lie, which counts by its content alone: a model's ``root`` does not."""
    return key.startswith("data.") and key.rpartition(".")[2] in _PATHS


def config_hash(values: Mapping[str, Any]) -> str:
    """Return 16 hex digits that are equal for two configs if, on the same images, they ask for the same training.

    They outlive an upgrade; `config.upgrades` says how to add a key so that they do.
    """

    def without_places(value: object) -> Any:  # noqa: ANN401 (as deep as the config)
        if isinstance(value, Mapping):
            return {key: without_places(entry) for key, entry in value.items() if key not in _PATHS}
        return value

    kept: dict[str, Any] = {key: value for key, value in values.items() if key not in _WITHOUT_EFFECT}
    kept["data"] = without_places(kept["data"])
    # What they say is said by the model, by the loader's own arguments, and by data.split.
    said = ("num_classes", "fit", "background", "labels")
    kept["data"] = {key: value for key, value in kept["data"].items() if key not in said}
    if isinstance(source := kept["data"].get("source"), Mapping):
        kept["data"]["source"] = {key: value for key, value in source.items() if key != "split"}
    kept["trainer"] = {k: value for k, value in values["trainer"].items() if k not in _TRAINER_KEYS_WITHOUT_EFFECT}
    return hashlib.sha256(json.dumps(without_added_keys(kept), sort_keys=True).encode()).hexdigest()[:16]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values as ``{"optimizer.lr": "0.001"}``, the parameters of an MLflow run. Lists stay whole."""
    pairs: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            pairs.update(flatten(value, f"{prefix}{key}."))
        else:
            pairs[f"{prefix}{key}"] = str(value)
    return pairs
