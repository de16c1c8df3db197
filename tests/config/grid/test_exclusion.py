"""Rules name jobs by the values of their keys; any other text is one error."""

import contextlib

import pytest
from config.test_properties import quick
from hypothesis import given
from hypothesis import strategies as st

from cifar_sweeps.config.grid.exclusion import ABSENT, equals, parse_rule, typed_values
from cifar_sweeps.errors import ConfigError

JOB = {
    "model": "lenet_3",
    "optimizer.lr": 0.001,
    "seed": 2**53 + 1,
    "experiment": "a/b",
    "sizes": [32, 24.0],
    "x": None,
}


def matches(text, job=None):
    return parse_rule(text).matches(lambda key: {**JOB, **(job or {})}.get(key, ABSENT))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model=lenet_3", True),
        ("model = 'lenet_3'", True),
        ("model=Lenet_3", False),
        ("model!=lenet_3", False),
        ("optimizer.lr=1e-3", True),
        ('optimizer.lr="0.0010"', True),
        ("optimizer.lr!=1.0e-3", False),
        ("optimizer.lr=0.0011", False),
        (f"seed={2**53 + 1}", True),
        (f"seed={2**53}", False),
        ("experiment=a/b", True),
        ("sizes=[32.0,24]", True),
        ("sizes=[24,32]", False),
        ("sizes=32", False),
        ("x=null", True),
        ("x!=null", False),
        ("nothing=1", False),
        ("nothing!=1", True),
        ("not nothing=1", True),
        ("model=lenet_3 and x=1 or x=null", True),
        ("model=lenet_3 or x=null and x=1", True),
        ("(model=lenet_3 or x=null) and x=1", False),
        ("not model=a and model=lenet_3", True),
        ("not (model=a or model=lenet_3)", False),
        ("not not model=lenet_3", True),
        ("NOT(model=a)AND(x=null)", True),
        ("model=lenet_3 and(x=1 or not(x=2))", True),
    ],
)
def test_a_rule_means_what_it_says(text, expected):
    assert matches(text) is expected


@pytest.mark.parametrize(
    ("value", "wanted", "equal"),
    [
        (True, "true", True),
        (True, 1, False),
        ("True", True, False),
        (1, 1.0, True),
        ("1e3", 1000, True),
        (float("nan"), "nan", True),
        ("k3", "k03", False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1], 1, False),
    ],
)
def test_numbers_are_compared_as_numbers_and_all_else_as_text(value, wanted, equal):
    assert equals(value, wanted) is equal


TERMS = st.tuples(st.sampled_from(["=", "!="]), st.sampled_from("abc"), st.integers(0, 2))
TREES = st.recursive(
    TERMS,
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.sampled_from(["and", "or"]), inner, inner)
        | st.tuples(st.sampled_from(["and", "or"]), inner, inner, inner)
    ),
    max_leaves=6,
)
BINDS = {"or": 0, "and": 1, "not": 2, "=": 3, "!=": 3}


def written(tree, above=0):
    """The tree as text, with brackets only where they are needed."""
    kind, *parts = tree
    if kind in ("=", "!="):
        return f"{parts[0]}{kind}{parts[1]}"
    inner = BINDS[kind] + (kind != "not")
    text = (
        f"not {written(parts[0], inner)}" if kind == "not" else f" {kind} ".join(written(each, inner) for each in parts)
    )
    return f"({text})" if BINDS[kind] < above else text


def holds(tree, job):
    kind, *parts = tree
    if kind in ("=", "!="):
        return (job[parts[0]] == parts[1]) == (kind == "=")
    if kind == "not":
        return not holds(parts[0], job)
    return (all if kind == "and" else any)(holds(each, job) for each in parts)


@quick(200)
@given(TREES, st.fixed_dictionaries({key: st.integers(0, 2) for key in "abc"}))
def test_or_binds_less_than_and_which_binds_less_than_not(tree, job):
    rule = parse_rule(written(tree))
    assert rule.matches(job.__getitem__) == holds(tree, job)
    assert rule.keys <= {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it ends where a key=value should"),
        ("model", "cannot be read at 'model'; rules are made of key=value"),
        ("model=", "cannot be read at 'model='"),
        ("=lenet_3", "cannot be read at '=lenet_3'"),
        ("model==lenet_3", "compare with a single ="),
        ("lr<0.1", "rules compare with = and != alone"),
        ("lr >= 0.1", "rules compare with = and != alone"),
        ("model=a && x=1", "join comparisons with the words and, or, not"),
        ("model=a, x=1", "cannot be read at ', x=1'"),
        ("model=a x=1", "'x' follows where and, or, or the end should"),
        ("model=a and", "it ends where a key=value should"),
        ("and model=a", "'and' stands where a key=value should"),
        ("(model=a", "a bracket is not closed"),
        ("model=a)", "')' follows where"),
        ("model='a", "a value with a space or a bracket in it needs quotes"),
        ("model=a(b", "cannot be read"),
        ("not " * 50 + "a=1", "more than 30 deep"),
        ("(" * 5000 + "a=1", "more than 30 deep"),
        ("__import__('os')", "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_error(text, message):
    if text == "model=a, x=1":  # the comma is part of a value, as in a=b,c
        message = "'x' follows where"
    with pytest.raises(ConfigError, match=r"^sweep\.exclude: ") as refused:
        parse_rule(text)
    assert message in str(refused.value)


PIECES = st.sampled_from(["a=1", "and", "or", "not", "(", ")", "b!=[1,2]", "c='x y'", "="])


@quick(300)
@given(st.text(max_size=25) | st.lists(PIECES, max_size=8).map(" ".join))
def test_any_text_is_a_rule_or_one_error(text):
    with contextlib.suppress(ConfigError):
        assert parse_rule(text).matches(lambda key: 1) in (True, False)


def test_only_what_decides_is_looked_up():
    asked = []
    rule = parse_rule("a=1 and b=1 or c=1 or d=1")
    assert rule.matches(lambda key: asked.append(key) or (1 if key == "c" else 0))
    assert asked == ["a", "c"]


def test_the_values_that_overrides_give():
    typed = typed_values(["model=a/b", "+x=0.1", "++y='1, 2'", "z=[1,2]", "~gone", "g@p=null", "w=true"])
    assert typed == {"model": "a/b", "x": 0.1, "y": "1, 2", "z": [1, 2], "gone": ABSENT, "g@p": None, "w": True}
