"""Compose the jobs of a sweep quickly: jobs that differ in plain values alone are composed from their files once.

Hydra composes each job twice, a seventh of a second each time: its sweeper does so to look for errors, and the launcher
does so for itself. Three hundred seeds would take a minute and a half before the first of them starts.
Imports neither torch nor mlflow.
"""

import pickle
from collections.abc import Sequence
from functools import cache

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.hydra_support import (
    Compose,
    Override,
    is_group,
    is_plain_value_override,
    parse_overrides,
    record_overrides,
)


class SweepComposerCache:
    """Composes the jobs of every sweep of this command, each by its `SweepComposer`; see `hydra_support.hooks`."""

    def __init__(self) -> None:
        self._by_sweep: dict[int, SweepComposer] = {}

    def __call__(self, compose: Compose, loader: ConfigLoader, master: DictConfig, lines: list[str]) -> DictConfig:
        """Return the config of the job with these overrides; ``compose`` is Hydra's own way."""
        sweep = id(master)  # its composer holds it, so that no other config gets this id
        if sweep not in self._by_sweep:
            self._by_sweep[sweep] = SweepComposer(compose, loader, master)
        return self._by_sweep[sweep].job(lines)


class SweepComposer:
    """Composes the jobs of one sweep: anew where they choose other files, by setting values where they do not."""

    def __init__(self, compose: Compose, loader: ConfigLoader, master: DictConfig) -> None:
        self._compose, self._loader, self._master = compose, loader, master
        self._patterns: dict[tuple[str, ...], bytes] = {}
        """Pickled: a copy is then made in a third of the time of `copy.deepcopy`."""
        self._parsed = cache(lambda line: parse_overrides([line], loader)[0])
        self._is_group = cache(lambda key: is_group(loader, key))

    def job(self, lines: Sequence[str]) -> DictConfig:
        """Return the job's config, just as Hydra composes it from these overrides. Raises what Hydra raises."""
        overrides = [self._parsed(line) for line in lines]
        values = [override for override in overrides if self._is_plain(override, overrides)]
        key = tuple(line if o not in values else f"{o.key_or_group}=" for line, o in zip(lines, overrides, strict=True))
        pattern = self._patterns.get(key)
        if pattern is not None:
            config: DictConfig = pickle.loads(pattern)  # noqa: S301 (made here)
            if _set(config, values):
                record_overrides(config, overrides)
                return config
        config = self._compose(self._loader, self._master, list(lines))
        self._patterns[key] = pickle.dumps(config)  # what is returned is changed by others
        return config

    def _is_plain(self, override: Override, others: Sequence[Override]) -> bool:
        """Say whether it sets a number or a text, and no other override sets a part of the same node."""
        value, key = override.value(), override.key_or_group
        is_value = value is None or isinstance(value, int | float) or (isinstance(value, str) and "${" not in value)
        return (
            is_value
            and is_plain_value_override(override)
            and not self._is_group(key)
            and all(other is override or not _overlap(key, other.key_or_group) for other in others)
        )


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _set(config: DictConfig, values: Sequence[Override]) -> bool:
    """Set the values; False where one replaces a group or is refused: then Hydra composes, and reports the error."""
    for override in values:
        try:
            if OmegaConf.is_config(OmegaConf.select(config, override.key_or_group, throw_on_missing=False)):
                return False
            OmegaConf.update(config, override.key_or_group, override.value())
        except OmegaConfBaseException:
            return False
    return True
