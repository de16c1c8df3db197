"""The summary against numbers worked out by hand."""

import torch
from torch import nn

from cifar_sweeps.models import ConvNet, LayerSummary, SmallResNet, summarize


def test_a_small_net_by_hand():
    net = ConvNet([{"filters": [4, 6], "padding": ["same", "valid"]}], dense=[5], image_size=8, batch_norm=True)
    maps, valid, pooled = 8 * 8, 6 * 6, 3 * 3
    block = "features.block1"
    summary = summarize(net, (3, 8, 8))
    assert summary.layers == (
        LayerSummary(f"{block}.conv1", "Conv2d", (4, 8, 8), 3 * 3 * 3 * 4, 3 * 3 * 3 * 4 * maps),
        LayerSummary(f"{block}.norm1", "BatchNorm2d", (4, 8, 8), 2 * 4, 0),
        LayerSummary(f"{block}.activation1", "ReLU", (4, 8, 8), 0, 0),
        LayerSummary(f"{block}.conv2", "Conv2d", (6, 6, 6), 3 * 3 * 4 * 6, 3 * 3 * 4 * 6 * valid),
        LayerSummary(f"{block}.norm2", "BatchNorm2d", (6, 6, 6), 2 * 6, 0),
        LayerSummary(f"{block}.pool", "MaxPool2d", (6, 3, 3), 0, 0),
        LayerSummary(f"{block}.activation2", "ReLU", (6, 3, 3), 0, 0),
        LayerSummary("head.dense1", "Linear", (5,), 6 * pooled * 5 + 5, 6 * pooled * 5),
        LayerSummary("head.activation1", "ReLU", (5,), 0, 0),
        LayerSummary("head.logits", "Linear", (10,), 5 * 10 + 10, 5 * 10),
    )
    assert summary.parameters == 108 + 8 + 216 + 12 + 275 + 60
    assert summary.trainable == summary.parameters
    assert summary.multiply_adds == 108 * maps + 216 * valid + 270 + 50


def test_grouped_convolution():
    summary = summarize(nn.Conv2d(8, 8, 3, groups=8, stride=2, padding=1), (8, 10, 10))
    assert (summary.parameters, summary.multiply_adds) == (8 * 9 + 8, 8 * 9 * 5 * 5)


def test_a_shared_weight_counts_once_and_works_twice():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    summary = summarize(nn.Sequential(first, first, second), (4,))
    assert summary.parameters == 4 * 4 + 4
    assert [layer.parameters for layer in summary.layers] == [20, 0, 0]
    assert summary.multiply_adds == 3 * 16


def test_frozen_parameters_are_not_trainable():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    net[0].requires_grad_(False)
    summary = summarize(net, (4,))
    assert (summary.parameters, summary.trainable) == (15 + 8, 8)


def test_the_model_stays_as_it_is():
    net = SmallResNet(widths=[4, 8], dropout=0.5)
    net.blocks.eval()
    modes = [module.training for module in net.modules()]
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    generator = torch.get_rng_state()
    summarize(net)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert not any(module._forward_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())
