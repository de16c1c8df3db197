"""The jobs of a sweep are all combinations of its dimensions, in the order in which these are written."""

import itertools
from types import SimpleNamespace

import pytest
from config.test_properties import quick
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hypothesis import given
from hypothesis import strategies as st

from cifar_sweeps.config.grid.dimensions import conflicts, dimensions, flat, grid_jobs
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import parse_overrides

PLAIN = st.lists(st.integers(0, 9), min_size=1, max_size=3)
ZIPPED = st.integers(2, 3).flatmap(
    lambda keys: st.lists(st.lists(st.integers(0, 9), min_size=keys, max_size=keys), min_size=1, max_size=3)
)


@quick(80)
@given(st.lists(PLAIN | ZIPPED, min_size=1, max_size=4), st.integers(0, 4))
def test_zips_are_crossed_with_the_other_keys_where_they_are_written(written, in_study):
    params, lines, expected = {}, [], []
    for number, rows in enumerate(written):
        if isinstance(rows[0], int):
            name, value = f"k{number}", ",".join(map(str, rows))
            expected.append([[f"{name}={each}"] for each in rows])
        else:
            name, keys = f"z{number}", [f"z{number}.m{place}" for place in range(len(rows[0]))]
            members = (f"{key}=[{','.join(str(row[i]) for row in rows)}]" for i, key in enumerate(keys))
            value = f"zip({','.join(members)})"
            expected.append([[f"{key}={each}" for key, each in zip(keys, row, strict=True)] for row in rows])
        if number < in_study:
            params[name] = value
        else:
            lines.append(f"{name}={value}")
    jobs = [[*itertools.chain(*rows)] for rows in itertools.product(*expected)]
    assert grid_jobs(dimensions(params, lines)) == jobs


@pytest.mark.parametrize(
    "lines",
    [
        ["seed=1,2", "optimizer.lr=0.1,1e-2", "model=lenet_3"],
        ["b=1", "a=range(3)", "b=4,5", "+c=x,'y, z'", "d=[1,2]", "e={k: v},null", "~f", "++g=", "h@p=a,b"],
        ["seed=sort(3,1,2)", "a=choice(true,1.5)"],
        ["seed=3"],
        [],
    ],
)
def test_without_zips_the_jobs_are_those_of_hydra(lines):
    [theirs] = BasicSweeper.split_arguments(parse_overrides(lines), None)
    assert grid_jobs(dimensions({}, lines)) == theirs


def test_the_command_line_replaces_what_a_study_sweeps_in_its_place():
    params = {"seed": "0,1", "pair": "zip(model=[a,b],lr=[1,2])", "+x": "5"}
    found = dimensions(params, ["pair=zip(model=[c],rate=[3])", "y=1,2", "seed=7"])
    assert grid_jobs(found) == [["seed=7", "model=c", "rate=3", "+x=5", f"y={y}"] for y in (1, 2)]
    assert [each.get_key_element() for each in flat(found)] == ["seed", "model", "rate", "+x", "y"]
    assert [each.is_sweep_override() for each in flat(found)] == [False, True, True, False, True]


def test_an_interval_has_no_values():
    with pytest.raises(
        ConfigError,
        match=r"^lr=interval\(0,1\): an interval has no values .* hydra/sweeper=optuna$",
    ):
        grid_jobs(dimensions({}, ["seed=1,2", "lr=interval(0,1)"]))


@pytest.mark.parametrize(
    ("params", "lines", "messages"),
    [
        ({}, ["p=zip(a=[1,2],b=[1,2])", "q=zip(c=[1],+a=[2])"], ["a: is given twice, in p=zip(…) and in q=zip(…)"]),
        ({}, ["p=zip(a=[1,2],b=[1,2])", "a=3"], ["a: is given twice, in p=zip(…) and in a=3; leave one of them out"]),
        ({}, ["~a", "p=zip(a=[1,2],b=[1,2])"], ["a: is given twice, in ~a and in p=zip(…)"]),
        (
            {"p": "zip(a=[1,2],b=[1,2])"},
            ["a=3", "b=4"],
            ["in the study's p=zip(…) and in a=3; leave one of them out, or the study's by '~hydra.sweeper.params.p'"]
            * 2,
        ),
        ({"a": "1,2"}, ["p=zip(a=[1,2],b=[1,2])"], ["or the study's by '~hydra.sweeper.params.a'"]),
        ({"p": "zip(a=[1,2],b=[1,2])"}, ["p=zip(c=[1,2],d=[1,2])", "a=3"], []),
        ({"a": "1,2"}, ["a=3", "p=zip(a.b=[1,2],c=[1,2])", "d=1", "+d=1"], []),
    ],
)
def test_a_key_of_a_zip_is_given_nowhere_else(params, lines, messages):
    found = [*conflicts(dimensions(params, lines), params)]
    assert len(found) == len(messages)
    for text, message in zip(found, messages, strict=True):
        assert message.replace("a=3", "b=4" if text.startswith("b:") else "a=3") in text


def test_patterns_need_a_loader_and_options_are_asked_of_it():
    loader = SimpleNamespace(get_group_options=lambda group, results_filter: ["x1", "y", "x2"])
    assert grid_jobs(dimensions({}, ["g=glob(x*)"], loader)) == [["g=x1"], ["g=x2"]]
