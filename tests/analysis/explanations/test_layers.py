"""Which layers put out maps, under which names, and which of them are shown."""

import pytest
import torch
from analysis.explanations.nets import BUILDERS, CONVOLUTIONAL, make
from torch import nn

from cifar_sweeps.analysis.explanations.feature_maps import feature_maps, telling_channels
from cifar_sweeps.analysis.explanations.filters import first_filters
from cifar_sweeps.analysis.explanations.layers import choose_layers, default_layers, last_map, map_layers
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import summarize

IMAGE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BUILDERS)
def test_names_and_sizes_are_those_of_the_summary(name):
    net = make(name)
    leaves = {layer.name: layer.shape for layer in map_layers(net, IMAGE) if layer.is_leaf}
    rows = {
        row.name: "×".join(map(str, row.output_shape)) for row in summarize(net).layers if len(row.output_shape) == 3
    }
    assert leaves == rows


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Behind the activation, which comes after the pool.
        ("conv_net", ["features.block1.conv1", "features.block1.conv2", "features.block2.activation1"]),
        ("conv_net_norm", ["features.block1.conv1", "features.block2.conv1", "features.block2.activation1"]),
        # The block: what its last convolution puts out lacks the shortcut.
        ("small_resnet", ["stem.conv", "blocks.block2.second.conv", "blocks.block3"]),
        # The last convolutions' maps are one pixel; a block's ReLU is called twice, the block once.
        ("resnet18", ["conv1", "layer2.0.downsample.0", "layer3.1"]),
        (
            "vgg16_frozen",
            ["backbone.layers.block1_conv1", "backbone.layers.block2_conv1", "backbone.layers.block2_conv2_relu"],
        ),
        ("linear", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_three_layers_are_shown_by_default(name, expected):
    assert [layer.name for layer in default_layers(map_layers(make(name), IMAGE))] == expected


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_map_of_grad_cam_has_places(name):
    last = last_map(map_layers(make(name), IMAGE))
    assert last is not None
    assert last.height * last.width > 1
    assert last.calls == 1


def test_where_a_pool_comes_first_it_is_the_activation_behind_it():
    conv, pool, relu = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.LeakyReLU(0.1, inplace=True)
    assert last_map(map_layers(nn.Sequential(conv, pool, relu, nn.Dropout()), IMAGE)).name == "2"
    assert last_map(map_layers(nn.Sequential(conv, relu, pool), IMAGE)).name == "1"
    assert last_map(map_layers(nn.Sequential(conv, pool), IMAGE)).name == "0"  # there is none


def test_unknown_layers_are_one_error_with_the_names():
    layers = map_layers(make("conv_net"), IMAGE)
    with pytest.raises(ConfigError) as caught:
        choose_layers(["features.block1.conv3", "head.logits"], layers)
    assert len(caught.value.errors) == 2
    assert "features.block2.conv1" in str(caught.value)
    assert "did you mean 'features.block1.conv2'?" in str(caught.value)
    with pytest.raises(ConfigError, match="this network has no layer with maps"):
        choose_layers(["0"], map_layers(make("linear"), IMAGE))


def test_chosen_layers_keep_their_order_and_may_be_blocks():
    layers = map_layers(make("small_resnet"), IMAGE)
    assert [layer.name for layer in choose_layers(["blocks.block2", "stem.conv"], layers)] == [
        "blocks.block2",
        "stem.conv",
    ]


def test_maps_are_what_the_layer_put_out_before_the_next_worked_in_place():
    net = make("conv_net")
    maps = feature_maps(net, IMAGE, ["features.block1.conv1", "features.block1.activation1"])
    block = net.features.block1
    conv = nn.functional.conv2d(IMAGE, block.conv1.weight, block.conv1.bias, padding=1)
    torch.testing.assert_close(maps["features.block1.conv1"], conv)
    assert (maps["features.block1.conv1"] < 0).any()
    torch.testing.assert_close(maps["features.block1.activation1"], conv.clamp_min(0))


def test_of_a_layer_that_is_called_twice_the_last_call_is_recorded():
    relu = nn.ReLU(inplace=True)
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
    net = nn.Sequential(first, relu, second, relu)
    (layer,) = [layer for layer in map_layers(net, IMAGE) if layer.name == "1"]
    assert (layer.calls, layer.shape) == (2, "5×28×28")
    torch.testing.assert_close(feature_maps(net, IMAGE, ["1"])["1"], second(first(IMAGE).relu()).relu())


def test_the_channels_that_vary_most_are_picked():
    maps = torch.zeros(2, 4, 3, 3)
    maps[:, 2, 0, 0], maps[:, 0] = 9.0, 5.0  # one pixel differs; all are alike
    maps[0, 3, 1, 1] = 1.0
    assert telling_channels(maps, 2) == [2, 3]
    assert telling_channels(maps, 9) == [0, 1, 2, 3]


def test_first_filters_are_in_the_order_of_the_image():
    net = make("vgg16_frozen")
    weights = net.backbone.layers.block1_conv1.weight.detach()
    name = "backbone.layers.block1_conv1"
    assert torch.equal(first_filters(net, name, is_bgr=True)[:, 0], weights[:, 2])
    assert torch.equal(first_filters(net, name), weights)
    assert first_filters(net, "backbone.layers.block1_conv2") is None
