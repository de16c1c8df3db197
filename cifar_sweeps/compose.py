"""Compose one run's config from overrides, without Hydra's command line: for tools, notebooks and tests."""

from collections.abc import Sequence

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig

from cifar_sweeps.config import RunConfig, conf_folder, parse
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.faults import is_of_composition, translated


def compose(overrides: Sequence[str]) -> RunConfig:
    """Return the config that ``cifar-train OVERRIDES`` would train. Raises ConfigError."""
    return parse(compose_node(overrides))


def compose_node(overrides: Sequence[str]) -> DictConfig:
    """Return the composed config before it is checked. Raises ConfigError if it cannot be composed."""
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
            return hydra_compose("config", overrides=list(overrides))
    except Exception as error:
        if not is_of_composition(error):
            raise
        raise ConfigError(translated(error)) from error
