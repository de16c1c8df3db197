"""Property tests: any overrides or config give a valid config or one clear error, never another exception."""

import contextlib
import os
import subprocess

import pytest
import torch
from data.data_toys import image_data
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cifar_sweeps.config import build
from cifar_sweeps.config.budget import apply_budget
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.hydra_messages import quote
from cifar_sweeps.config.parse import config_hash, from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.data.splits import split
from cifar_sweeps.errors import CifarSweepsError
from cifar_sweeps.models.argument_checks import ErrorList
from cifar_sweeps.models.kernel_sizes import expand_kernel_sizes
from cifar_sweeps.sweeps.manifest import run_name
from cifar_sweeps.system.files import file_name, is_inside


def quick(examples):
    """Return settings with the same examples every time, and no example database."""
    unhealthy = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=unhealthy
    )


PLAIN = compose([]).as_dict


def keys(node, prefix=""):
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")


KEYS = sorted(keys(PLAIN))
GROUPS = ("model", "data", "optimizer", "regularization", "kernel_size", "budget", "study", "experiment", "lr_schedule")
TARGETS = st.sampled_from(
    (
        "os.system",
        "torch.load",
        "torch.hub.load",
        "subprocess.Popen",
        "cifar_sweeps.config.build.os.system",
        "builtins.eval",
    )
) | st.sampled_from(("torch.optim.Adam", "cifar_sweeps.models.ConvNet", "torchvision.models.get_model", "", ".", "é"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.sampled_from([0, -1, 2**63, 2**64, 10**30, -(10**30)]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["", "???", "${seed}", "${oc.env:HOME}", "${nowhere}", "${", "${oc.decode:'[1'}", "${x:1}", "x" * 9000]
    ),
)
VALUES = st.recursive(
    SCALARS | st.builds(lambda target: {"_target_": target, "_args_": ["true"]}, TARGETS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WRITTEN = st.one_of(
    st.sampled_from(("", "null", "true", "nan", "inf", "-inf", "1e400", "9" * 40, "[]", "{}", "[1,[2]]", "[1")),
    st.sampled_from(("a,b", "1,2,3", "range(1,3)", "choice(1,2)", "glob(*)", "sort(3,1)", "shuffle(1,2)", "int('x')")),
    st.sampled_from(("${seed}", "${oc.env:NO_SUCH}", "${hydra:job.name}", "${now:%Y}", "${oc.decode:'{'}", "${")),
    st.sampled_from(("{_target_: os.system}", "../x", "'", '"', "\\", "é🎉\u202e", "\t", "!!python/none", "&a", "*a")),
)
OVERRIDES = st.one_of(
    st.builds(
        "{}{}={}".format,
        st.sampled_from(["", "+", "++", "~"]),
        st.sampled_from([*KEYS, *GROUPS]),
        WRITTEN | st.text(max_size=8),
    ),
    st.builds("~{}".format, st.sampled_from([*KEYS, *GROUPS])),
    st.builds("{}._target_={}".format, st.sampled_from(["model", "data.source", "optimizer", "augmentation"]), TARGETS),
    st.text(max_size=20),
)


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch):
    for module, name in ((os, "system"), (subprocess, "Popen"), (torch, "load"), (torch.hub, "download_url_to_file")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("was run"))


def check_config_or_error(make) -> None:
    """Check that ``make`` returns a valid config or raises one clear error, and each of its parts as well."""
    with contextlib.suppress(CifarSweepsError):
        config = make()
        assert isinstance(config, RunConfig)
        assert len(config_hash(config.as_dict)) == 16
        for part in (build.schedule, build.augmentation, build._check_source):
            with contextlib.suppress(CifarSweepsError):
                part(config)


@quick(30)
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
def test_any_overrides_make_a_config_or_one_error(overrides):
    check_config_or_error(lambda: compose(overrides))


@quick(300)
@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES), min_size=1, max_size=3))
def test_any_recorded_config_is_valid_or_one_error(changes):
    plain = copy_plain()
    for key, value in changes:
        *groups, name = key.split(".")
        node = plain
        for group in groups:
            node = node[group] if isinstance(node, dict) and isinstance(node.get(group), dict) else {}
        node[name] = value
    check_config_or_error(lambda: from_dict(plain))


def copy_plain():
    def copied(value):
        return {key: copied(entry) for key, entry in value.items()} if isinstance(value, dict) else value

    return copied(PLAIN)


@quick(100)
@given(st.dictionaries(st.text(max_size=8) | st.just("_target_") | st.just("_args_"), VALUES, max_size=4))
@example({"_args_": None})
@example({"_args_": "ab"})
def test_any_node_is_built_or_one_error(node):
    with contextlib.suppress(CifarSweepsError):
        build.build({"_target_": "cifar_sweeps.data.FlipCrop", **node}, "augmentation")


@quick(8)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"), max_size=30))
@example("a\\")
@example("it's ${oc.env:HOME}")
@example("\\${x}")
def test_a_quoted_string_is_unchanged(text):
    if text:
        assert compose([f"outputs={quote(text)}"]).outputs == text


@quick(300)
@given(st.text(), st.text())
@example("..", ".")
@example("a/b", "a_b")
@example("", "x" * 5000)
def test_file_names_stay_in_their_folder_are_short_and_differ(one, other):
    for name in map(file_name, (one, other)):
        assert name
        assert "/" not in name
        assert not name.startswith(".")
        assert len(f".{name}.html.1234567.tmp".encode()) <= 255
    if one != other:
        assert file_name(one).lower() != file_name(other).lower() or one.lower() == other.lower()


@quick(200)
@given(st.text(max_size=30))
def test_a_path_inside_a_folder_is_inside_once_resolved(tmp_path, text):
    inside = is_inside(f"{tmp_path}/{text}", tmp_path)
    if inside:
        assert os.path.realpath(f"{tmp_path}/{text}").startswith(os.path.realpath(tmp_path))
    assert not is_inside(f"{tmp_path}/../{text}/../..", tmp_path)


@quick(100)
@given(st.lists(st.text(max_size=60), max_size=70), st.lists(st.text(max_size=9), max_size=5))
def test_run_names_are_short(overrides, swept):
    assert len(run_name(overrides, tuple(swept))) <= 250


@quick(200)
@given(
    epochs=st.integers(1, 1000),
    factor=st.floats(0, 1, exclude_min=True),
    images=st.floats(0, 1, exclude_min=True),
    least=st.integers(1, 50),
    train_size=st.none() | st.integers(1, 10**6),
)
def test_a_budget_leaves_at_least_one_epoch_and_applies_once(epochs, factor, images, least, train_size):
    plain = copy_plain()
    plain["trainer"] |= {"epochs": epochs, "test_at": [1, epochs]}
    plain["data"]["train_size"] = train_size
    plain["budget"] |= {"epochs": factor, "images": images, "least_epochs": least, "full": None}
    scaled = apply_budget(plain)
    assert 1 <= scaled["trainer"]["epochs"] <= epochs
    assert all(1 <= epoch <= scaled["trainer"]["epochs"] for epoch in scaled["trainer"]["test_at"])
    assert scaled["data"]["train_size"] is None or 1 <= scaled["data"]["train_size"] <= train_size
    assert apply_budget(scaled) == scaled
    assert plain["trainer"]["epochs"] == epochs


@quick(100)
@given(
    count=st.integers(20, 80),
    fraction=st.floats(0, 0.9),
    kind=st.sampled_from(["stratified", "tail", "batch_1", "test"]),
    seed=st.integers(0, 2**63 - 1),
    parts=st.integers(1, 4),
)
def test_splits_are_disjoint_and_complete(count, fraction, kind, seed, parts):
    data = image_data(torch.arange(count) % 4)
    with contextlib.suppress(CifarSweepsError):
        found = split(data, fraction, kind, None, seed, parts=parts)
        held_out = [] if found.val_on_test else found.val.tolist()
        assert sorted([*found.train.tolist(), *held_out]) == list(range(count))


@quick(200)
@given(
    sizes=st.recursive(st.integers(-3, 9), lambda inner: st.lists(inner, max_size=4), max_leaves=8) | SCALARS,
    convolutions=st.lists(st.integers(0, 4), min_size=1, max_size=4),
)
def test_kernel_sizes_fit_the_blocks_or_are_errors(sizes, convolutions):
    errors = ErrorList()
    expanded = expand_kernel_sizes(sizes, convolutions, errors)
    assert [len(block) for block in expanded] == convolutions
    assert all(isinstance(size, int) and size >= 1 for block in expanded for size in block)


@pytest.mark.parametrize("key", ["retries", "timeout", "eta", "grace_epochs", "metric", "early_stopping", "exclude"])
def test_a_key_of_a_sweep_that_was_left_out_has_its_default(key):
    plain = copy_plain()
    del plain["sweep"][key]
    assert isinstance(from_dict(plain), RunConfig)
