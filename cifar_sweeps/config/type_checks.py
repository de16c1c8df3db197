"""Check plain values against dataclasses: unknown keys, missing keys and wrong types."""

import dataclasses
import json
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cifar_sweeps.errors import did_you_mean

Target = dict[str, Any]
"""A node to instantiate: ``_target_`` and its arguments, as plain Python values."""

_TYPE_NAMES = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    type(None): "null",
    Any: "any",
}


def schema_errors(node: Mapping[str, Any], schema: type, path: str = "") -> Iterator[str]:
    """Yield the errors in the keys and types of ``node``. path: its path in the config, ending in a dot."""
    hints = get_type_hints(schema)
    allowed = [f.name for f in dataclasses.fields(schema) if f.name not in ("as_dict", "overrides")]
    required = [f.name for f in dataclasses.fields(schema) if _is_required(f)]
    for key in node:
        if key not in allowed:
            where = path.rstrip(".") or "the config"
            suggestion = did_you_mean(key, allowed)
            yield f"{path}{key}: unknown key; {where} has {', '.join(allowed)}{suggestion}"
    for key in required:
        if key not in node:
            yield f"{path}{key}: missing; give it a value"
    for key in allowed:
        if key in node:
            yield from _type_errors(node[key], hints[key], f"{path}{key}")


def _is_required(schema_field: dataclasses.Field[Any]) -> bool:
    return schema_field.default is dataclasses.MISSING and schema_field.default_factory is dataclasses.MISSING


def _type_errors(value: Any, hint: Any, path: str) -> Iterator[str]:  # noqa: ANN401 (any YAML value)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            yield from schema_errors(value, hint, f"{path}.")  # type: ignore[arg-type]
        else:
            yield f"{path}={value}: must be a group of keys; choose one of the group's options"
    elif hint == Target:
        if not isinstance(value, Mapping):
            yield f"{path}={value}: must be a group of keys with a _target_; choose one of the group's options"
        elif not isinstance(value.get("_target_"), str):
            yield f"{path}._target_: missing; choose one of the group's options"
    elif _entry_schema(hint) and isinstance(value, list):
        for i, entry in enumerate(value):
            yield from _type_errors(entry, get_args(hint)[0], f"{path}[{i}]")
    elif not matches_type(value, hint):
        other = "" if isinstance(value, str) and _is_choice(hint) else f", not {type(value).__name__}"
        yield f"{path}={value}: must be {_describe_type(hint)}{other}{as_value(value, hint, path)}"


def as_value(value: object, hint: Any, path: str) -> str:  # noqa: ANN401
    """Say how a text that reads as the number or truth value wanted becomes one; empty for any other value."""
    if not isinstance(value, str):
        is_text = isinstance(value, int | float) and matches_type("", hint) and not _is_choice(hint)
        return f"; what reads as a number needs two pairs of quotes to be a text: '{path}=\"TEXT\"'" if is_text else ""
    if value.lower() in ("none", "nil", "~") and matches_type(None, hint):
        return f"; write {path}=null"
    try:
        plain = json.loads(value.lower())
    except ValueError:
        return ""
    if not matches_type(plain, hint):
        return ""
    return (
        "; leave its quotes out, or, for an environment variable, which is always a text, write "
        f"'{path}=\"${{oc.decode:${{oc.env:NAME}}}}\"'"
    )


def _entry_schema(hint: Any) -> bool:  # noqa: ANN401
    """Return whether a hint is a list of dataclasses."""
    return get_origin(hint) is list and dataclasses.is_dataclass(get_args(hint)[0])


def matches_type(value: object, hint: object) -> bool:
    """Return whether a plain value has a type; an int counts as a float, a bool as neither."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(matches_type(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint) and not isinstance(value, bool)
    if origin is list:
        return isinstance(value, list) and all(matches_type(entry, get_args(hint)[0]) for entry in value)
    if origin is dict:
        return isinstance(value, Mapping)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else False


def _is_choice(hint: object) -> bool:
    """Return whether a hint is a choice of strings: another string is then a wrong value, not a wrong type."""
    return get_origin(hint) is Literal or any(_is_choice(option) for option in get_args(hint))


def _describe_type(hint: object) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe_type(option) for option in get_args(hint))
    if origin is Literal:
        return " or ".join(repr(option) for option in get_args(hint))
    if origin is list:
        return f"a list ([…] of {_describe_type(get_args(hint)[0])})"
    return _TYPE_NAMES.get(hint, str(hint))  # type: ignore[call-overload, no-any-return]


def to_dataclass(value: Any, hint: Any) -> Any:  # noqa: ANN401 (depends on the schema)
    """Return a checked value as its schema's type: mappings as dataclasses, ints as floats where the hint is float."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return hint(**{key: to_dataclass(entry, hints[key]) for key, entry in value.items()})
    if _entry_schema(hint):
        return [to_dataclass(entry, get_args(hint)[0]) for entry in value]
    return float(value) if hint is float else value
