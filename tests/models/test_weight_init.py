"""Initial weights follow the formula, and the global seed alone decides them."""

import math

import pytest
import torch
from torch import nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import ConvNet, initialize_weights


@pytest.mark.parametrize(
    ("module", "fans"),
    [
        (nn.Conv2d(32, 64, 3), 3 * 3 * 32 + 3 * 3 * 64),
        (nn.Conv2d(16, 48, 5, bias=False), 5 * 5 * 16 + 5 * 5 * 48),
        # Keras' depthwise kernel has the shape (3, 3, channels, 1).
        (nn.Conv2d(4096, 4096, 3, groups=4096), 3 * 3 * 4096 + 3 * 3),
        (nn.Linear(300, 200), 300 + 200),
    ],
    ids=["3x3", "5x5 without bias", "depthwise", "dense"],
)
def test_glorot_uniform_fills_its_interval(module, fans):
    torch.manual_seed(0)
    initialize_weights(module, "glorot_uniform")
    limit = math.sqrt(6 / fans)
    weight = module.weight.detach()
    assert 0.99 * limit < weight.abs().max() <= limit
    assert weight.mean().abs() < 0.02 * limit
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert module.bias is None or not module.bias.any()


def test_norms_start_as_identity():
    net = ConvNet([{"filters": [8]}], batch_norm=True)
    norm = net.features.block1.norm1
    assert norm.weight.eq(1).all()
    assert norm.bias.eq(0).all()


def test_torch_leaves_the_weights():
    torch.manual_seed(0)
    drawn = nn.Linear(8, 8)
    before = drawn.weight.clone()
    initialize_weights(drawn, "torch")
    assert torch.equal(drawn.weight, before)


@pytest.mark.parametrize("init", ["glorot_uniform", "torch"])
def test_same_seed_same_weights(init):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in ConvNet([{"filters": [8, 8]}], dense=[8], init=init).parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_unknown_init():
    with pytest.raises(ConfigError, match=r"model\.init=glorot_unifrom: unknown; did you mean 'glorot_uniform'\?"):
        initialize_weights(nn.Linear(2, 2), "glorot_unifrom")
