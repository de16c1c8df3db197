"""Check the zips and the exclusions of a sweep before anything of it is trained.

Imports neither torch nor mlflow.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from cifar_sweeps.config.grid.dimensions import Dimension, conflicts, dimensions
from cifar_sweeps.config.grid.zips import Zip, is_zip, parse_zip
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import is_group
from cifar_sweeps.sweeps.grid.left_out import KEY, read_rules

_SWEEPER = "hydra_plugins.cifar_sweeps_sweeper.GridSweeper"


def check_zips(loader: ConfigLoader, overrides: Sequence[str], params: Mapping[str, Any], config: DictConfig) -> None:
    """Raise ConfigError with all that is wrong with the zips of a sweep, and with its rules.

    overrides: of the command line. params: the ``hydra.sweeper.params`` of a study. config: the multirun's.
    """
    found = dimensions(params, overrides, loader)
    zips = [each for each in found.values() if isinstance(each, Zip)]
    errors = [*_errors(zips, loader, config), *conflicts(found, params)]
    labels = Counter(parse_zip(line).label for line in overrides if is_zip(line))
    errors += [
        f"{label}=zip(…): {count} zips have this name; give each its own"
        for label, count in labels.items()
        if count > 1
    ]
    if any(key.lstrip("+") == KEY for each in found.values() for key in _swept(each)):
        errors.append(f'{KEY}: is one for the whole sweep; write \'{KEY}=["…","…"]\', the rules in brackets')
    for check in (lambda: read_rules(config), *(each.rows for each in zips)):
        try:
            check()
        except ConfigError as error:
            errors += error.errors
    if errors:
        raise ConfigError(errors)


def _swept(each: Dimension) -> Sequence[str]:
    if isinstance(each, Zip):
        return each.keys
    return (each.get_key_element(),) if each.is_sweep_override() else ()


def _errors(zips: Sequence[Zip], loader: ConfigLoader, config: DictConfig) -> Iterator[str]:
    sweeper = config.hydra.sweeper.get("_target_")
    if sweeper != _SWEEPER:
        name = config.hydra.runtime.choices.get("hydra/sweeper")
        given = [*(f"{each.label}=zip(…)" for each in zips), *([KEY] if OmegaConf.select(config, KEY) else [])]
        for what in given:
            yield f"{what}: hydra/sweeper={name} does not do this; leave hydra/sweeper={name} out, or this"
    for each in zips:
        kind = "a key of the config" if each.label in config else ""
        kind = "a config group" if is_group(loader, each.label) else kind
        if kind:
            yield (
                f"{each.label}=zip(…): {each.label} is {kind}, and a zip's name is only a name; choose another one, "
                f"as {each.label}_pair=zip(…)"
            )
