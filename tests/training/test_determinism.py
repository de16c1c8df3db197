"""Seeds, deterministic kernels and threads."""

import random

import numpy as np
import pytest
import torch

from cifar_sweeps.training.determinism import make_deterministic, seed_everything, set_threads


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_a_seed_fixes_all_generators(seed):
    def draw():
        seed_everything(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


def test_deterministic_kernels_are_asked_for_and_new_tensors_stay_unfilled():
    try:
        make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        set_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        set_threads(before)
