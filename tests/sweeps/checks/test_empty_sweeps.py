"""A sweep without a job is refused: nothing done is no success."""

import pytest
from conftest import cifar_train

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import current_loader, initialized_compose
from cifar_sweeps.sweeps.checks.empty_sweeps import check_not_empty


@pytest.fixture(scope="module")
def loader():
    with initialized_compose(conf_folder()):
        yield current_loader()


@pytest.mark.parametrize(
    ("overrides", "params", "study", "message"),
    [
        (["model=glob(lenett*)"], {}, None, "matches no option of model, so that there is no job; there are base_cnn"),
        (["model=glob([x*,y*])"], {}, None, "matches no option of model"),
        (["model=glob(*,exclude=*)"], {}, None, "matches no option of model"),
        (["experiment=glob(base_cnn/*)"], {}, None, "write experiment=base_cnn/augmented,base_cnn/base,"),
        (["experiment=glob('base_cnn/l*')"], {}, None, "write experiment=base_cnn/longer"),
        (["seed=glob(*)"], {}, None, "seed is no group of files"),
        (["seed=range(5,5)"], {}, None, "seed=range(5,5): is an empty range"),
        (["seed=range(3,0)"], {}, None, "is an empty range"),
        (["optimizer.lr=range(1,0,0.1)"], {}, None, "is an empty range"),
        (["+seed=range(0)"], {}, None, "is an empty range"),
        ([], {"seed": "range(2,2)"}, "mine", "seed=range(2,2): is an empty range"),
        (["seed=range(2,2)"], {"seed": "1,2"}, "mine", "is an empty range"),
        ([], {}, "mine", "study=mine: sweeps nothing"),
        (["seed=3"], {}, "mine", "study=mine: sweeps nothing"),
    ],
)
def test_what_gives_no_job_is_refused(loader, overrides, params, study, message):
    with pytest.raises(ConfigError) as refused:
        check_not_empty(loader, overrides, params, study)
    assert message in str(refused.value)


def test_all_of_them_are_told_at_once(loader):
    with pytest.raises(ConfigError) as refused:
        check_not_empty(loader, ["model=glob(x*)", "seed=range(2,2)"], {"optimizer.lr": "range(1,0)"}, "mine")
    assert len(refused.value.errors) == 3


@pytest.mark.parametrize(
    ("overrides", "params", "study"),
    [
        (["model=glob(lenet*)", "seed=range(0,2)"], {}, None),
        (["seed=range(3,0,-1)"], {}, None),
        (["seed=1"], {"seed": "range(2,2)"}, "mine"),
        (["seed=1,2"], {}, "mine"),
        (["seed=1"], {}, None),
        ([], {"seed": "1"}, "mine"),
    ],
)
def test_what_gives_a_job_is_taken(loader, overrides, params, study):
    check_not_empty(loader, overrides, params, study)


@pytest.mark.parametrize("launcher", ["local", "basic"])
def test_nothing_is_left_of_a_sweep_without_a_job(outputs, launcher):
    done = cifar_train("-m", "model=glob(lenett*)", f"hydra/launcher={launcher}")
    assert done.returncode == 1
    assert done.stderr.startswith("ConfigError: model=glob(lenett*): matches no option of model")
    assert not list(outputs.iterdir())
