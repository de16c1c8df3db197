"""Compose a run's config from overrides without Hydra's command line: for tools, notebooks and tests."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from cifar_sweeps.config.hydra_messages import explain_composition_error
from cifar_sweeps.config.parse import conf_folder, parse_config
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_composition_cache import compose_without_hydra, composition_cache
from cifar_sweeps.hydra_support import initialized_compose, is_composition_error


def compose(overrides: Sequence[str], config_dir: Path | None = None) -> RunConfig:
    """Return the config that ``cifar-train --config-dir CONFIG_DIR OVERRIDES`` would train. Raises ConfigError."""
    return compose_all([overrides], config_dir)[0]


def compose_all(many: Sequence[Sequence[str]], config_dir: Path | None = None) -> list[RunConfig]:
    """Return the configs of several lists of overrides. Raises ConfigError at the first that is not one."""
    return [
        dataclasses.replace(parse_config(node), overrides=tuple(overrides))
        for overrides, node in zip(many, _composed(many, config_dir), strict=True)
    ]


def compose_node(overrides: Sequence[str]) -> DictConfig:
    """Return the composed config before it is checked. Raises ConfigError if it cannot be composed."""
    return _composed([overrides])[0]


def _composed(many: Sequence[Sequence[str]], config_dir: Path | None = None) -> list[DictConfig]:
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir={config_dir}: there is no such folder")
    try:
        with composition_cache(), initialized_compose(conf_folder(), config_dir):
            return [compose_without_hydra("config", overrides) for overrides in many]
    except Exception as error:
        if not is_composition_error(error):
            raise
        raise ConfigError(explain_composition_error(error)) from error
