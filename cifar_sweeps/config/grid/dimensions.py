"""The dimensions of a sweep that tries all combinations: swept keys and zips, and the jobs that they make."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader

from cifar_sweeps.config.grid.zips import Zip, is_zip, parse_zip
from cifar_sweeps.config.hydra_messages import unlisted_values
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import Override, parse_overrides, sweep_texts, value_text

Dimension = Override | Zip
"""What one place of a sweep varies; an override of one value holds for all jobs."""


def dimensions(
    params: Mapping[str, Any], overrides: Sequence[str], loader: ConfigLoader | None = None
) -> dict[str, Dimension]:
    """Return the dimensions of a sweep by their keys, zips by their labels.

    params: the ``hydra.sweeper.params`` of a study; what the command line says of the same key or label replaces them,
    in their place. overrides: of the command line. Raises ConfigError, or what Hydra raises.
    """
    found: dict[str, Dimension] = {}
    for line in (*(f"{key}={value}" for key, value in params.items()), *overrides):
        if is_zip(line):
            pairs = parse_zip(line, loader)
            found[pairs.label] = pairs
        else:
            [override] = parse_overrides([line], loader)
            found[override.get_key_element()] = override
    return found


def flat(found: Mapping[str, Dimension]) -> list[Override]:
    """Return dimensions as overrides: those of a zip one by one, each a sweep over its own values."""
    return [override for each in found.values() for override in (each.members if isinstance(each, Zip) else (each,))]


def grid_jobs(found: Mapping[str, Dimension]) -> list[list[str]]:
    """Return the overrides of each job: all combinations, those of the last dimension next to each other.

    Raises ConfigError for a dimension whose values cannot be listed.
    """
    return [[*itertools.chain(*rows)] for rows in itertools.product(*map(_rows, found.values()))]


def _rows(each: Dimension) -> list[list[str]]:
    if isinstance(each, Zip):
        return each.shuffled_rows()
    key = each.get_key_element()
    if not each.is_sweep_override():
        return [[f"{key}={value_text(each)}"]]
    if not each.is_discrete_sweep():
        raise ConfigError(unlisted_values(str(each.input_line), key))
    return [[f"{key}={text}"] for text in sweep_texts(each)]


def conflicts(found: Mapping[str, Dimension], params: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each key of a zip that is given elsewhere too: one value would win without a word."""
    places: dict[str, list[str]] = {}
    of_study: dict[str, str] = {}
    for name, each in found.items():
        keys = each.keys if isinstance(each, Zip) else (each.get_key_element().lstrip("+~"),)
        place = f"{name}=zip(…)" if isinstance(each, Zip) else str(each.input_line)
        is_study = name in params and _line(each) == f"{name}={params[name]}"
        for key in keys:
            places.setdefault(key, []).append(f"the study's {place}" if is_study else place)
            if is_study:
                of_study[key] = name
    zipped = {key for each in found.values() if isinstance(each, Zip) for key in each.keys}
    for key, where in places.items():
        if key in zipped and len(where) > 1:
            hint = f", or the study's by '~hydra.sweeper.params.{of_study[key]}'" if key in of_study else ""
            yield f"{key}: is given twice, in {' and in '.join(where)}; leave one of them out{hint}"


def _line(each: Dimension) -> str | None:
    return each.line if isinstance(each, Zip) else each.input_line
