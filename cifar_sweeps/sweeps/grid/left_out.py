"""Leave out the jobs of a sweep that ``sweep.exclude`` names, and say how many, and by which rule.

Imports neither torch nor mlflow.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.config.grid.exclusion import ABSENT, Rule, equals, parse_rule, typed_values
from cifar_sweeps.errors import ConfigError, did_you_mean
from cifar_sweeps.hydra_support import group_options, hydra_config

KEY = "sweep.exclude"
_MAX_SHOWN = 12


def read_rules(config: DictConfig) -> list[Rule]:
    """Return the rules in a sweep's config. Raises ConfigError with all that is wrong with them."""
    plain = OmegaConf.select(config, KEY)
    texts = OmegaConf.to_container(plain, resolve=True) if OmegaConf.is_config(plain) else plain
    if texts is None:
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        example = texts if isinstance(texts, str) else "model=lenet_3 and optimizer=sgd"
        raise ConfigError(f"""{KEY}={texts}: must be a list of rules, each in quotes; write '{KEY}=["{example}"]'""")
    rules, errors = list[Rule](), list[str]()
    for text in texts:
        try:
            rules.append(parse_rule(text))
        except ConfigError as error:
            errors += error.errors
    if errors:
        raise ConfigError(errors)
    return rules


def leave_out(
    jobs: Sequence[list[str]], rules: Sequence[Rule], loader: ConfigLoader, master: DictConfig
) -> tuple[list[list[str]], list[str]]:
    """Return the jobs that no rule names, and lines that say how many were left out, by which rule.

    A key that a job's overrides do not have is looked up in the config that it composes. Raises ConfigError if a key is
    in no job, or if no job is left.
    """
    if not rules:
        return [*jobs], []
    values = [_JobValues(job, loader, master) for job in jobs]
    _check_keys(rules, values)
    _check_options(rules, values, loader)
    matches = [[rule.matches(job.value_of) for rule in rules] for job in values]
    kept = [job for job, of_job in zip(jobs, matches, strict=True) if not any(of_job)]
    counts = [sum(of_rule) for of_rule in zip(*matches, strict=True)]
    by_rule = {rule.text: count for rule, count in zip(rules, counts, strict=True) if count}
    each = ", ".join(f"{count} by {text!r}" for text, count in by_rule.items()) if len(by_rule) > 1 else ""
    named = f"{KEY} {next(iter(by_rule))!r}" if len(by_rule) == 1 else KEY
    lines = [
        f"{KEY}: {rule.text!r} matches no job{_never(rule, values)}"
        for rule, count in zip(rules, counts, strict=True)
        if not count
    ]
    if not kept:
        detail = f" ({each})" if each else ""
        raise ConfigError(f"{named}: leaves out all {len(jobs)} jobs{detail}, so that there is none; narrow it down")
    if len(kept) < len(jobs):
        detail = f": {each}" if each else ""
        lines.insert(0, f"Left out by {named}: {len(jobs) - len(kept)} of {len(jobs)} jobs{detail}")
    return kept, lines


def _check_keys(rules: Iterable[Rule], jobs: Sequence["_JobValues"]) -> None:
    """Raise ConfigError for the keys that none of the jobs has."""
    errors = []
    for rule in rules:
        for key in sorted(rule.keys):
            if all(job.value_of(key) is ABSENT for job in jobs):
                known = jobs[0].names()
                ends = [name for name in dict.fromkeys(known) if name.endswith(f".{key}")]
                guess = (
                    f"; did you mean {' or '.join(map(repr, ends[:3]))}?" if ends else did_you_mean(key, known)
                ) or f"; a rule names keys of the config, swept are {', '.join(_swept(jobs))}"
                errors.append(f"{KEY}: {rule.text!r}: no job has the key {key}{guess}")
    if errors:
        raise ConfigError(errors)


def _check_options(rules: Iterable[Rule], jobs: Sequence["_JobValues"], loader: ConfigLoader) -> None:
    """Raise ConfigError for what a rule compares a group with that is none of its options: a slip in any sweep.

    Another value may be of a study's rule, and left out of this command's own.
    """
    errors = []
    for rule in rules:
        for key, value in rule.comparisons():
            options = group_options(loader, key) if isinstance(value, str) and "/" not in value else []
            if options and value not in options and not any(equals(each, value) for each in _had(key, jobs)):
                guess = did_you_mean(str(value), options)
                errors.append(f"{KEY}: {rule.text!r}: {key} has no option {value}, but {', '.join(options)}{guess}")
    if errors:
        raise ConfigError(errors)


def _never(rule: Rule, jobs: Sequence["_JobValues"]) -> str:
    """Return ``: optimizer.lr is never 0.02, but 0.1, 0.2`` for the first such key of a rule."""
    for key, value in rule.comparisons():
        had = _had(key, jobs)
        if had and not any(equals(each, value) for each in had):
            texts = [*dict.fromkeys(map(str, had))]
            shown = ", ".join(texts[:_MAX_SHOWN]) + (", …" if len(texts) > _MAX_SHOWN else "")
            return f": {key} is never {value}, but {shown}{did_you_mean(str(value), texts)}"
    return ""


def _had(key: str, jobs: Sequence["_JobValues"]) -> list[object]:
    """Return the values of a key that the jobs' overrides give; a job that another rule names may not compose."""
    return [value for value in (job.overrides.get(key, ABSENT) for job in jobs) if value is not ABSENT]


def _swept(jobs: Sequence["_JobValues"]) -> list[str]:
    first = jobs[0].overrides
    return [key for key in first if any(job.overrides.get(key) != first[key] for job in jobs)] or [*first]


class _JobValues:
    """The values of one job's keys: what its overrides say, else the chosen option of a group, else its config's."""

    def __init__(self, lines: Sequence[str], loader: ConfigLoader, master: DictConfig) -> None:
        self.overrides = typed_values(lines)
        self._lines, self._loader, self._master = lines, loader, master

    @cached_property
    def _config(self) -> DictConfig:
        return self._loader.load_sweep_config(self._master, [*self._lines])

    def value_of(self, key: str) -> object:
        """Return a key's value, ABSENT if the job has no such key. Raises ConfigError for one without a value."""
        typed = self.overrides.get(key, ABSENT)
        if typed is not ABSENT and "${" not in str(typed):
            return typed
        choices = self._config.hydra.runtime.choices
        if key in choices:
            return choices[key]
        try:
            with hydra_config(self._config):
                value = OmegaConf.select(self._config, key, default=ABSENT, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{KEY}: {key} has no value here: {str(error).splitlines()[0]}") from error
        if OmegaConf.is_dict(value):
            raise ConfigError(f"{KEY}: {key} is a group of keys; compare one of them: {key}.{next(iter(value), 'KEY')}")
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value

    def names(self) -> list[str]:
        """Return the keys of the job that a rule may name: groups and values."""
        plain = OmegaConf.to_container(self._config, resolve=False)
        assert isinstance(plain, dict)
        keys = _keys({key: value for key, value in plain.items() if key != "hydra"}, "")
        return [*self.overrides, *map(str, self._config.hydra.runtime.choices), *keys]


def _keys(node: Mapping[object, object], prefix: str) -> list[str]:
    found = []
    for key, value in node.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found += _keys(value, f"{prefix}{key}.")
    return found
