"""Overrides are read, and their values written, as each version of Hydra reads them back."""

import pytest
from hydra.errors import HydraException

from cifar_sweeps.hydra_overrides import (
    as_choices,
    holds_sweep,
    is_plain_value_override,
    parse_overrides,
    sweep_texts,
    value_text,
)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a=[1,'b, c',null]", ["1", "'b, c'", "null"]),
        ("+a=choice(1,2)", ["1", "2"]),
        ("++a=range(2)", ["0", "1"]),
        ("a=3", None),
        ("a=interval(0,1)", None),
        ("~a", None),
        ("a={b: 1}", None),
    ],
)
def test_the_values_that_an_override_lists(line, values):
    choices = as_choices(parse_overrides([line])[0])
    assert (None if choices is None else [*choices.sweep_string_iterator()]) == values
    assert choices is None or not holds_sweep(choices)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ("choice('a b',\"it's\",'it\\'s \"x\"')", ["'a b'", '"it\'s"', "'it\\'s \"x\"'"]),
        ("choice('x, y (z)',adam,'1','true','')", ["'x, y (z)'", "adam", "'1'", "'true'", ""]),
        ("choice(1,1e-3,true,[a,'b c'])", ["1", "0.001", "True", "[a,'b c']"]),
        ("sort('c d','a b')", ["'a b'", "'c d'"]),
        ("'a b',c d", ["'a b'", "'c d'"]),
        ("choice('${x.y}',3x3)", ["'${x.y}'", "3x3"]),
        ("range(2)", ["0", "1"]),
    ],
)
def test_the_values_of_a_sweep_are_written_in_quotes_where_they_need_them(values, texts):
    [override] = parse_overrides([f"key={values}"])
    found = [*sweep_texts(override)]
    assert found == texts
    read = [parse_overrides([f"key={text}"])[0] for text in found]
    plain = [getattr(each, "text", each) for each in override.sweep_iterator() if not isinstance(each, list)]
    assert [each.value() for each in read][: len(plain)] == plain
    assert [value_text(each) for each in read] == texts


def test_one_value_is_written_in_quotes_where_it_needs_them():
    assert value_text(parse_overrides(['key=str("it\'s")'])[0]) == '"it\'s"'
    assert value_text(parse_overrides(["key='a b'"])[0]) == "'a b'"
    assert value_text(parse_overrides(["key=str(1)"])[0]) == "'1'"


def test_a_list_of_sweeps_is_found():
    assert holds_sweep(as_choices(parse_overrides(["a=[range(3),5]"])[0]))


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        *((line, True) for line in ("seed=1", "a.b=x", "a.0.b=x")),
        *((line, False) for line in ("+seed=1", "++seed=1", "~seed", "hydra.job.name=x", "a@b=x", "hydra/launcher=x")),
    ],
)
def test_what_replaces_plain_value(line, is_one):
    assert is_plain_value_override(parse_overrides([line])[0]) is is_one


@pytest.mark.parametrize(
    "line", ["rates+=3", "[hydra].mode=RUN", "hydra[mode]=RUN", "rates[0]=3", "+rates=extend_list(3)"]
)
def test_no_other_spelling_passes_for_a_change_of_a_value(line):
    try:
        [override] = parse_overrides([line])
    except HydraException:  # 1.3 reads none of them, 1.4 most
        return
    assert not is_plain_value_override(override)
