"""Configs that are composed quickly are those that Hydra composes."""

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigSource
from omegaconf import OmegaConf

from cifar_sweeps.config.compose import compose, compose_node
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_composition_cache import compose_without_hydra, composition_cache
from cifar_sweeps.hydra_support import initialized_compose

CHOSEN = [
    [],
    ["experiment=case_study/model_3", "seed=3", "~optimizer.betas"],
    ["experiment=keras_lesson/mobilenet_v2", "model=lenet_3", "+data.more=[1,{a: 2}]"],
    ["study=case_study", "experiment=case_study/model_1", "budget=short"],
    ["study=quickstart", "kernel_size=k3"],
    ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "optimizer=sgd"],
    ["hydra.job.name=mine", "trainer.epochs=3"],
]


def _told(config):
    """Return a config unresolved and with the order of its keys, and whether it takes new keys."""
    return OmegaConf.to_yaml(config), OmegaConf.is_struct(config), OmegaConf.is_readonly(config)


@pytest.fixture(scope="module")
def hydras():
    """What Hydra composes by itself, with its own part and without it."""
    with initialized_compose(conf_folder()):
        return [
            [_told(hydra.compose("config", overrides=each, return_hydra_config=whole)) for each in CHOSEN]
            for whole in (True, False)
        ]


def test_configs_of_files_that_are_read_once_are_those_of_files_that_are_read_each_time(hydras):
    with composition_cache(), initialized_compose(conf_folder()):
        composed = [
            [_told(hydra.compose("config", overrides=each, return_hydra_config=whole)) for each in CHOSEN]
            for whole in (True, False)
        ]
    assert composed == hydras


def test_a_config_without_hydras_own_part_is_what_hydra_leaves_of_the_whole(hydras):
    with composition_cache(), initialized_compose(conf_folder()):
        assert [_told(compose_without_hydra("config", each)) for each in CHOSEN] == hydras[1]


def test_each_file_is_read_once_and_hydras_own_part_only_where_it_is_asked_for(monkeypatch):
    read = []
    own = ConfigSource._get_header_dict

    def noted(text):
        read.append(text)
        return own(text)

    monkeypatch.setattr(ConfigSource, "_get_header_dict", staticmethod(noted))
    with composition_cache(), initialized_compose(conf_folder()):
        for _ in range(3):
            compose_without_hydra("config", ["experiment=case_study/model_3"])
        assert len(read) == len(set(read))
        assert not any("cifar-train --help" in text for text in read)
        hydra.compose("config", overrides=["experiment=case_study/model_3"])
        assert len(read) == len(set(read))


@pytest.mark.parametrize(
    "overrides",
    [["seeed=3"], ["model=none_such"], ["seed=1,2"], ["hydra/launcher=none_such"], ["+model=lenet_3"], ["seed=["]],
    ids=" ".join,
)
def test_what_is_refused_is_refused_in_hydras_words(overrides):
    with initialized_compose(conf_folder()), pytest.raises(Exception) as plain:  # noqa: PT011 (any of Hydra's)
        hydra.compose("config", overrides=overrides)
    with composition_cache(), initialized_compose(conf_folder()), pytest.raises(type(plain.value)) as quick:
        compose_without_hydra("config", overrides)
    assert str(quick.value) == str(plain.value)


def test_what_our_studies_set_of_hydras_own_part_is_accepted_by_hydra():
    """Composed without that part, nothing else checks it."""
    studies = sorted(path.stem for path in (conf_folder() / "study").glob("*.yaml"))
    assert "quickstart" in studies
    with composition_cache(), initialized_compose(conf_folder()):
        for study in studies:
            hydra.compose("config", overrides=[f"study={study}"], return_hydra_config=True)


def test_another_hydras_insides_are_no_reason_to_fail(monkeypatch):
    monkeypatch.setattr("cifar_sweeps.hydra_composition_cache.defaults_list", None)
    with initialized_compose(conf_folder()):
        assert compose_without_hydra("config", ["seed=3"]).seed == 3


def test_files_of_the_users_own_are_read_before_ours_and_read_anew_by_the_next_command(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "optimizer").mkdir()
    own = tmp_path / "experiment" / "mine.yaml"
    own.write_text("# @package _global_\ndefaults: [{override /optimizer: mild}]\nseed: 7\n", encoding="utf-8")
    (tmp_path / "optimizer" / "mild.yaml").write_text("_target_: torch.optim.SGD\nlr: 0.5\n", encoding="utf-8")
    composed = compose(["experiment=mine"], tmp_path)
    assert (composed.seed, composed.optimizer["lr"]) == (7, 0.5)
    own.write_text("# @package _global_\ndefaults: [{override /hydra/launcher: slurm}]\nseed: 8\n", encoding="utf-8")
    assert compose(["experiment=mine"], tmp_path).seed == 8
    with pytest.raises(ConfigError):
        compose(["experiment=mine"])


def test_an_interpolation_in_a_defaults_list_chooses_as_with_hydra(tmp_path):
    for group, name in (("a", "x"), ("a", "y"), ("b", "of_x"), ("b", "of_y")):
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    (tmp_path / "config.yaml").write_text("defaults: [{a: x}, {b: 'of_${a}'}, _self_]\n", encoding="utf-8")
    with composition_cache(), initialized_compose(tmp_path):
        assert compose_without_hydra("config", []).b.name == "of_x"
        assert compose_without_hydra("config", ["a=y"]).b.name == "of_y"
        assert hydra.compose("config", overrides=["a=y"]).b.name == "of_y"


def test_hydra_of_a_running_application_is_its_own_again_afterwards():
    with initialized_compose(conf_folder()):
        before = GlobalHydra.instance().hydra
        compose_node([])
        assert GlobalHydra.instance().hydra is before
