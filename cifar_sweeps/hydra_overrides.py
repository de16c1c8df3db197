"""Read and write Hydra's overrides, for hydra-core 1.3.8 to 1.4: what one sets, what it sweeps over, how it is typed.

The classes of Hydra's override parser are in ``hydra.core``, and not documented: no other module looks into them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
    RangeSweep,
    Sweep,
    ValueType,
)
from hydra.errors import HydraException

__all__ = ["Override"]  # to name its type elsewhere

_DOTTED_KEY = re.compile(r"(?!hydra\b)[A-Za-z_]\w*(\.\w+)*")
"""A key in dots alone: ``a[b]``, which 1.4 reads too, is left to Hydra, and so is its own part of the config."""


def parse_overrides(lines: Iterable[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Parse overrides as Hydra does. Raises OverrideParseException for a line that is not one.

    loader: where config groups are looked up, for sweeps that name them by patterns. Both versions; the parser is in
    ``hydra.core``, but not documented.
    """
    return OverridesParser.create(config_loader=loader).parse_overrides(list(lines))


def is_plain_value_override(override: Override) -> bool:
    """Say whether an override only changes the value of a key, outside of Hydra's own part of the config.

    Not one that adds, deletes or, in 1.4, extends a list, and no key in 1.4's other spellings.
    """
    return (
        override.type is OverrideType.CHANGE
        and override.package is None
        and not getattr(override, "is_value_path", False)  # 1.4 alone
        and _DOTTED_KEY.fullmatch(override.key_or_group) is not None
    )


def as_choices(override: Override) -> Override | None:
    """Return an override whose value is a list, ``key=[a,b]``, as a sweep over its entries; one that sweeps as it is.

    None for one that does not set its key to one listed value after another.
    """
    if override.type not in (OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD):
        return None
    if isinstance(override.value(), list):
        entries: Any = override._value  # with the quotes of its texts, which its value has lost
        return replace(override, value_type=ValueType.CHOICE_SWEEP, _value=ChoiceSweep(list=entries))
    return override if override.is_discrete_sweep() else None


def holds_sweep(override: Override) -> bool:
    """Say whether one of the choices of a sweep is a sweep itself, ``[range(3),5]``, which Hydra writes as no value."""
    value: Any = override.value()
    return isinstance(value, ChoiceSweep) and any(isinstance(entry, Sweep) for entry in value.list)


def sweep_texts(override: Override) -> Iterator[str]:
    """Return the values of a sweep over listed ones, each as an override writes it.

    Both versions take the quotes off the texts of a ``choice(…)``, ``sort`` and ``shuffle``, and write backslashes
    ahead of spaces and commas instead, with which a quote in the text is an error, and ``'1'`` a number.
    """
    return map(str, override.sweep_iterator(transformer=_text))


def value_text(override: Override) -> str:
    """Return the one value of an override as an override writes it: see `sweep_texts`."""
    return _text(override._value) if isinstance(override._value, str) else override.get_value_element_as_str()


def _text(value: Any) -> str:  # noqa: ANN401 (whatever Hydra reads)
    plain = Override._get_value_element_as_str(value)
    if not isinstance(value, str) or (plain == value and _is_read_as(plain)):
        return plain
    quote = Quote.double if "'" in value and '"' not in value else Quote.single
    return QuotedString(text=value, quote=quote).with_quotes()


def _is_read_as(text: str) -> bool:
    """Say whether an override reads this text without quotes, and as itself: not ``1`` or ``true``."""
    try:
        [override] = parse_overrides([f"key={text}"])
    except HydraException:
        return False
    value: object = override._value  # without the quotes that its value has lost
    return isinstance(value, str) and value == text


def tags_of(override: Override) -> frozenset[str]:
    """Return the tags of a sweep, which Hydra hands on to sweepers and does not check."""
    value: Any = override.value()
    return frozenset(value.tags) if isinstance(value, Sweep) else frozenset()


def interval_of(override: Override) -> tuple[float, float, frozenset[str]] | None:
    """Return both ends of an interval and its tags; None for another sweep. The ends of an ``int(…)`` are integers."""
    value: Any = override.value()
    if not isinstance(value, IntervalSweep) or value.start is None or value.end is None:
        return None
    return value.start, value.end, frozenset(value.tags)


def range_step_of(override: Override) -> tuple[float, frozenset[str]] | None:
    """Return the step of a range and its tags; None for another sweep, and where its values are shuffled."""
    value: Any = override.value()
    if not isinstance(value, RangeSweep) or value.shuffle:
        return None
    return value.step, frozenset(value.tags)
