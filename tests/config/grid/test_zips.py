"""A zip is read as it is written, steps its keys together, and says what is wrong with it."""

import contextlib

import pytest
from config.test_properties import quick
from hypothesis import example, given
from hypothesis import strategies as st

from cifar_sweeps.config.grid.zips import is_zip, parse_zip, stand_in
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import parse_overrides
from cifar_sweeps.hydra_support import current_loader, initialized_compose


@pytest.mark.parametrize(
    ("written", "rows"),
    [
        ("pair=zip(model=[a,b],x.lr=[0.01,1e-3])", [["model=a", "x.lr=0.01"], ["model=b", "x.lr=0.001"]]),
        ("pair=zip(model=choice(a,b),seed=range(1,3))", [["model=a", "seed=1"], ["model=b", "seed=2"]]),
        ("  pair = zip (\n  model = [ a , b ],\n\tseed =\n[1, 2]\n)\n", [["model=a", "seed=1"], ["model=b", "seed=2"]]),
        ("pair=zip(a=[x],b=[y],c=[z])", [["a=x", "b=y", "c=z"]]),
        ("pair=zip(a=['x, y)','it\\'s'],b=[null,true])", [["a='x, y)'", "b=null"], ["a='it\\'s'", "b=True"]]),
        ('pair=zip(a=["[",")"],b=[1,2])', [['a="["', "b=1"], ['a=")"', "b=2"]]),
        ("pair=zip(a=choice([1,2],[3]),b=[{k: 1},{k: 2}])", [["a=[1,2]", "b={k:1}"], ["a=[3]", "b={k:2}"]]),
        ("pair=zip(a/b@pkg.x=[a,b/c],+new=[1,2])", [["a/b@pkg.x=a", "+new=1"], ["a/b@pkg.x=b/c", "+new=2"]]),
        ("pair=zip(++a=[1,2],b=choice('1',null))", [["++a=1", "b='1'"], ["++a=2", "b=null"]]),
        ("pair=zip(a=sort(3,1,2),b=int([1.5,2.5,3.5]))", [["a=1", "b=1"], ["a=2", "b=2"], ["a=3", "b=3"]]),
        ("pair=zip(a=[x\\,y,z],b=[1,2])", [["a='x,y'", "b=1"], ["a=z", "b=2"]]),
        ("pair=zip(a=[zip,shuffle],b=['zip(','shuffle(x)'])", [["a=zip", "b='zip('"], ["a=shuffle", "b='shuffle(x)'"]]),
    ],
)  # fmt: skip
def test_the_rows_are_those_that_are_written(written, rows):
    found = parse_zip(written)
    assert (found.label, found.rows(), found.shuffled_rows()) == ("pair", rows, rows)
    assert stand_in(written) == "pair=choice(zip)"


def test_patterns_are_those_of_the_groups_options():
    with initialized_compose(conf_folder()):
        found = parse_zip("pair=zip(model=glob(lenet*),seed=[1,2])", current_loader())
        assert found.rows() == [["model=lenet_1", "seed=1"], ["model=lenet_3", "seed=2"]]


def test_shuffling_keeps_the_rows_whole():
    found = parse_zip("pair=shuffle(zip(a=range(50),b=range(50)))")
    rows = found.shuffled_rows()
    assert sorted(rows) == sorted(found.rows()) == sorted([f"a={i}", f"b={i}"] for i in range(50))
    assert any(found.shuffled_rows() != rows for _ in range(5))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(st.characters(exclude_categories=["C"], exclude_characters="$"), min_size=1, max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["k", "l"]), inner, max_size=2),
    max_leaves=4,
)


def as_override(value):
    if isinstance(value, str):
        return "'" + value.replace("\\", "").replace("'", "\\'") + "'"
    if isinstance(value, list):
        return "[" + ",".join(map(as_override, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}: {as_override(entry)}" for key, entry in value.items()) + "}"
    return {None: "null", True: "true", False: "false"}.get(value, value) if not isinstance(value, int) else str(value)


def plain(value):
    """A value as it is read: no text has a backslash."""
    if isinstance(value, str):
        return value.replace("\\", "")
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return {key: plain(entry) for key, entry in value.items()} if isinstance(value, dict) else value


@quick(60)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=4), st.sampled_from(["[{}]", "choice({})"]))
def test_each_row_has_the_values_of_its_place(rows, form):
    keys = ("seed", "a.b-c", "+d")
    columns = zip(*rows, strict=True)
    members = [
        f"{key}={form.format(','.join(map(as_override, column)))}" for key, column in zip(keys, columns, strict=True)
    ]
    found = parse_zip(f"pair=zip({', '.join(members)})")
    assert found.keys == ("seed", "a.b-c", "d")
    read = [[override.value() for override in parse_overrides(row)] for row in found.rows()]
    assert read == [[plain(value) for value in row] for row in rows]


def test_interpolations_stay_what_they_are():
    rows = parse_zip("pair=zip(a=[1,2],b=[${seed},${oc.env:X,a}])").rows()
    assert [parse_overrides(row)[1].value() for row in rows] == ["${seed}", "${oc.env:X,a}"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("pair=zip(a=[1,2],b=[1,2,3],c=[1])", "its keys step together, so each needs as many values as the others; "
                                              "a has 2, b has 3, c has 1"),
        ("pair=zip()", "is empty; write 'pair=zip("),
        ("pair=zip(a=[],b=[])", "a=[]: has no value"),
        ("pair=zip(a=range(3,3),b=[])", "a=range(3,3): has no value"),
        ("pair=zip(a=range(1,5,0),b=[1])", "a=range(1,5,0): range() arg 3 must not be zero"),
        ("pair=zip(a=[1,2])", "has one key, a, and a zip pairs several; write a=1,2"),
        ("pair=zip(a=choice(1,2))", "write a=choice(1,2)"),
        ("pair=zip(a=[1,2],a=[3,4])", "a stands in it 2 times"),
        ("pair=zip(a=[1,2],+a=[3,4])", "a stands in it 2 times"),
        ("pair=zip(a=1,2,b=3,4)", "a=1,2: the values of a key stand in brackets here; write a=[1,2]"),
        ("pair=zip(a=1,b=[1])", "a=1: is one value for all rows; write it beside the zip"),
        ("pair=zip([1,2],[3,4])", "[1,2]: is no key=[…]"),
        ("pair=zip({a: [1,2], b: [3,4]})", "is no key=[…]"),
        ("pair=zip(a=[1,2],b=[1,2],)", "has a comma too many"),
        ("pair=zip(a=[1,2],,b=[1,2])", "has a comma too many"),
        ("pair=zip(a=interval(0,1),b=[1])", "an interval has no values to go through"),
        ("pair=zip(a=shuffle([1,2]),b=[1,2])", "shuffle the whole: pair=shuffle(zip(…))"),
        ("pair=zip(a=[1,2],b=choice(x,zip(c=[1],d=[2])))", "zip(…) has no place within a zip"),
        ("pair=zip(a=[range(3),5],b=[1,2])", "a value is itself several"),
        ("pair=zip(~a=[1,2],b=[1,2])", "leave the ~ out"),
        ("pair=zip(hydra.job.name=[1,2],b=[1,2])", "Hydra's own settings are the same for all jobs"),
        ("pair=zip(hydra/launcher=[basic,local],b=[1,2])", "Hydra's own settings"),
        ("pair=zip(a=[1,2],b=[1,2]", "its brackets are not closed"),
        ("pair=shuffle(zip(a=[1,2],b=[1,2])", "its brackets are not closed"),
        ("pair=zip(a=[1,2),b=[1,2])", "its brackets do not match"),
        ("pair=zip(a=[1,2],b=['x,2])", "a quote is not closed"),
        ("pair=zip(a=[1,2],b=[1,2]) seed=1", "'seed=1' follows behind its end"),
        ("pair=zip(a=[b=c],d=[1])", "a=[b=c]: cannot be read as an override"),
        ("pair=sort(zip(a=[1,2],b=[1,2]))", "stands within sort(…), and only shuffle may be around a zip"),
        ("zip(a=[1,2],b=[1,2])", "a zip needs a name of your choice ahead of it"),
        ("=zip(a=[1,2],b=[1,2])", "a zip needs a name"),
        ("+pair=zip(a=[1,2],b=[1,2])", "pair is a name for the zip alone, and no key; leave the + out"),
        ("my.pair=zip(a=[1,2],b=[1,2])", "'my.pair' names a zip; use one word"),
        ("pär=zip(a=[1,2],b=[1,2])", "use one word"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(written, message):
    assert is_zip(written)
    with pytest.raises(ConfigError) as refused:
        parse_zip(written).rows()
    assert message in str(refused.value)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigError) as refused:
        parse_zip("pair=zip(a=1,b=interval(0,1),c)")
    assert len(refused.value.errors) == 3


@quick(300)
@given(
    st.text(max_size=30),
    st.sampled_from(["pair=zip({})", "pair=zip(a=[1,2],b={})", "pair=zip(a=[{},x],b=[1,2])", "{}=zip(a=[1],b=[2])"]),
)
@example("[", "pair=zip(a=[1,2],b={})")
@example("\\", "pair=zip(a=[{},x],b=[1,2])")
@example("'", "pair=zip(a=[{},x],b=[1,2])")
@example("${", "pair=zip(a=[{},x],b=[1,2])")
def test_any_text_is_a_zip_or_one_error(text, form):
    line = form.format(text)
    if is_zip(line):
        with contextlib.suppress(ConfigError):
            for row in parse_zip(line).rows():
                assert len(parse_overrides(row)) == len(row)


@pytest.mark.parametrize(
    "line", ["seed=1,2", "study_name='zip(a=[1],b=[2])'", "a=[zip]", "zip=1", "pair=zipper(1)", "~pair"]
)
def test_other_overrides_are_left_to_hydra(line):
    assert not is_zip(line)
    assert stand_in(line) is None
