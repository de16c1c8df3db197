"""Resolve ``${now:…}``, ``${hydra:…}``, ``${oc.env:…}`` and their like once, when a command starts.

What is recorded of a run or a sweep (overrides, command) holds the values, so that it is the same another day, on
another machine and for another user. Plain references such as ``${optimizer.lr}`` depend on the config alone, and stay.
Imports neither torch nor mlflow.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, Node, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.config.grid.zips import is_zip, parse_zip
from cifar_sweeps.config.hydra_messages import quote
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import Override, parse_overrides, sweep_texts
from cifar_sweeps.hydra_support import hydra_config

_RESOLVER = re.compile(r"(?<!\\)(?:\\\\)*\$\{\s*[A-Za-z_][\w.]*:")
_PER_JOB = re.compile(r"\$\{\s*hydra:\s*(job\.(num|id|override_dirname)|runtime\.output_dir|sweep\.subdir)\s*\}")
"""What Hydra knows of a job alone: of a sweep it would be null."""
_OWN = frozenset({"hydra", "outputs"})
"""Where a command's own files lie: a command that repeats another one says so in its own way."""


def resolve_task(node: DictConfig, of_sweep: bool = False) -> DictConfig:
    """Return a composed config without Hydra's part, in which each resolver has been replaced by its value.

    node: with Hydra's part, which ``${hydra:…}`` refers to. of_sweep: leave what has a value for each job alone, as
    ``${hydra:job.num}``. Raises ConfigError for one that has no value.
    """
    task = OmegaConf.masked_copy(node, [str(key) for key in node if key != "hydra"])
    OmegaConf.copy_cache(node, task)
    with hydra_config(node):
        _resolve(task, of_sweep)
    OmegaConf.copy_cache(task, node)  # the time stays what it was here; a sweep's jobs get the sweep's
    return task


def resolve(task: DictConfig) -> DictConfig:
    """Return a job's config, which Hydra has set up, with each resolver replaced by its value. Raises ConfigError."""
    found = copy.deepcopy(task)
    _resolve(found, of_sweep=False)
    OmegaConf.copy_cache(found, task)  # the time stays what it was here
    return found


def _resolve(task: DictConfig, of_sweep: bool) -> None:
    with read_write(task), open_dict(task):
        for path, text in _with_resolver(task):
            if of_sweep and _PER_JOB.search(text):
                continue
            try:
                value = OmegaConf.select(task, path, throw_on_missing=True, throw_on_resolution_failure=True)
            except OmegaConfBaseException as error:
                if of_sweep:
                    continue
                raise ConfigError(f"{path}={text}: has no value here: {str(error).splitlines()[0]}") from error
            OmegaConf.update(task, path, _escaped(value), merge=False)


def replace_task(node: DictConfig, task: DictConfig) -> None:
    """Put what `resolve_task` made of a composed config into it, beside Hydra's part."""
    unresolved = {path for path, _ in _with_resolver(task)}
    with read_write(node), open_dict(node):
        for path, _ in _with_resolver(node):
            if path not in unresolved:
                OmegaConf.update(node, path, _escaped(OmegaConf.select(task, path)), merge=False)


def resolved_overrides(overrides: Sequence[str], before: DictConfig, after: DictConfig) -> list[str]:
    """Return overrides that repeat a job in any environment: resolvers replaced by their values.

    before: the job's composed config; after: what `resolve_task` made of it. Values that a file gives by a resolver, a
    study's for example, are added.
    """
    unresolved = {path for path, _ in _with_resolver(after)}
    left = {path for path, _ in _with_resolver(before) if path.split(".")[0] not in _OWN} - unresolved
    found = []
    for line in overrides:
        if is_zip(line):
            found.append(line)
            left = {path for path in left if not any(_is_part(path, key) for key in parse_zip(line).keys)}
            continue
        if not left and "${" not in line:  # as nearly all are: parsing takes milliseconds
            found.append(line)
            continue
        override = _parse(line)
        key = override.key_or_group
        if override.is_hydra_override() or override.is_sweep_override() or not _has_resolver(override.value()):
            found.append(line)
        elif not any(_is_part(path, key) for path in unresolved):
            found.append(f"{override.get_key_element()}={value_text(OmegaConf.select(after, key))}")
        else:
            found.append(line)
        left = {path for path in left if not _is_part(path, key)}
    return [
        *found,
        *(f"{path}={value_text(OmegaConf.select(after, path))}" for path in sorted(left) if "[" not in path),
    ]


def _is_part(path: str, key: str) -> bool:
    return path == key or path.startswith((f"{key}.", f"{key}["))


def _has_resolver(value: object) -> bool:
    return any(True for _ in _texts(value, ""))


def resolved_sweep(overrides: Sequence[str], config: DictConfig) -> list[str]:
    """Return the overrides of a sweep's command line with their resolvers replaced, those of swept values one by one.

    config: the multirun's, with Hydra's part. The values that a study's file gives by resolvers are added, as are the
    values that it sweeps.
    """
    task = resolve_task(config, of_sweep=True)
    lines = []
    typed = set()
    for line in overrides:
        if is_zip(line):
            typed.add(parse_zip(line).label)
            lines.append(_resolve_zip(line, config) if "${" in line else line)
            continue
        override = _parse(line)
        typed.add(override.key_or_group)
        lines.append(_resolve_choices(override, config) if override.is_choice_sweep() and "${" in line else line)
    raw = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    params = raw.get("params") if isinstance(raw, dict) else None
    for key, text in (params or {}).items() if isinstance(params, dict) else ():
        if key not in typed and _has_resolver(text):
            with hydra_config(config):
                lines.append(f"{key}={config.hydra.sweeper.params[key]}")
    return resolved_overrides(lines, config, task)


def value_text(value: Any) -> str:  # noqa: ANN401 (whatever a config holds)
    """Return a value as an override writes it."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ",".join(f"{quote(str(key))}:{value_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(value_text, value)) + "]"
    return str(value) if isinstance(value, int | float) else _plain_or_quoted(str(value))


def _plain_or_quoted(text: str) -> str:
    is_plain = re.fullmatch(r"[A-Za-z_/.][\w/.@%+-]*", text) and text.lower() not in (
        "null",
        "true",
        "false",
        "nan",
        "inf",
    )
    return text if is_plain else quote(text)


def _resolve_choices(override: Override, config: DictConfig) -> str:
    """Return an override of several values with the resolvers in them replaced, as typed where there are none."""
    values = _resolved_values(override, config)
    return str(override.input_line) if values is None else f"{override.get_key_element()}={values}"


def _resolve_zip(line: str, config: DictConfig) -> str:
    """Return a zip with the resolvers in its values replaced, as typed where there are none."""
    found = parse_zip(line)
    values = [_resolved_values(each, config) if each.is_choice_sweep() else None for each in found.members]
    if not any(values):
        return line
    members = [
        str(each.input_line) if text is None else f"{each.get_key_element()}=choice({text})"
        for each, text in zip(found.members, values, strict=True)
    ]
    content = f"zip({','.join(members)})"
    return f"{found.label}={f'shuffle({content})' if found.is_shuffled else content}"


def _resolved_values(override: Override, config: DictConfig) -> str | None:
    """Return the values of a choice, separated by commas, with the resolvers in them replaced; None without any."""
    if "${" not in str(override.input_line):
        return None
    key, values, changed = override.key_or_group, [], False
    for text in sweep_texts(override):
        choice = _parse(f"{key}={text}").value()
        if _has_resolver(choice) and not _PER_JOB.search(str(choice)):
            scratch = copy.deepcopy(config)
            with read_write(scratch), open_dict(scratch), hydra_config(config):
                OmegaConf.update(scratch, key, choice, merge=False, force_add=True)
                try:
                    text = value_text(OmegaConf.select(scratch, key, throw_on_missing=True))
                    changed = True
                except OmegaConfBaseException:  # it has a value for each job alone
                    pass
        values.append(text)
    return ",".join(values) if changed else None


def _with_resolver(node: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield path and text of each value of a config, its Hydra part left out, that a resolver gives."""
    for key in node:
        if key != "hydra":  # the larger part: not even read
            yield from _texts(node._get_node(key), str(key))


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Node):  # as it is written: `OmegaConf.to_container` takes several times as long
        value = value._value()
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _texts(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for place, entry in enumerate(value):
            yield from _texts(entry, f"{path}[{place}]")
    elif isinstance(value, str) and _RESOLVER.search(value):
        yield path, value


def _escaped(value: Any) -> Any:  # noqa: ANN401 (whatever it resolved to)
    """Return a value that OmegaConf takes for what it is: a text that holds ``${`` would be resolved again."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", value)
    if isinstance(value, dict):
        return {key: _escaped(entry) for key, entry in value.items()}
    return [_escaped(entry) for entry in value] if isinstance(value, list) else value


def _parse(line: str) -> Override:
    return parse_overrides([line])[0]
