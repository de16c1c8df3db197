"""Rules of ``sweep.exclude``, such as ``model=lenet_3 and not (optimizer=adam or optimizer.lr=0.01)``.

They compare keys with values by = and !=, joined by and, or, not and brackets; nothing of them is executed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from hydra.errors import HydraException

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import parse_overrides

Lookup = Callable[[str], object]
"""Returns the value of a key in a job; `ABSENT` where the job has no such key."""

ABSENT = object()

_EXAMPLE = 'sweep.exclude=["model=lenet_3 and optimizer=sgd"]'
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<bracket>[()])
      | (?P<word>and|or|not)(?=[\s()]|$)(?!\s*!?=)
      | (?P<key>[A-Za-z_][\w./@-]*)\s*(?P<sign>!=|=)(?!=)\s*
        (?P<value>'[^']*'|"[^"]*"|\[[^]]*\]|\{[^}]*\}|[^\s()'"=!<>]+)(?=[\s()]|$)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_DEEPEST = 30


@dataclass(frozen=True)
class Rule:
    """One rule. text: as it was written. keys: those that it compares."""

    text: str
    keys: frozenset[str]
    _tree: Any = field(repr=False)

    def comparisons(self) -> list[tuple[str, object]]:
        """Return the keys that it compares, each with what it compares it with, in their order."""
        return [*_comparisons(self._tree)]

    def matches(self, value_of: Lookup) -> bool:
        """Say whether a job is one that the rule names; only what decides over that is looked up."""
        return _holds(self._tree, value_of)


def parse_rule(text: str) -> Rule:
    """Return the rule that a text states. Raises ConfigError with the place at which it cannot be read."""
    tokens = [*_tokens(text)]
    parser = _Parser(text, tokens)
    tree = parser.alternatives(0)
    if parser.place < len(tokens):
        raise _error(text, f"{tokens[parser.place][1]!r} follows where and, or, or the end should; {_EXAMPLE}")
    return Rule(text, frozenset(token[1] for token in tokens if token[0] in ("=", "!=")), tree)


def equals(value: object, wanted: object) -> bool:
    """Say whether a job's value is that of a rule: numbers as numbers (1e-3 is 0.001), all else as text."""
    if isinstance(value, list | tuple) and isinstance(wanted, list | tuple):
        return len(value) == len(wanted) and all(map(equals, value, wanted))
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return value.keys() == wanted.keys() and all(equals(value[key], wanted[key]) for key in value)
    one, other = _text(value), _text(wanted)
    numbers = _number(one), _number(other)
    return one == other if None in numbers else numbers[0] == numbers[1]


def typed_values(overrides: Sequence[str]) -> dict[str, object]:
    """Return the values that a job's overrides give, by key; `ABSENT` for a key that one deletes."""
    return dict(map(_typed_value, overrides))


@cache
def _typed_value(line: str) -> tuple[str, object]:
    [override] = parse_overrides([line])
    return override.get_key_element().lstrip("+~"), ABSENT if override.is_delete() else override.value()


def _text(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)  # exact: a seed may have more digits than a float holds
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _tokens(text: str) -> Iterator[tuple[str, str, object]]:
    """Yield kind, text and value of each token; a bracket or word is its own kind, a comparison's is its sign."""
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None:
            raise _error(text, f"cannot be read at {text[place:].strip()!r}; {_advice(text[place:])}")
        place = found.end()
        if found["key"] is not None:
            yield found["sign"], found["key"], _value(found["value"])
        else:
            word = (found["bracket"] or found["word"]).lower()
            yield word, word, None


def _advice(rest: str) -> str:
    rest = rest.strip()
    if re.match(r"[A-Za-z_][\w./@-]*\s*==", rest):
        return "compare with a single ="
    if re.match(r"[A-Za-z_][\w./@-]*\s*[<>]", rest):
        return "rules compare with = and != alone; join several by or"
    if rest.startswith(("&", "|", "!", ",")):
        return "join comparisons with the words and, or, not"
    if re.match(r"[A-Za-z_][\w./@-]*\s*!?=", rest):
        return "write key=value; a value with a space or a bracket in it needs quotes"
    return f"rules are made of key=value, key!=value, and, or, not and brackets: {_EXAMPLE}"


def _value(text: str) -> object:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return parse_overrides([f"value={text}"])[0].value()
    except HydraException:
        return text


class _Parser:
    """Reads the tokens of a rule: or binds less than and, and that less than not. place: of the next token."""

    def __init__(self, text: str, tokens: list[tuple[str, str, object]]) -> None:
        self._text, self._tokens, self.place = text, tokens, 0

    def alternatives(self, depth: int) -> Any:  # noqa: ANN401 (a tree of tuples)
        """Read terms that are joined by or."""
        terms = [self._all(depth)]
        while self._take("or"):
            terms.append(self._all(depth))
        return ("or", *terms)

    def _all(self, depth: int) -> Any:  # noqa: ANN401
        terms = [self._one(depth)]
        while self._take("and"):
            terms.append(self._one(depth))
        return ("and", *terms)

    def _one(self, depth: int) -> Any:  # noqa: ANN401
        if depth > _DEEPEST:
            raise _error(self._text, f"has brackets or nots more than {_DEEPEST} deep; write it in several rules")
        if self._take("not"):
            return ("not", self._one(depth + 1))
        if self._take("("):
            inside = self.alternatives(depth + 1)
            if not self._take(")"):
                raise _error(self._text, "a bracket is not closed; close it")
            return inside
        if self.place < len(self._tokens) and self._tokens[self.place][0] in ("=", "!="):
            self.place += 1
            return self._tokens[self.place - 1]
        what = f"{self._tokens[self.place][1]!r} stands" if self.place < len(self._tokens) else "it ends"
        raise _error(self._text, f"{what} where a key=value should; {_EXAMPLE}")

    def _take(self, kind: str) -> bool:
        is_next = self.place < len(self._tokens) and self._tokens[self.place][0] == kind
        self.place += is_next
        return is_next


def _holds(tree: Any, value_of: Lookup) -> bool:  # noqa: ANN401
    kind, *terms = tree
    if kind == "or":
        return any(_holds(term, value_of) for term in terms)
    if kind == "and":
        return all(_holds(term, value_of) for term in terms)
    if kind == "not":
        return not _holds(terms[0], value_of)
    key, wanted = terms
    value = value_of(key)
    return bool((value is not ABSENT and equals(value, wanted)) == (kind == "="))


def _comparisons(tree: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401
    kind, *terms = tree
    if kind in ("=", "!="):
        yield terms[0], terms[1]
        return
    for term in terms:
        yield from _comparisons(term)


def _error(text: str, why: str) -> ConfigError:
    return ConfigError(f"sweep.exclude: {text!r}: {why}")
