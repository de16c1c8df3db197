"""A sweep with a zip and an exclusion in real processes: recorded, resumed and repeated like any other."""

import shlex
import sys

import pytest
from conftest import TINY, cifar_train

from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.sweeps.manifest import find_manifests
from cifar_sweeps.tracking.store import Store

PAIR = "pair=zip(optimizer=[adam,sgd],optimizer.lr=[1e-3,0.1])"
SMALL = (*TINY, "trainer.epochs=1", "analysis=none", "sweep.report=false")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts processes")


def children():
    """The runs by name, in the order of their jobs: two that start together may be listed either way."""
    runs = find_runs("cifar_sweeps", Store.open()).runs
    return {run.name: run for run in sorted(runs, key=lambda run: int(run.tag("job")))}


@pytest.mark.slow
def test_pairs_are_trained_and_the_same_sweep_with_another_rule_trains_what_is_left(outputs):
    done = cifar_train("-m", PAIR, "seed=0,1", 'sweep.exclude=["optimizer=sgd and seed=1"]', *SMALL)
    assert done.returncode == 0, done.stderr
    assert "Left out by sweep.exclude 'optimizer=sgd and seed=1': 1 of 4 jobs\n" in done.stdout
    first = children()
    assert [*first] == [
        "optimizer=adam lr=0.001 seed=0",
        "optimizer=adam lr=0.001 seed=1",
        "optimizer=sgd lr=0.1 seed=0",
    ]
    again = cifar_train("-m", PAIR.replace("pair", "p"), "seed=0,1", 'sweep.exclude=["optimizer=adam"]', *SMALL)
    assert again.returncode == 0, again.stderr
    assert "3 jobs there, 1 new" in again.stdout
    runs = children()
    assert {name: run.tag("job") for name, run in runs.items()} == {
        **{name: str(number) for number, name in enumerate(first)},
        "optimizer=sgd lr=0.1 seed=1": "3",
    }
    assert {name: run.run_id for name, run in runs.items() if name in first} == {
        name: run.run_id for name, run in first.items()
    }
    for name, run in runs.items():
        optimizer, rate, seed = (pair.partition("=")[2] for pair in name.split())
        assert run.swept == {"optimizer": optimizer, "optimizer.lr": rate, "seed": seed}
        typed = shlex.split(run.tag("overrides"))
        assert typed[:3] == [f"optimizer={optimizer}", f"optimizer.lr={rate}", f"seed={seed}"]
        assert not any(line.startswith(("pair", "p=", "sweep.exclude")) for line in typed)
    [(_, manifest)] = find_manifests(outputs)
    assert manifest.swept == ("optimizer", "optimizer.lr", "seed")


@pytest.mark.slow
def test_hydra_s_basic_launcher_trains_pairs_too(outputs):
    rule = 'sweep.exclude=["optimizer=sgd and seed=1"]'
    done = cifar_train("-m", PAIR, "seed=0,1", rule, "hydra/launcher=basic", *SMALL)
    assert done.returncode == 0, done.stderr
    assert sorted(children()) == [
        "optimizer=adam lr=0.001 seed=0",
        "optimizer=adam lr=0.001 seed=1",
        "optimizer=sgd lr=0.1 seed=0",
    ]
