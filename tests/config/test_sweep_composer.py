"""A job composed in the quick way is the one that Hydra composes from its files."""

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.sweep_composer import SweepComposer, SweepComposerCache
from cifar_sweeps.hydra_support import hooks, initialized_compose


@pytest.fixture
def loader():
    with initialized_compose(conf_folder()):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def master(loader):
    return loader.load_configuration("config", ["seed=0,1", "hydra.launcher.n_jobs=1"], RunMode.MULTIRUN)


@pytest.fixture
def composed():
    """The overrides that were composed from files."""
    return []


@pytest.fixture
def composer(loader, master, composed):
    def compose(loader, master, overrides):
        composed.append(list(overrides))
        return ConfigLoaderImpl.load_sweep_config(loader, master, overrides)

    return SweepComposer(compose, loader, master)


JOBS = [
    ["seed=0", "model=lenet_3", "optimizer.lr=0.01"],
    ["seed=1", "model=lenet_3", "optimizer.lr=1e-3"],
    ["seed=2", "model=lenet_3", "optimizer.lr=1e-4"],
    ["seed=0", "model=lenet_3", "optimizer=adam", "study_name='a, b'"],
    ["seed=9", "model=lenet_3", "optimizer=adam", "study_name=null"],
    ["seed=9", "model=lenet_3", "optimizer=adam", "study_name=${data.name}"],
    ["seed=0", "model.dense=[16]", "model.blocks=[{filters: [8]}]", "model.blocks.0.filters=[4]"],
    ["seed=1", "model.dense=[16]", "model.blocks=[{filters: [8]}]", "model.blocks.0.filters=[4]"],
    ["seed=0", "+experiment=case_study/model_3", "trainer.early_stopping.patience=3"],
    ["seed=5", "+experiment=case_study/model_3", "trainer.early_stopping.patience=4"],
    ["seed=0", "hydra.job.name=named", "trainer.channels_last=true"],
    ["seed=1", "hydra.job.name=named", "trainer.channels_last=false"],
]


def test_every_job_is_the_one_that_hydra_composes(loader, master, composer, composed):
    for overrides in JOBS:
        overrides = [o.replace("+experiment", "experiment") for o in overrides]
        expected = ConfigLoaderImpl.load_sweep_config(loader, master, list(overrides))
        assert OmegaConf.to_container(composer.job(overrides)) == OmegaConf.to_container(expected), overrides
    assert len(composed) < len(JOBS)


def test_jobs_that_differ_in_values_alone_are_composed_once(composer, composed):
    for seed in range(5):
        for rate in ("0.1", "0.2"):
            job = composer.job([f"seed={seed}", f"optimizer.lr={rate}", "model=lenet_3"])
            assert (job.seed, job.optimizer.lr) == (seed, float(rate))
            job.seed = 77  # what the caller does to it is the caller's
    assert len(composed) == 1


def outcome(compose):
    try:
        return OmegaConf.to_container(compose())
    except (HydraException, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    "override", ["optimizer.lrr=1", "trainer=3", "model=no_such", "seed=[1,2]", "~seed", "+new=1", "trainer.epochs="]
)
def test_what_does_not_simply_replace_a_value_is_left_to_hydra(loader, master, composer, override):
    composer.job(["seed=1", "trainer.epochs=2"])
    expected = outcome(lambda: ConfigLoaderImpl.load_sweep_config(loader, master, [override]))
    assert outcome(lambda: composer.job([override])) == expected


def test_a_line_that_is_no_override_is_refused_as_hydra_refuses_it(composer):
    with pytest.raises(OverrideParseException):
        composer.job(["seed=1", "a=b=[c"])


def test_hydra_composes_by_way_of_it_within_and_as_before_afterwards(loader, master):
    before = ConfigLoaderImpl.load_sweep_config
    with hooks(check=lambda config: None, compose=SweepComposerCache()):
        assert ConfigLoaderImpl.load_sweep_config is not before
        assert loader.load_sweep_config(master, ["seed=3"]).seed == 3
    assert ConfigLoaderImpl.load_sweep_config is before
