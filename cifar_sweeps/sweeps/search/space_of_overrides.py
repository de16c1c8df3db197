"""From the overrides of a search to its space: Hydra's syntax for values, and keys that exist only beside others."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydra.core.config_loader import ConfigLoader

from cifar_sweeps.config.grid.dimensions import dimensions
from cifar_sweeps.config.grid.exclusion import ABSENT, Rule, equals, parse_rule, typed_values
from cifar_sweeps.config.grid.zips import Zip
from cifar_sweeps.errors import ConfigError, did_you_mean
from cifar_sweeps.hydra_overrides import Override, interval_of, range_step_of, sweep_texts, tags_of, value_text
from cifar_sweeps.hydra_support import group_options, is_group
from cifar_sweeps.search.space import Dimension, Space, check_dimension, in_order

_LOG = "log"


@dataclass(frozen=True)
class SearchSpace:
    """What a search varies, and what all of its trials share.

    typed_keys: of each dimension the key as it was typed, with a ``+`` for one that is new. conditions: by key, when it
    exists.
    """

    space: Space
    fixed: tuple[str, ...]
    typed_keys: Mapping[str, str]
    conditions: Mapping[str, Rule]

    def overrides(self, values: Mapping[str, str]) -> list[str]:
        """Return the overrides of a trial."""
        return [*self.fixed, *(f"{self.typed_keys[key]}={text}" for key, text in values.items())]


def read_space(
    params: Mapping[str, Any], overrides: Sequence[str], conditions: Sequence[str], loader: ConfigLoader
) -> SearchSpace:
    """Return the space of a search. params, overrides: as `dimensions` has them. conditions: ``KEY if RULE``.

    Raises ConfigError for values that cannot be searched, or if nothing is.
    """
    found, fixed, typed = list[Dimension](), list[str](), dict[str, str]()
    for each in dimensions(params, overrides, loader).values():
        if isinstance(each, Zip):
            raise ConfigError(f"{each.label}=zip(…): a search does not step keys together; leave it out")
        key = each.get_key_element()
        if not each.is_sweep_override():
            fixed.append(f"{key}={value_text(each)}" if not each.is_delete() else str(each.input_line))
            continue
        if key == "seed":
            raise ConfigError(
                "seed: a search would pick the luckiest one; give one seed, and train the best trials with others "
                "afterwards: cifar-train -m KEY=VALUE … seed=0,1,2"
            )
        if loader is not None and not each.is_choice_sweep() and is_group(loader, each.key_or_group):
            names = ",".join(group_options(loader, each.key_or_group)[:3])
            raise ConfigError(
                f"{each.input_line}: {each.key_or_group} is chosen by name, and no number; list names: {key}={names}"
            )
        dimension = _dimension(each, key.lstrip("+"))
        check_dimension(dimension)
        found.append(dimension)
        typed[dimension.key] = key
    if not found:
        raise ConfigError(
            "hydra/sweeper=optuna: nothing is searched; give keys several values: optimizer=adam,sgd "
            "'optimizer.lr=tag(log,interval(1e-4,1e-1))'"
        )
    rules = _conditions(conditions)
    ordered = in_order(found, {key: sorted(rule.keys) for key, rule in rules.items()})
    _check_values(ordered, rules.values())
    exists: dict[str, Callable[[Mapping[str, str]], bool]] = {key: partial(_holds, each) for key, each in rules.items()}
    return SearchSpace(Space(ordered, exists), tuple(fixed), typed, rules)


def _dimension(override: Override, key: str) -> Dimension:
    unknown = sorted(tags_of(override) - {_LOG})
    if unknown:
        guess = did_you_mean(unknown[0], [_LOG])
        raise ConfigError(
            f"{override.input_line}: {unknown[0]} is no tag of a search, which knows {_LOG} alone, for a logarithmic "
            f"scale: tag({_LOG},interval(1e-4,1e-1)){guess}"
        )
    interval = interval_of(override)
    if interval is not None:
        low, high, tags = interval
        return Dimension(key, low=float(low), high=float(high), is_log=_LOG in tags, is_integer=isinstance(low, int))
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: cannot be searched; give choices, a range or an interval")
    texts = tuple(dict.fromkeys(sweep_texts(override)))
    step = range_step_of(override)
    if step is not None and len(texts) > 1:  # its numbers have an order, which choices have not
        is_integer = all(text.lstrip("-").isdigit() for text in texts)
        size, tags = step
        if _LOG not in tags:
            low, high = sorted((float(texts[0]), float(texts[-1])))
            return Dimension(key, low=low, high=high, is_integer=is_integer, step=abs(float(size)))
    return Dimension(key, choices=texts)


def _conditions(texts: Sequence[str]) -> dict[str, Rule]:
    found = list[tuple[str, Rule]](_condition(str(text)) for text in texts)
    rules = dict(found)
    if len(rules) < len(found):
        twice = next(key for key, _ in found if [each for each, _ in found].count(key) > 1)
        raise ConfigError(f"hydra.sweeper.conditions: {twice}: has two conditions; join them: {twice} if RULE and RULE")
    return rules


def _check_values(space: Sequence[Dimension], rules: Iterable[Rule]) -> None:
    """Raise ConfigError for what a condition compares a key with, and the key never is."""
    dimensions = {each.key: each for each in space}
    errors = []
    for rule in rules:
        for key, value in rule.comparisons():
            dimension, text = dimensions[key], str(value)
            typed = [typed_values([f"{key}={each}"])[key] for each in dimension.choices]
            if not any(equals(each, value) for each in typed) and (typed or dimension.value(text) is None):
                shown = ", ".join(dimension.choices) or f"numbers from {dimension.low:g} to {dimension.high:g}"
                guess = did_you_mean(text, dimension.choices)
                errors.append(f"hydra.sweeper.conditions: {rule.text!r}: {key} is never {text}, but {shown}{guess}")
    if errors:
        raise ConfigError(errors)


def _condition(text: str) -> tuple[str, Rule]:
    key, found, rule = text.partition(" if ")
    if not found or not key.strip() or not rule.strip():
        raise ConfigError(
            f"hydra.sweeper.conditions: {text!r}: must be KEY if RULE, such as optimizer.momentum if optimizer=sgd"
        )
    try:
        return key.strip().lstrip("+"), parse_rule(rule.strip())
    except ConfigError as error:
        raise ConfigError(
            [message.replace("sweep.exclude", "hydra.sweeper.conditions", 1) for message in error.errors]
        ) from error


def _holds(rule: Rule, values: Mapping[str, str]) -> bool:
    typed = typed_values([f"{key}={text}" for key, text in values.items()])
    return rule.matches(lambda key: typed.get(key, ABSENT))


def explain_errors(messages: Sequence[str], space: SearchSpace) -> list[str]:
    """Return the errors of a search's trials with what to write in its space instead; each once."""
    found = []
    for message in messages:
        key, value, rest = *message.partition(": ")[0].partition("=")[::2], message.partition(": ")[2]
        numbers = [each for each in space.space.dimensions if each.key == key and each.value(value) is not None]
        if numbers and not numbers[0].choices and rest.startswith("must be an integer, not float"):
            found.append(_as_integers(numbers[0]))
        elif "unknown key" in message and " jobs: " in message:
            condition = "'hydra.sweeper.conditions=[\"KEY if optimizer=sgd\"]'"
            found.append(f"{message}; or search the key there alone, such as {condition}")
        else:
            found.append(message)
    return [*dict.fromkeys(found)]


def _as_integers(dimension: Dimension) -> str:
    key, step = dimension.key, dimension.step
    low, high = math.ceil(dimension.low), math.floor(dimension.high)
    if step is not None:
        return f"{key}: must be an integer; give a range of integers, such as '{key}=range({low},{high + 1})'"
    values = f"int(interval({low},{high}))"
    return f"{key}: must be an integer; write '{key}={f'tag(log,{values})' if dimension.is_log else values}'"
