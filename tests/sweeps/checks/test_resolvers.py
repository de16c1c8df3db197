"""Resolvers are replaced by their values once, so that resumed and reproduced runs are the same run."""

import pytest
from conftest import TINY, cifar_train
from hydra import compose
from omegaconf import OmegaConf

from cifar_sweeps.config.hydra_messages import quote
from cifar_sweeps.config.parse import conf_folder, parse_config
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import hydra_config, initialized_compose
from cifar_sweeps.sweeps.checks import resolvers
from cifar_sweeps.sweeps.manifest import read_manifest
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run


@pytest.fixture(scope="module")
def composed():
    """Composes a config with Hydra's part, from overrides."""
    with initialized_compose(conf_folder()):
        yield lambda *overrides: compose("config", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("study_name=${oc.env:WHO}", "study_name", "me"),
        ("study_name='a ${oc.env:WHO}, b'", "study_name", "a me, b"),
        ("study_name=${oc.env:ODD}", "study_name", "it's ${oc.env:WHO} \\\\ x"),
        ("seed='${oc.decode:${oc.env:N}}'", "seed", 7),
        ("data.source.root=${hydra:job.name}/imgs", "data.source.root", "cifar-train/imgs"),
        ("trainer.epochs=${oc.select:nothing,3}", "trainer.epochs", 3),
        ("trainer.test_at='${oc.decode:${oc.env:LIST}}'", "trainer.test_at", [1, 2]),
        ("trainer.test_at=['${oc.decode:${oc.env:N}}']", "trainer.test_at", [7]),
        ("study_name=${now:%f}", "study_name", None),
    ],
)
def test_a_recorded_override_means_the_same_elsewhere(composed, monkeypatch, override, key, value):
    for name, text in {"WHO": "me", "N": "7", "LIST": "[1,2]", "ODD": "it's ${oc.env:WHO} \\\\ x"}.items():
        monkeypatch.setenv(name, text)
    line = [override, "data=cifar10"]
    node = composed(*line)
    task = resolvers.resolve_task(node)
    [first, second] = resolvers.resolved_overrides(line, node, task)
    assert second == "data=cifar10"
    for name in ("WHO", "N", "LIST", "ODD"):
        monkeypatch.delenv(name)
    again = OmegaConf.select(resolvers.resolve_task(composed(first, second)), key)
    assert again == OmegaConf.select(task, key)
    assert value is None or again == value


def test_values_of_a_file_are_recorded_with_the_overrides(composed, monkeypatch):
    monkeypatch.setenv("N", "7")
    node = composed("optimizer=sgd")
    node.trainer.epochs = "${oc.decode:${oc.env:N}}"
    task = resolvers.resolve_task(node)
    assert resolvers.resolved_overrides(["optimizer=sgd"], node, task) == ["optimizer=sgd", "trainer.epochs=7"]
    assert parse_config(task).trainer.epochs == 7


def test_what_needs_no_resolver_is_recorded_as_typed(composed):
    typed = ["optimizer.lr=1e-3", "trainer.epochs=${seed}", "study_name=" + quote("${oc.env:HOME}"), "seed=3"]
    node = composed(*typed)
    assert resolvers.resolved_overrides(typed, node, resolvers.resolve_task(node)) == typed


def test_what_has_no_value_here_is_one_message(composed, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ConfigError, match=r"study_name=.*NOWHERE.*: has no value here"):
        resolvers.resolve_task(composed("study_name=${oc.env:NOWHERE}"))


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("data.source.root=${oc.env:WHO}/a,${oc.env:WHO}/b", "data.source.root=me/a,me/b"),
        ("study_name=${oc.env:WHO},x", "study_name=me,x"),
        ("seed=3,${hydra:job.num}", "seed=3,${hydra:job.num}"),
        ("seed=1,2", "seed=1,2"),
        ("seed=range(0,3)", "seed=range(0,3)"),
        ("model=glob(lenet*)", "model=glob(lenet*)"),
        ("p=zip(seed=[1,2],model=glob(lenet*))", "p=zip(seed=[1,2],model=glob(lenet*))"),
        (
            "p=zip(data.source.root=['${oc.env:WHO}/a, b',x],seed=range(2))",
            "p=zip(data.source.root=choice('me/a, b',x),seed=range(2))",
        ),
        (
            "p=shuffle(zip(study_name=choice(${oc.env:WHO},x),seed=[3,${hydra:job.num}]))",
            "p=shuffle(zip(study_name=choice(me,x),seed=[3,${hydra:job.num}]))",
        ),
    ],
)
def test_the_values_that_a_sweep_varies(composed, monkeypatch, typed, recorded):
    monkeypatch.setenv("WHO", "me")
    assert resolvers.resolved_sweep([typed], composed("data=cifar10")) == [recorded]


def test_a_zip_of_a_study_is_recorded_with_its_values_unless_another_one_of_its_name_is_typed(composed, monkeypatch):
    monkeypatch.setenv("WHO", "me")
    node = composed("data=cifar10")
    node.hydra.sweeper.params = {"p": "zip(data.source.root=[${oc.env:WHO},x],seed=[1,2])"}
    assert resolvers.resolved_sweep(["data=cifar10"], node) == [
        "data=cifar10",
        "p=zip(data.source.root=[me,x],seed=[1,2])",
    ]
    typed = ["data=cifar10", "p=zip(data.source.root=[a,b],seed=[1,2])"]
    assert resolvers.resolved_sweep(typed, node) == typed


def test_one_command_resolves_the_time_once(composed):
    node = composed("study_name=${now:%f}")
    first = resolvers.resolve_task(node).study_name
    assert resolvers.resolve_task(node).study_name == first
    with hydra_config(node):
        assert node.study_name == first


@pytest.mark.slow
def test_a_sweep_with_resolvers_is_recorded_and_resumed_resolved(outputs):
    swept = (
        "seed=0,${hydra:job.num}",
        "study_name=${oc.env:WHO}-${now:%f}",
        "hydra.sweep.subdir=s${hydra:job.num}-${now:%f}",
        "hydra.sweep.dir=${outputs}/sweeps/${hydra:job.name}",
    )
    done = cifar_train("-m", *swept, "analysis.pictures=false", "analysis.log_model=false", *TINY, WHO="me")
    assert done.returncode == 0, done.stderr
    [sweep] = (outputs / "sweeps").iterdir()
    manifest = read_manifest(sweep)
    assert manifest.study.startswith("me-")
    assert f"study_name={manifest.study}" in manifest.command
    runs = [read_run(folder) for folder in journal.folders(sweep) if folder != sweep]
    assert sorted(run.name for run in runs) == ["seed=0", "seed=1"]
    assert not any("${" in str(run.tag("overrides")) for run in runs)
    again = cifar_train(*manifest.command, CIFAR_SWEEPS_GOES_ON=str(sweep))
    assert again.returncode == 0, again.stderr
    assert "2 jobs had finished before" in again.stdout
