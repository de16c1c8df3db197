"""Optimizer steps are those of torch, without importing torch._dynamo."""

import subprocess
import sys

import pytest
import torch

from cifar_sweeps.training.adamax import Adamax
from cifar_sweeps.training.dynamo import undecorated_step
from cifar_sweeps.training.optimizer import RegularizedOptimizer

OPTIMIZERS = {
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.1, fused=True),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, lr=0.01, foreach=True),
    "adamax": lambda weights: Adamax(weights, lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_the_optimizer_to_the_last_bit(name):
    results = []
    for take in (undecorated_step, lambda optimizer: optimizer.step):
        generator = torch.Generator().manual_seed(1)
        weight = torch.nn.Parameter(torch.randn(7, 5, generator=generator))
        optimizer = OPTIMIZERS[name]([weight])
        for _ in range(4):
            weight.grad = torch.randn(7, 5, generator=generator)
            with torch.no_grad():
                take(optimizer)()
        results.append(weight.detach())
    assert torch.equal(*results)


def test_a_decorated_step_of_a_users_optimizer_stays_decorated():
    counted = []

    def counting(step):
        def counted_step(self):
            counted.append(1)
            return step(self)

        counted_step.__wrapped__ = step
        return counted_step

    class Decorated(torch.optim.SGD):
        @counting
        def step(self, closure=None):
            return super().step(closure)

    optimizer = RegularizedOptimizer(Decorated([torch.nn.Parameter(torch.ones(1))], lr=0.1))
    optimizer.step()
    assert counted == [1]


def test_training_does_not_import_the_compiler():
    code = """
import sys, torch
from cifar_sweeps.training.optimizer import RegularizedOptimizer
weight = torch.nn.Parameter(torch.ones(3))
optimizer = RegularizedOptimizer(torch.optim.Adam([weight], lr=.1))
weight.sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
assert weight[0] < 1
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
