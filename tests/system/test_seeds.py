"""Every source of randomness has its own seeds, on every machine and in every version the same."""

import itertools

import pytest

from cifar_sweeps.system.seeds import derive_seed


def test_different_arguments_give_different_seeds():
    streams = ("order", "augmentation", "dropout", "validation", "train_size")
    arguments = list(itertools.product((0, 1, 11, 2**63 - 1), streams, (0, 1, 2, 11, 111)))
    assert len({derive_seed(*each) for each in arguments}) == len(arguments)


def test_seeds_lie_in_the_range_that_torch_accepts():
    seeds = [derive_seed(seed, "order", epoch) for seed in range(50) for epoch in range(50)]
    assert min(seeds) >= 0
    assert 2**62 < max(seeds) < 2**63


@pytest.mark.parametrize(
    ("arguments", "seed"),
    [
        ((0, "order", 1), 2961819992523135983),
        ((7, "dropout", 200), 1530994874472555240),
    ],
    ids=str,
)
def test_seeds_stay_those_of_recorded_runs(arguments, seed):
    assert derive_seed(*arguments) == seed
