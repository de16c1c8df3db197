"""The help of `cifar-train`: the config groups, and each key of the chosen options with its meaning.

The meanings are the comments of the config files: one place each. A key that has none in the chosen option's file has
it in another file of the group, first in one for the same class.
"""

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_]\w*):(?P<rest>.*)")
_COMMENT = re.compile(r"(?:^|\s)#\s*(?P<text>.*)$")
_ALWAYS = {"_target_": "the class or function that is built", "_partial_": "internal: leave it"}
_LEFT, _WIDEST = 30, 100
_DOCUMENTS = ("experiment", "study")
_OF_SWEEPS = ("hydra/launcher", "hydra/sweeper")
"""Hydra's own groups that have options of ours; their keys are in Hydra's part of the config, which help leaves out."""


def help_text(
    config: DictConfig, choices: Mapping[str, Any], groups: Mapping[str, Sequence[str]], folders: Sequence[Path]
) -> str:
    """Return what ``cifar-train --help`` prints between its header and its footer.

    choices: the chosen option of each group. groups: all options of each. folders: where config files are looked for.
    """
    width = min(_WIDEST, max(40, shutil.get_terminal_size().columns))
    lines = ["== Choose an option of each group (group=option) ==", ""]
    of_sweeps = {
        group: sorted(path.stem for each in folders for path in each.glob(f"{group}/*.yaml")) for group in _OF_SWEEPS
    }
    for group, options in [*sorted(groups.items()), *of_sweeps.items()]:
        lines += textwrap.wrap(f"{_shown(group)}: {', '.join(options)}", width, **_HANGING)
    lines += [
        "",
        "== ... or override any value of the config (key=value) ==",
        "",
        *_keys(config, choices, folders, width),
        "",
        "== ... or how a sweep runs its jobs, and chooses them ==",
        "",
        *_keys_of_sweeps(choices, folders, width),
    ]
    return "\n".join(lines)


def _keys(config: DictConfig, choices: Mapping[str, Any], folders: Sequence[Path], width: int) -> Iterator[str]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    for group in sorted(plain, key=lambda key: key not in choices):  # groups first; sorting keeps the order
        if group in choices and isinstance(plain[group], dict):
            head = f"{group}={choices[group]}"
            about = describe_option(folders, group, str(choices[group]))
            yield from textwrap.wrap(f"{head}: {about}" if about else head, width, **_HANGING)
    yield ""
    for key, value in leaves(plain):
        if not key.endswith("_partial_"):
            yield from _entry(f"{key}={_value(value)}", meaning(key, value, choices, folders), width)


def _keys_of_sweeps(choices: Mapping[str, Any], folders: Sequence[Path], width: int) -> Iterator[str]:
    for group in _OF_SWEEPS:
        path = next(_chosen(folders, group, str(choices.get(group, ""))), None)
        if path is None:  # of Hydra or of a plugin
            continue
        yield from textwrap.wrap(f"{group}={path.stem}: {comments(path).get('', '')}", width, **_HANGING)
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, value in values.items():
            if key not in ("defaults", "_target_"):
                left = f"{group.replace('/', '.')}.{key}={_value(value)}"
                yield from _entry(left, comments(path).get(key, ""), width)


def _entry(left: str, text: str, width: int) -> Iterator[str]:
    wrapped = textwrap.wrap(text, width - _LEFT - 2) or [""]
    if len(left) > _LEFT:
        yield from textwrap.wrap(left, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    else:
        yield f"{left:{_LEFT}}  {wrapped.pop(0)}".rstrip()
    yield from (f"{'':{_LEFT}}  {line}".rstrip() for line in wrapped if line)


def leaves(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of nested values, each with its value; lists stay whole."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def meaning(key: str, value: object, choices: Mapping[str, Any], folders: Sequence[Path]) -> str:
    """Return what a key means: its comment, or for a value that follows another key, which; "" if nothing says so."""
    if key.rpartition(".")[2] in _ALWAYS:
        return _ALWAYS[key.rpartition(".")[2]]
    group, _, within = key.partition(".")
    for path in _files(folders, group, str(choices.get(group, ""))):
        text = comments(path).get(within)
        if text:
            return text
    for folder in folders:
        text = comments(folder / "config.yaml").get(key)
        if text:
            return text
    followed = re.fullmatch(r"\$\{(\w[\w.]*)\}", str(value))
    return f"follows {followed[1]}" if followed else ""


def describe_option(folders: Sequence[Path], group: str, option: str) -> str:
    """Return the comment at the head of an option's file."""
    for folder in folders:
        path = folder / group / f"{option}.yaml"
        if path.is_file():
            return comments(path).get("", "")
    return ""


@cache
def comments(path: Path) -> dict[str, str]:
    """Return the comments of a config file by dotted key: behind the value; "" is the one at the head of the file."""
    found: dict[str, str] = {}
    head, stack = list[str](), list[tuple[int, str]]()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        match = _KEY.fullmatch(line)
        if match is None:
            if line.startswith("#") and not stack and "@package" not in line:
                head.append(line.lstrip("# "))
            continue
        indent = len(match["indent"])
        stack = [*((depth, key) for depth, key in stack if depth < indent), (indent, match["key"])]
        comment = _COMMENT.search(match["rest"])
        if comment is not None:
            found[".".join(key for _, key in stack)] = comment["text"].strip()
    return {"": " ".join(head), **found}


def _chosen(folders: Sequence[Path], group: str, option: str) -> Iterator[Path]:
    """Yield the files of an option."""
    return (path for folder in folders if (path := folder / group / f"{option}.yaml").is_file())


def _files(folders: Sequence[Path], group: str, option: str) -> Iterator[Path]:
    """Yield the files of a group that may explain its keys: the chosen option's, those of its class, all others."""
    own = [*_chosen(folders, group, option)]
    yield from own
    others = [path for folder in folders for path in sorted((folder / group).glob("*.yaml")) if path not in own]
    target = _target(own[0]) if own else None
    yield from sorted(others, key=lambda path: _target(path) != target)


@cache
def _target(path: Path) -> str | None:
    found = re.search(r"^_target_: *(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def _shown(group: str) -> str:
    first, _, rest = group.partition("/")
    return f"{first}={rest}/…" if first in _DOCUMENTS and rest else group


def _value(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    return text.removesuffix("...").strip().strip("'")


_HANGING: dict[str, Any] = {"subsequent_indent": "    ", "break_on_hyphens": False, "break_long_words": False}
