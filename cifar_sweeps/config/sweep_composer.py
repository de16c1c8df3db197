"""Jobs of a sweep that differ in plain values alone are composed from their files once.

Hydra composes each job twice, a seventh of a second each time: its sweeper does so to look for faults, and the launcher
does so for itself. Three hundred seeds would take a minute and a half before the first of them starts.
Imports neither torch nor mlflow.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Compose = Callable[[ConfigLoaderImpl, DictConfig, list[str]], DictConfig]


@contextmanager
def composed_once() -> Iterator[None]:
    """Within, Hydra composes the jobs of a sweep by way of `Composer`."""
    compose = ConfigLoaderImpl.load_sweep_config
    composers: dict[int, SweepComposer] = {}

    def quickly(loader: ConfigLoaderImpl, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        sweep = id(master_config)  # its composer holds it, so that no other one comes by this number
        if sweep not in composers:
            composers[sweep] = SweepComposer(compose, loader, master_config)
        return composers[sweep].job(sweep_overrides)

    ConfigLoaderImpl.load_sweep_config = quickly  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_sweep_config = compose  # type: ignore[method-assign]


class SweepComposer:
    """Composes a sweep's jobs: anew where they choose other files, and by setting values where they do not."""

    def __init__(self, compose: Compose, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self._compose, self._loader, self._master = compose, loader, master
        self._patterns: dict[tuple[str, ...], DictConfig] = {}
        parser = OverridesParser.create(config_loader=loader)
        self._parsed = cache(lambda line: parser.parse_overrides([line])[0])
        self._is_group = cache(lambda key: bool(loader.get_group_options(key, results_filter=None)))

    def job(self, lines: Sequence[str]) -> DictConfig:
        """Return the job's config, just as Hydra composes it from these overrides. Raises what Hydra raises."""
        overrides = [self._parsed(line) for line in lines]
        values = [override for override in overrides if self._is_plain(override, overrides)]
        key = tuple(line if o not in values else f"{o.key_or_group}=" for line, o in zip(lines, overrides, strict=True))
        pattern = self._patterns.get(key)
        if pattern is not None:
            config = copy.deepcopy(pattern)
            if _set(config, values):
                _note_overrides(config, overrides)
                return config
        config = self._compose(self._loader, self._master, list(lines))
        self._patterns[key] = copy.deepcopy(config)  # what is returned is changed by others
        return config

    def _is_plain(self, override: Override, others: Sequence[Override]) -> bool:
        """Say whether it sets a number or a word, of which no other override holds, or is, a part."""
        value, key = override.value(), override.key_or_group
        is_value = value is None or isinstance(value, int | float) or (isinstance(value, str) and "${" not in value)
        is_change = not (override.is_add() or override.is_force_add() or override.is_delete())
        return (
            is_value
            and is_change
            and override.package is None
            and not override.is_hydra_override()
            and not self._is_group(key)
            and all(other is override or not _overlap(key, other.key_or_group) for other in others)
        )


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _set(config: DictConfig, values: Sequence[Override]) -> bool:
    """Set the values; False where they do not simply replace others, or are not taken: Hydra shall say why."""
    for override in values:
        try:
            if OmegaConf.is_config(OmegaConf.select(config, override.key_or_group, throw_on_missing=False)):
                return False
            OmegaConf.update(config, override.key_or_group, override.value())
        except OmegaConfBaseException:
            return False
    return True


def _note_overrides(config: DictConfig, overrides: Sequence[Override]) -> None:
    own = [override for override in overrides if not override.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in own]
    names = config.hydra.job.config.override_dirname
    dirname = get_overrides_dirname(own, names.exclude_keys, names.item_sep, names.kv_sep)
    config.hydra.job.override_dirname = dirname
