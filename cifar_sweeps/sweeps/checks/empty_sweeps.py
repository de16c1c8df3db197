"""Refuse sweeps without a single job: a pattern that matches nothing, or a range that is empty."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hydra.core.config_loader import ConfigLoader

from cifar_sweeps.config.grid.dimensions import dimensions, flat
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import Override
from cifar_sweeps.hydra_support import group_options


def check_not_empty(
    loader: ConfigLoader, overrides: Sequence[str], params: Mapping[str, Any], study: str | None
) -> None:
    """Raise ConfigError if one of the swept keys has no value, with all keys of which that is true.

    overrides: of the command line. params: the ``hydra.sweeper.params`` of the study of that name, which they replace.
    """
    given = flat(dimensions(params, overrides, loader))
    errors = [
        _explain(override, loader)
        for override in given
        if override.is_sweep_override() and override.is_discrete_sweep() and not _has_value(override)
    ]
    if study is not None and not params and not any(override.is_sweep_override() for override in given):
        errors.append(f"study={study}: sweeps nothing, its hydra.sweeper.params is empty; give it keys, or add key=A,B")
    if errors:
        raise ConfigError(errors)


def _has_value(override: Override) -> bool:
    return next(iter(override.sweep_string_iterator()), None) is not None


def _explain(override: Override, loader: ConfigLoader) -> str:
    line, group = override.input_line or override.get_key_element(), override.key_or_group
    options = group_options(loader, group)
    if override.is_range_sweep():
        return f"{line}: is an empty range, so that there is no job; its end must lie beyond its start"
    nested = [*_nested(group)]
    if not options and not nested:
        return f"{line}: matches nothing, so that there is no job; {group} is no group of files: write its values"
    patterns = line.partition("(")[2].rstrip(")").replace("'", "").replace('"', "").split(",")
    matching = [name for name in nested if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if matching:  # Hydra's patterns do not look into the folders of a group
        return f"{line}: matches no file of {group} itself; write {group}={','.join(matching)}"
    return f"{line}: matches no option of {group}, so that there is no job; there are {', '.join(options or nested)}"


def _nested(group: str) -> Iterator[str]:
    """Yield the options that lie in folders of a group: ``base_cnn/base`` of ``experiment``."""
    folder = conf_folder() / group
    for path in sorted(folder.rglob("*.yaml")):
        if path.parent != folder:
            yield path.relative_to(folder).with_suffix("").as_posix()
