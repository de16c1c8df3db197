"""From overrides in Hydra's syntax to the space of a search."""

import re

import pytest

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import current_loader, initialized_compose
from cifar_sweeps.search.space import Dimension
from cifar_sweeps.sweeps.search.space_of_overrides import explain_errors, read_space


def read(*overrides, params=None, conditions=()):
    return read_space(params or {}, overrides, conditions, None)


@pytest.mark.parametrize(
    ("override", "dimension"),
    [
        ("lr=interval(1e-4,0.1)", Dimension("lr", low=1e-4, high=0.1)),
        ("lr=interval(0,1)", Dimension("lr", low=0.0, high=1.0)),
        ("lr=tag(log,interval(1e-4,0.1))", Dimension("lr", low=1e-4, high=0.1, is_log=True)),
        ("n=int(interval(2,9))", Dimension("n", low=2, high=9, is_integer=True)),
        ("n=tag(log,int(interval(8,512)))", Dimension("n", low=8, high=512, is_log=True, is_integer=True)),
        ("n=int(tag(log,interval(8,512)))", Dimension("n", low=8, high=512, is_log=True, is_integer=True)),
        ("+new.key=interval(0,1)", Dimension("new.key", low=0.0, high=1.0)),
        ("optimizer=adam,sgd", Dimension("optimizer", choices=("adam", "sgd"))),
        ("optimizer=choice(adam,sgd)", Dimension("optimizer", choices=("adam", "sgd"))),
        ("on=true,false", Dimension("on", choices=("True", "False"))),
        ("dense=[16],[64,32]", Dimension("dense", choices=("[16]", "[64,32]"))),
        ("rate=0.1,0.1,0.2", Dimension("rate", choices=("0.1", "0.2"))),
        ("n=range(1,5)", Dimension("n", low=1, high=4, is_integer=True, step=1)),
        ("n=range(1,10,3)", Dimension("n", low=1, high=7, is_integer=True, step=3)),
        ("x=range(0.1,0.5,0.1)", Dimension("x", low=0.1, high=0.4, step=0.1)),
        ("n=range(5,1,-2)", Dimension("n", low=3, high=5, is_integer=True, step=2)),
        ("n=shuffle(range(1,4))", None),
        ("n=range(3,4)", Dimension("n", choices=("3",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hydras_own_syntax_says_what_is_searched(override, dimension):
    (found,) = read(override).space.dimensions
    if dimension is None:
        assert sorted(found.values()) == ["1", "2", "3"]
    else:
        assert found.key == dimension.key
        assert found.values() == dimension.values()
        assert (found.low, found.high) == pytest.approx((dimension.low, dimension.high))
        assert (found.is_log, found.is_integer) == (dimension.is_log, dimension.is_integer)


def test_fixed_overrides_stay_and_a_trial_is_typed_as_it_was_asked_for():
    found = read("trainer.epochs=2", "lr=interval(0,1)", "+extra=a,b", "~gone", "model=plain_3", "texts=['a b',c]")
    assert found.overrides({"lr": "0.5", "extra": "b"}) == [
        "trainer.epochs=2",
        "~gone",
        "model=plain_3",
        "texts=['a b',c]",
        "lr=0.5",
        "+extra=b",
    ]


def test_the_command_line_replaces_what_a_study_searches():
    params = {"lr": "interval(0,1)", "optimizer": "adam,sgd"}
    found = read("lr=0.1", params=params)
    assert [each.key for each in found.space.dimensions] == ["optimizer"]
    assert found.fixed == ("lr=0.1",)
    wider = read("lr=interval(0,2)", params=params)
    assert {each.key: each.high for each in wider.space.dimensions}["lr"] == 2


@pytest.mark.parametrize(
    ("values", "rule"),
    [("true,false", "b=true"), ("0.001,1e-2", "b=1e-3"), ("[16],[64,32]", "b=[64,32]"), ("null,1", "b=null")],
)
def test_conditions_compare_values_and_not_how_they_are_typed(values, rule):
    found = read("a=interval(0,1)", f"b={values}", conditions=[f"a if {rule}"])
    having = [choice for choice in found.space.dimensions[0].choices if found.space.has("a", {"b": choice})]
    assert len(having) == 1


@pytest.mark.parametrize(
    ("rule", "exists"),
    [
        ("optimizer=sgd", {"sgd": True, "adam": False, "rmsprop": False}),
        ("optimizer!=adam", {"sgd": True, "adam": False, "rmsprop": True}),
        ("optimizer=sgd or optimizer=rmsprop", {"sgd": True, "adam": False, "rmsprop": True}),
        ("not optimizer=sgd", {"sgd": False, "adam": True, "rmsprop": True}),
    ],
)
def test_a_key_is_searched_only_where_its_condition_holds(rule, exists):
    found = read("momentum=interval(0,1)", "optimizer=adam,sgd,rmsprop", conditions=[f"momentum if {rule}"])
    assert [each.key for each in found.space.dimensions] == ["optimizer", "momentum"]
    assert {name: found.space.has("momentum", {"optimizer": name}) for name in exists} == exists


def test_a_condition_may_depend_on_a_key_that_is_itself_conditional_and_compare_numbers():
    found = read(
        "nesterov=true,false",
        "momentum=0,0.9",
        "optimizer=adam,sgd",
        conditions=["nesterov if momentum=9e-1", "momentum if optimizer=sgd"],
    )
    trials = [dict(each) for each in found.space.combinations()]
    assert {"optimizer": "adam"} in trials
    assert {"optimizer": "sgd", "momentum": "0"} in trials
    assert {"optimizer": "sgd", "momentum": "0.9", "nesterov": "True"} in trials
    assert len(trials) == 4


@pytest.mark.parametrize(
    ("overrides", "conditions", "message"),
    [
        (["trainer.epochs=2"], [], "nothing is searched; give keys several values"),
        (["p=zip(a=[1,2],b=[3,4])"], [], r"p=zip\(…\): a search does not step keys together"),
        (["lr=interval(1,0)"], [], r"lr=interval\(1,0\): must rise"),
        (["lr=interval(1,1)"], [], "must rise"),
        (["lr=tag(log,interval(0,1))"], [], r"tag\(log, …\) needs numbers above 0"),
        (["lr=tag(lgo,interval(1e-4,1))"], [], r"lgo is no tag of a search, which knows log alone.*did you mean 'log'"),
        (["n=tag(log,int,range(1,9))"], [], "int is no tag of a search"),
        (["o=tag(x,choice(adam,sgd))"], [], "x is no tag of a search"),
        (["seed=0,1,2"], [], "seed: a search would pick the luckiest one"),
        (["a=1,2"], ["a"], r"'a': must be KEY if RULE"),
        (["a=1,2"], ["b if a=1"], "b: is not searched; searched are a"),
        (["a=1,2"], ["a if c=1"], "c: is compared, and is not searched"),
        (["a=1,2", "b=1,2"], ["a if b=1", "b if a=1"], "depend on each other in a circle"),
        (["a=1,2", "o=adam,sgd"], ["a if o=sdg"], r"o is never sdg, but adam, sgd; did you mean 'sgd'\?"),
        (["a=1,2", "n=range(1,4)"], ["a if n=7"], "n is never 7, but numbers from 1 to 3"),
        (["a=1,2", "b=1,2"], ["a if b=1", "a if b=2"], "a: has two conditions; join them"),
        (["a=1,2", "b=1,2"], ["a if b==1"], "compare with a single ="),
    ],
    ids=[
        "nothing",
        "zip",
        "falling",
        "empty",
        "log of 0",
        "misspelt tag",
        "tag of a range",
        "tag of choices",
        "seeds",
        "no rule",
        "of no key",
        "with no key",
        "circle",
        "no value of it",
        "no number of it",
        "two conditions",
        "no rule's syntax",
    ],
)
def test_what_cannot_be_searched_is_refused(overrides, conditions, message):
    with pytest.raises(ConfigError, match=message):
        read(*overrides, conditions=conditions)


@pytest.mark.parametrize("values", ["interval(1,2)", "range(1,3)"])
def test_a_group_is_searched_by_the_names_of_its_options(values):
    with initialized_compose(conf_folder()), pytest.raises(ConfigError) as refused:
        read_space({}, [f"optimizer={values}"], (), current_loader())
    said = str(refused.value)
    assert said.startswith(f"optimizer={values}: optimizer is chosen by name, and no number; list names: optimizer=")


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("size=interval(16,64)", "write 'size=int(interval(16,64))'"),
        ("size=tag(log,interval(16,64))", "write 'size=tag(log,int(interval(16,64)))'"),
        ("size=range(16.0,64.0,16)", "give a range of integers, such as 'size=range(16,49)'"),
    ],
)
def test_a_key_of_integers_that_is_searched_as_numbers_says_what_to_write(override, advice):
    found = read(override)
    messages = [f"size={end}: must be an integer, not float [in 1 of 2 jobs: size={end}]" for end in ("16.0", "48.0")]
    assert explain_errors([*messages, "another"], found) == [f"size: must be an integer; {advice}", "another"]
    read(re.search("'(.*)'", advice)[1])
