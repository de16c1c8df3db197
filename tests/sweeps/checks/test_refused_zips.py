"""What is wrong with the zips of a sweep is told before anything is trained, and with one error."""

import pytest
from hydra.types import RunMode

from cifar_sweeps.config.grid.zips import stand_in
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import current_loader, hooks, initialized_compose
from cifar_sweeps.sweeps.checks.zips import check_zips

PAIR = "pair=zip(model=[plain_3,lenet_3],optimizer.lr=[0.01,0.001])"


@pytest.fixture(scope="module")
def check():
    """Checks a sweep of these overrides, as the command does."""
    with initialized_compose(conf_folder()):
        loader = current_loader()

        def of(*overrides, **params):
            with hooks(check=lambda config: None, stand_in=stand_in):
                config = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
            check_zips(loader, overrides, params, config)

        yield of


@pytest.mark.parametrize(
    ("overrides", "params", "messages"),
    [
        ([PAIR.replace("0.01,", "")], {}, ["pair=zip(…): its keys step together"]),
        ([PAIR, "seed=1,2", "optimizer.lr=0.1"], {}, ["optimizer.lr: is given twice, in pair=zip(…) and in"]),
        ([PAIR, PAIR.replace("pair", "two")], {}, ["model: is given twice", "optimizer.lr: is given twice"]),
        ([PAIR, PAIR], {}, ["pair=zip(…): 2 zips have this name; give each its own"]),
        ([PAIR.replace("pair", "model")], {}, ["model=zip(…): model is a config group, and a zip's name is only"]),
        ([PAIR.replace("pair", "seed")], {}, ["seed=zip(…): seed is a key of the config", "as seed_pair=zip(…)"]),
        ([PAIR, "hydra/sweeper=basic"], {}, ["pair=zip(…): hydra/sweeper=basic does not do this; leave"]),
        (["seed=1,2", "hydra/sweeper=basic", 'sweep.exclude=["seed=1"]'], {}, ["sweep.exclude: hydra/sweeper=basic"]),
        (["seed=1,2", "sweep.exclude=\"seed=1\""], {}, ["""write 'sweep.exclude=["seed=1"]'"""]),
        (["seed=1,2", "sweep.exclude=[1]"], {}, ["sweep.exclude=[1]: must be a list of rules, each in quotes"]),
        (["seed=1,2", 'sweep.exclude="seed=1","seed=2"'], {}, ["sweep.exclude: is one for the whole sweep"]),
        (["p=zip(seed=[1,2],sweep.exclude=[[],[]])"], {}, ["sweep.exclude: is one for the whole sweep"]),
        (["seed=1,2", 'sweep.exclude=["seed==1","seed<2"]'], {}, ["compare with a single =", "with = and != alone"]),
        ([], {"pair": PAIR.partition("=")[2].replace("0.01,", "")}, ["pair=zip(…): its keys step together"]),
        (["seed=1"], {"p": "zip(seed=[1,2],model=[plain_3,lenet_3])"}, ["or the study's by '~hydra.sweeper.params.p'"]),
    ],
)  # fmt: skip
def test_it_is_refused(check, overrides, params, messages):
    with pytest.raises(ConfigError) as refused:
        check(*overrides, **params)
    for message in messages:
        assert message in str(refused.value)


def test_all_of_it_is_told_at_once(check):
    with pytest.raises(ConfigError) as refused:
        check(PAIR.replace("0.01,", ""), "model=a,b", 'sweep.exclude=["model"]')
    assert len(refused.value.errors) == 3


@pytest.mark.parametrize(
    ("overrides", "params"),
    [
        ([PAIR, "seed=1,2", 'sweep.exclude=["model=lenet_3 and seed=1"]'], {}),
        ([PAIR], {"pair": "zip(seed=[1,2],model=[plain_3,lenet_3])"}),
        (["pair=zip(model=glob(lenet*),seed=[1,2])", "model.init=torch"], {}),
        (["seed=1,2", "sweep.exclude=null", "hydra/sweeper=basic"], {}),
        (["seed=1,2", "~sweep.exclude"], {}),
    ],
)
def test_it_is_taken(check, overrides, params):
    check(*overrides, **params)
