"""Compose many configs quickly, of the parts of Hydra's own composer, for hydra-core 1.3.8 to 1.4.

For each config that it composes Hydra parses every file anew, and composes its own part (launcher, sweeper, logging),
which takes longer than all the rest. The results are the same with and without this module; what a file sets under
``hydra:`` is checked by a training alone.
"""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import hydra
from hydra._internal import defaults_list
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.default_element import ConfigDefault, GroupDefault, InputDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from cifar_sweeps.hydra_support import Method, patched


@contextmanager
def composition_cache() -> Iterator[None]:
    """Let Hydra read each config file once within the block, however many configs it composes of them.

    A file that is changed within the block is read as it was first.
    """
    with ExitStack() as stack:
        # Both versions: the cache that they have is one composition's, and nothing else can be handed to a loader.
        stack.enter_context(patched(ConfigRepository, "load_config", _reading_once()))
        if hasattr(defaults_list, "_create_interpolation_map"):  # 1.3 alone: a sixth of its time
            stack.enter_context(patched(defaults_list, "_create_interpolation_map", _where_interpolated))
        yield


def compose_without_hydra(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Return what ``hydra.compose`` does, which leaves Hydra's own part out too, but composes it first.

    What needs that part, and whatever is refused, is left to Hydra. Call it as ``hydra.compose``: once Hydra is
    initialized. Both versions: no public function composes without that part.
    """
    try:
        own = _compose_own_part(config_name, list(overrides))
    except Exception:  # noqa: BLE001 (whatever it is, another version of Hydra included)
        own = None  # Hydra says it in its own words, and knows the options of its own part
    return hydra.compose(config_name, overrides=list(overrides)) if own is None else own


def _compose_own_part(config_name: str, overrides: list[str]) -> DictConfig | None:
    """Return the config; None where an override is of Hydra's own part. Hydra's ``_load_configuration_impl``, less."""
    loader: Any = GlobalHydra.instance().config_loader()
    loader.ensure_main_config_source_available()
    parsed, repository = loader._parse_overrides_and_create_caching_repo(config_name, overrides)
    if any(override.is_hydra_override() for override in parsed):
        return None
    loader.validate_sweep_overrides_legal(overrides=parsed, run_mode=RunMode.RUN, from_shell=False)
    files = _FilesWithoutHydra(repository)
    chosen = defaults_list.create_defaults_list(
        repo=files, config_name=config_name, overrides_list=parsed, prepend_hydra=False, skip_missing=False
    )
    config: DictConfig = loader._compose_config_from_defaults_list(defaults=chosen.defaults, repo=files)
    OmegaConf.set_struct(config, True)
    loader._apply_overrides_to_config(chosen.config_overrides, config)
    with open_dict(config):
        config.pop("hydra", None)
    return config


class _FilesWithoutHydra(CachingConfigRepository):
    """The files of one composition, whose defaults lists choose nothing of Hydra's own part."""

    def __init__(self, files: CachingConfigRepository) -> None:
        self.delegate, self.cache = files.delegate, files.cache

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Return a file; None if there is none."""
        loaded = super().load_config(config_path)
        if loaded is not None and loaded.defaults_list is not None:
            loaded.defaults_list = [each for each in loaded.defaults_list if not _chooses_hydras(each, config_path)]
        return loaded


def _chooses_hydras(default: InputDefault, config_path: str) -> bool:
    """Say whether this is an ``override /hydra/launcher: …``; without the slash it means that in the root folder."""
    if not (isinstance(default, GroupDefault) and default.is_override() and default.group is not None):
        return False
    return default.group.startswith("/hydra/" if "/" in config_path else ("/hydra/", "hydra/"))


def _reading_once() -> Any:  # noqa: ANN401 (a decorator of Hydra's method)
    read: dict[object, bytes] = {}
    """By the folders that are searched and the file's name. Pickled: Hydra changes what it is given."""

    def replaced(own: Method) -> Method:
        def load_config(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
            places = tuple((source.scheme(), source.provider, source.path) for source in repository.get_sources())
            key = (places, config_path)
            if key not in read:
                loaded = own(repository, config_path)
                if loaded is None:  # a plugin may add it later
                    return None
                read[key] = pickle.dumps(loaded)
            result: ConfigResult = pickle.loads(read[key])  # noqa: S301 (made here)
            return result

        return load_config

    return replaced


def _where_interpolated(own: Method) -> Method:
    """1.3 makes a config of all choices for every file, for interpolations in defaults lists that few have."""

    def create_map(overrides: object, defaults: Sequence[InputDefault], self_added: bool) -> DictConfig:
        if any(_is_interpolated(default) for default in defaults):
            choices: DictConfig = own(overrides, defaults, self_added)
            return choices
        return OmegaConf.create()

    return create_map


def _is_interpolated(default: InputDefault) -> bool:
    named = default.path if isinstance(default, ConfigDefault) else getattr(default, "value", None)
    return "${" in str(named)
