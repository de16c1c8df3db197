"""The space of a search: values as they are typed and as they are proposed, and keys that exist only beside others."""

import pytest

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.search.space import Dimension, Space, check_dimension, in_order

LR = Dimension("lr", low=1e-4, high=1e-1, is_log=True)
OPTIMIZER = Dimension("optimizer", choices=("adam", "sgd"))
MOMENTUM = Dimension("momentum", low=0.0, high=0.95)
CONDITIONAL = Space((OPTIMIZER, LR, MOMENTUM), {"momentum": lambda values: values["optimizer"] == "sgd"})


@pytest.mark.parametrize(
    ("dimension", "proposed", "text"),
    [
        (LR, 0.0123456, "0.01235"),
        (LR, 0.1, "0.1"),
        (LR, 0.00010000499, "0.0001"),
        (Dimension("x", low=0.12344, high=0.2), 0.12344, "0.12344"),
        (Dimension("x", low=0.0, high=0.99999), 0.99999, "0.99999"),
        (Dimension("x", low=1000.0, high=1001.0), 1000.4321, "1000.432"),
        (Dimension("x", low=-1.0, high=1.0), -0.333333, "-0.3333"),
        (Dimension("x", low=1e-9, high=1e-7, is_log=True), 2.34567e-8, "2.346e-08"),
        (Dimension("n", low=1, high=2**40, is_integer=True), 123456789.0, "123456789"),
        (Dimension("n", low=1.0, high=1.001, step=0.00025), 1.00075, "1.00075"),
        (Dimension("n", low=0.1, high=0.5, step=0.1), 0.1 + 0.1 + 0.1, "0.3"),
        (OPTIMIZER, "sgd", "sgd"),
    ],
    ids=lambda value: value.key if isinstance(value, Dimension) else str(value),
)
def test_a_proposed_number_is_typed_with_as_many_digits_as_tell_it_apart(dimension, proposed, text):
    assert dimension.text(proposed) == text
    assert dimension.value(text) is not None


@pytest.mark.parametrize("dimension", [LR, MOMENTUM, Dimension("x", low=0.30000001, high=0.30000009)])
def test_no_proposal_leaves_its_bounds_and_many_differ(dimension):
    width = dimension.high - dimension.low
    texts = [dimension.text(dimension.low + width * each / 500) for each in range(501)]
    assert all(dimension.low <= float(text) <= dimension.high for text in texts)
    assert len(set(texts)) > 400 or dimension.is_log


@pytest.mark.parametrize("text", ["0.5", "0", "words", "nan", "inf", ""])
def test_what_is_not_of_a_dimension_is_none_of_its_values(text):
    assert LR.value(text) is None


def test_a_key_exists_only_where_its_condition_holds():
    assert CONDITIONAL.contains({"optimizer": "sgd", "lr": "0.01", "momentum": "0.9"})
    assert CONDITIONAL.contains({"optimizer": "adam", "lr": "0.01"})
    assert not CONDITIONAL.contains({"optimizer": "adam", "lr": "0.01", "momentum": "0.9"})
    assert not CONDITIONAL.contains({"optimizer": "sgd", "lr": "0.01"})
    assert not CONDITIONAL.contains({"optimizer": "sgd", "lr": "7", "momentum": "0.9"})
    assert not CONDITIONAL.contains({"optimizer": "rmsprop", "lr": "0.01"})
    assert not CONDITIONAL.contains({"optimizer": "adam", "lr": "0.01", "other": "1"})


def test_samples_hold_each_choice_and_both_ends_of_each_number():
    samples = CONDITIONAL.samples()
    assert all(CONDITIONAL.contains(sample) for sample in samples)
    seen = {(key, text) for sample in samples for key, text in sample.items()}
    ends = {(each.key, text) for each in CONDITIONAL.dimensions for text in each.ends()}
    assert seen >= {pair for pair in ends if pair[0] != "momentum"}
    assert any("momentum" in sample for sample in samples)


def test_samples_hold_a_key_that_exists_only_beside_a_rare_pair():
    others = [Dimension(name, choices=("a", "b", "c")) for name in ("one", "two")]
    rare = Dimension("rare", low=0, high=1)
    space = Space((*others, rare), {"rare": lambda values: values["one"] == "a" and values["two"] == "c"})
    assert any("rare" in sample for sample in space.samples())


@pytest.mark.parametrize(
    ("dimension", "message"),
    [
        (Dimension("x", low=1, high=1), "must rise"),
        (Dimension("x", low=2, high=1), "must rise"),
        (Dimension("x", low=0, high=float("inf")), "must rise"),
        (Dimension("x", low=float("nan"), high=1), "must rise"),
        (Dimension("x", low=0, high=1, is_log=True), "above 0"),
        (Dimension("x", low=-1, high=1, is_log=True), "above 0"),
    ],
    ids=["empty", "falling", "infinite", "nan", "log of 0", "log of -1"],
)
def test_bounds_between_which_nothing_lies_are_refused(dimension, message):
    with pytest.raises(ConfigError, match=message):
        check_dimension(dimension)


def test_dimensions_stand_behind_those_that_their_conditions_compare():
    chain = [Dimension(key, choices=("a", "b")) for key in ("third", "second", "first")]
    ordered = in_order(chain, {"third": ["second"], "second": ["first"]})
    assert [each.key for each in ordered] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"unknown": ["optimizer"]}, "unknown: is not searched; searched are optimizer, lr"),
        ({"lr": ["model"]}, "model: is compared, and is not searched"),
        ({"lr": ["optimizer"], "optimizer": ["lr"]}, "depend on each other in a circle"),
        ({"lr": ["lr"]}, "circle"),
    ],
    ids=["of no key", "with no key", "circle", "itself"],
)
def test_conditions_without_sense_are_refused(needs, message):
    with pytest.raises(ConfigError, match=message):
        in_order([OPTIMIZER, LR], needs)


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (OPTIMIZER, ("adam", "sgd")),
        (Dimension("n", low=1, high=3, is_integer=True), ("1", "2", "3")),
        (Dimension("n", low=2, high=9, is_integer=True, step=3), ("2", "5", "8")),
        (Dimension("x", low=0.1, high=0.4, step=0.1), ("0.1", "0.2", "0.3", "0.4")),
        (LR, None),
        (Dimension("n", low=0, high=10**9, is_integer=True), None),
    ],
    ids=["choices", "integers", "steps of integers", "steps", "any number", "very many"],
)
def test_the_values_of_a_dimension_where_they_can_be_counted(dimension, values):
    assert dimension.values() == values


def test_combinations_are_counted_without_what_does_not_exist():
    space = Space((OPTIMIZER, Dimension("n", low=1, high=3, is_integer=True)), {"n": lambda v: v["optimizer"] == "sgd"})
    found = [dict(each) for each in space.combinations()]
    assert found == [{"optimizer": "adam"}, *({"optimizer": "sgd", "n": str(n)} for n in (1, 2, 3))]
    assert CONDITIONAL.combinations() is None
