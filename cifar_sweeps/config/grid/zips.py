"""Pairs instead of products: ``pair=zip(model=[a,b],optimizer.lr=[0.1,0.2])``, in the syntax that Hydra proposes.

The keys of a zip step together: its first row has the first value of each. The name before ``zip`` is a label, and no
key of the config. Hydra (1.3.8, 1.4) reads no zip, but each ``key=values`` in it. The proposal:
docs/design/zipped_sweeps.md of hydra-ecosystem/hydra, and its issue 1258.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException

from cifar_sweeps.config.hydra_messages import explain_composition_error
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import Override, as_choices, holds_sweep, parse_overrides, sweep_texts

_START = re.compile(r"\s*(?:(?P<label>[^=(]*?)\s*=\s*)?(?:(?P<around>\w+)\s*\(\s*)?zip\s*\(")
_LABEL = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_QUOTED = r"""'(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)'|"(?:(?:\\\\)*|.*?[^\\](?:\\\\)*)\""""
_PIECE = re.compile(rf"{_QUOTED}|\$\{{[^}}]+\}}|\\[\\()\[\]{{}}:=, \t]|.", re.DOTALL)
"""What Hydra reads as one: a quoted text, an interpolation, an escaped character, or a single character."""
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_CALL = re.compile(r"(?<![\w-])(zip|shuffle)\s*\(")
_CHOICE = re.compile(r"choice\s*\((.*)\)", re.DOTALL)
_EXAMPLE = "'pair=zip(model=[plain_3,lenet_3],optimizer.lr=[0.01,0.001])'"


@dataclass(frozen=True)
class Zip:
    """Keys that step together. members: for each key, a sweep over its values. line: as it was written."""

    label: str
    members: tuple[Override, ...]
    line: str = field(repr=False)
    is_shuffled: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, without the + of one that is added."""
        return tuple(member.get_key_element().lstrip("+") for member in self.members)

    def rows(self) -> list[list[str]]:
        """Return the overrides of each row, in the order in which they are written.

        Raises ConfigError if the keys have not as many values as each other, or none.
        """
        columns = [self._column(member) for member in self.members]
        counts = [len(column) for column in columns]
        if len(set(counts)) > 1:
            have = ", ".join(f"{key} has {count}" for key, count in zip(self.keys, counts, strict=True))
            raise ConfigError(
                f"{self.label}=zip(…): its keys step together, so each needs as many values as the others; {have}"
            )
        return [[*row] for row in zip(*columns, strict=True)]

    def shuffled_rows(self) -> list[list[str]]:
        """Return the rows in the order of the jobs: as written, or where ``shuffle`` says so, in any."""
        rows = self.rows()
        if self.is_shuffled:
            random.shuffle(rows)
        return rows

    def _column(self, member: Override) -> list[str]:
        key = member.get_key_element()
        try:
            column = [f"{key}={text}" for text in sweep_texts(member)]
        except (HydraException, ValueError) as error:  # a range whose step is 0
            raise ConfigError(f"{self.label}=zip(…): {member.input_line}: {str(error).splitlines()[0]}") from error
        if not column:
            raise ConfigError(
                f"{self.label}=zip(…): {member.input_line}: has no value; give {key} as many as the others"
            )
        return column


def is_zip(line: str) -> bool:
    """Say whether an override is a zip, well written or not."""
    return _START.match(line) is not None


def stand_in(line: str) -> str | None:
    """Return what Hydra reads in the place of a zip while it composes what all jobs share; None for another override.

    Raises ConfigError for one that is not well written.
    """
    return f"{parse_zip(line).label}=choice(zip)" if is_zip(line) else None


def parse_zip(line: str, loader: ConfigLoader | None = None) -> Zip:
    """Return the zip that an override is; loader: where its patterns (``glob``) look for the options of a group.

    Raises ConfigError with all that is wrong with how it is written; `Zip.rows` counts the values.
    """
    start = _START.match(line)
    assert start is not None, line
    label = _label(start["label"], line)
    if start["around"] not in (None, "shuffle"):
        raise ConfigError(f"{label}=zip(…): stands within {start['around']}(…), and only shuffle may be around a zip")
    texts, end = _split(line, start.end(), label)
    rest = line[end:].strip()
    if start["around"] is not None:
        rest = rest.removeprefix(")").strip() if rest.startswith(")") else "("
    if rest:
        what = "its brackets are not closed" if rest == "(" else f"{rest!r} follows behind its end"
        raise ConfigError(f"{label}=zip(…): {what}; write {_EXAMPLE}, in quotes as here")
    members, errors = list[Override](), list[str]()
    for text in _with_bare_values(texts):
        try:
            members.append(_member(text, loader))
        except ConfigError as error:
            errors += [f"{label}=zip(…): {message}" for message in error.errors]
    errors += [] if errors else [f"{label}=zip(…): {message}" for message in _errors_of(members)]
    if errors:
        raise ConfigError(errors)
    return Zip(label, tuple(members), line, start["around"] is not None)


def _label(written: str | None, line: str) -> str:
    if not written:
        raise ConfigError(f"{line}: a zip needs a name of your choice ahead of it; write {_EXAMPLE}")
    label = written.lstrip("+~")
    if label != written:
        raise ConfigError(
            f"{written}=zip(…): {label} is a name for the zip alone, and no key; leave the {written[0]} out"
        )
    if not _LABEL.fullmatch(label):
        raise ConfigError(f"{written}=zip(…): {written!r} names a zip; use one word of letters, digits and _, as pair")
    return label


def _split(line: str, start: int, label: str) -> tuple[list[str], int]:
    """Return the texts between the commas of a zip, and where it ends. start: behind its bracket."""
    open_brackets, texts, text = list[str](), list[str](), ""
    for found in _PIECE.finditer(line, start):
        piece = found[0]
        if piece in _CLOSING:
            open_brackets.append(_CLOSING[piece])
        elif piece == ")" and not open_brackets:
            texts.append(text.strip())
            return (texts if texts != [""] else []), found.end()
        elif piece in (")", "]", "}") and (not open_brackets or open_brackets.pop() != piece):
            raise ConfigError(f"{label}=zip(…): {text.strip() + piece!r}: its brackets do not match; write {_EXAMPLE}")
        elif piece == "," and not open_brackets:
            texts.append(text.strip())
            text = ""
            continue
        elif piece in ("'", '"'):
            raise ConfigError(f"{label}=zip(…): {text.strip() + piece!r}: a quote is not closed; close it")
        text += " " if piece in "\r\n" else piece
    raise ConfigError(f"{label}=zip(…): its brackets are not closed; close them, and quote all of it: {_EXAMPLE}")


def _with_bare_values(texts: Sequence[str]) -> list[str]:
    """Return the texts with those of one key joined: ``model=a,b`` is how a sweep lists values without a zip."""
    joined = list[str]()
    for text in texts:
        _, equals, value = _at_equals(joined[-1] if joined else "")
        is_bare = bool(text and equals and not value.lstrip().startswith(tuple(_CLOSING)) and "(" not in value)
        if is_bare and not _at_equals(text)[1]:
            joined[-1] += f",{text}"
        else:
            joined.append(text)
    return joined


def _member(text: str, loader: ConfigLoader | None) -> Override:
    key, equals, value = (part.strip() for part in _at_equals(text))
    if not text:
        raise ConfigError("has a comma too many; between its commas stands one key=[…] each")
    if not equals:
        raise ConfigError(f"{text}: is no key=[…]; commas separate keys here, and values in brackets: model=[a,b]")
    call = _CALL.search(re.sub(_QUOTED, "", value, flags=re.DOTALL))
    if call is not None:
        where = "shuffle the whole: pair=shuffle(zip(…))" if call[1] == "shuffle" else "write another one beside it"
        raise ConfigError(f"{key}={value}: {call[1]}(…) has no place within a zip; {where}")
    listed = _CHOICE.fullmatch(value)
    try:  # Hydra's choice refuses null, and takes the quotes off its texts
        [override] = parse_overrides([f"{key}=[{listed[1]}]" if listed else f"{key}={value}"], loader)
    except HydraException as error:
        raise ConfigError(explain_composition_error(error)) from error
    if override.is_hydra_override():
        raise ConfigError(
            f"{key}: Hydra's own settings are the same for all jobs; set it beside the zip, or leave it out"
        )
    choices = as_choices(override)
    if override.is_choice_sweep() and "(" not in value:
        raise ConfigError(f"{key}={value}: the values of a key stand in brackets here; write {key}=[{value}]")
    if choices is None:
        raise ConfigError(f"{key}={value}: {_why_not(override, key, value)}")
    if holds_sweep(choices):
        raise ConfigError(f"{key}={value}: a value is itself several; write them one by one, as {key}=[1,2,3]")
    return replace(choices, input_line=f"{key}={value}")


def _at_equals(text: str) -> tuple[str, str, str]:
    """Return key, sign and value of ``key=value``; no sign where the first = is within brackets or quotes."""
    depth = 0
    for found in _PIECE.finditer(text):
        if found[0] == "=" and not depth:
            return text[: found.start()], "=", text[found.end() :]
        depth += (found[0] in _CLOSING) - (found[0] in _CLOSING.values())
    return text, "", ""


def _why_not(override: Override, key: str, value: str) -> str:
    if override.is_interval_sweep():
        return f"an interval has no values to go through; list them, as {key}=[0.001,0.01]"
    if override.is_delete():
        return "a zip sets keys, and deletes none; leave the ~ out"
    return (
        f"is one value for all rows; write it beside the zip, or as many values as the others have: {key}=[{value},…]"
    )


def _errors_of(members: Sequence[Override]) -> Iterator[str]:
    keys = [member.get_key_element().lstrip("+") for member in members]
    if not keys:
        yield f"is empty; write {_EXAMPLE}"
    elif len(keys) == 1:
        values = (members[0].input_line or "").partition("=")[2]
        alone = values[1:-1] if values.startswith("[") else values
        yield f"has one key, {keys[0]}, and a zip pairs several; write {keys[0]}={alone}"
    for key in dict.fromkeys(key for key in keys if keys.count(key) > 1):
        yield f"{key} stands in it {keys.count(key)} times; leave one of them out"
