"""Which weights each decay acts on, and what the hash of all weights depends on."""

import pytest
import torch
from torch import nn

from cifar_sweeps.models import ConvNet, SmallResNet, conv_kernels, weight_decay_parameters
from cifar_sweeps.models.parameter_groups import weights_hash


def names(model, parameters):
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    return [by_id[id(parameter)] for parameter in parameters]


def test_conv_kernels_are_the_convolutions_weights_alone():
    net = ConvNet([{"filters": [4, 4]}], dense=[8], batch_norm=True)
    assert names(net, conv_kernels(net)) == ["features.block1.conv1.weight", "features.block1.conv2.weight"]


def test_conv_kernels_of_a_resnet_include_stem_and_shortcuts():
    net = SmallResNet(widths=[4, 8])
    assert names(net, conv_kernels(net)) == [
        "stem.conv.weight",
        "blocks.block1.first.conv.weight",
        "blocks.block1.second.conv.weight",
        "blocks.block2.first.conv.weight",
        "blocks.block2.second.conv.weight",
        "blocks.block2.shortcut.conv.weight",
    ]


def test_decayed_weights_are_all_but_biases_and_norms():
    net = ConvNet([{"filters": [4]}, {"filters": [4], "batch_norm": True}], dense=[8])
    assert names(net, weight_decay_parameters(net)) == [
        "features.block1.conv1.weight",
        "features.block2.conv1.weight",
        "head.dense1.weight",
        "head.logits.weight",
    ]


def test_a_shared_weight_comes_once_and_a_frozen_one_never():
    first, second, frozen = (nn.Conv2d(3, 3, 3) for _ in range(3))
    second.weight = first.weight
    frozen.requires_grad_(False)
    net = nn.Sequential(first, second, frozen)
    assert names(net, conv_kernels(net)) == ["0.weight"]
    assert names(net, weight_decay_parameters(net)) == ["0.weight"]


def a_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    net[2].requires_grad_(False)
    return net


@pytest.mark.parametrize("name", ["0.weight", "1.bias", "1.running_mean", "2.weight"])
def test_the_hash_of_a_net_depends_on_every_weight_statistic_and_frozen_weight(name):
    net = a_net()
    assert weights_hash(net) == weights_hash(a_net())
    with torch.no_grad():
        net.state_dict()[name].flatten()[0] += 1e-3
    assert weights_hash(net) != weights_hash(a_net())


def test_the_hash_of_a_net_does_not_depend_on_its_memory_format():
    assert weights_hash(a_net().to(memory_format=torch.channels_last)) == weights_hash(a_net())
