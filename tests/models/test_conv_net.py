"""ConvNet against the same network written out by hand, and against arguments that make no network."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import ConvNet
from cifar_sweeps.models.conv_net import MONOTONE

PAIR = {"filters": [8, 8]}
TWO = [PAIR, PAIR]
BY_HAND = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


def images(count: int = 4, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def small(**changes) -> ConvNet:
    torch.manual_seed(0)
    return ConvNet(**{"blocks": TWO, "dense": [16], "image_size": 16, **changes})


def layers(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if not list(module.children())]


def modules_of(net: nn.Module, kind: type[nn.Module]) -> list:
    return [module for module in net.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("activation", BY_HAND)
@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
def test_logits_and_gradients_are_those_of_the_net_by_hand(activation, batch_norm):
    net = small(
        blocks=[{"filters": [4, 6], "padding": ["same", "valid"]}],
        kernel_sizes=[[3, 5]],
        activation=activation,
        negative_slope=0.2,
        batch_norm=batch_norm,
    )
    weights = dict(net.named_parameters())
    act = BY_HAND[activation]

    def by_hand(x):
        for number, padding in ((1, 1), (2, 0)):
            conv, norm = f"features.block1.conv{number}", f"features.block1.norm{number}"
            x = F.conv2d(x, weights[f"{conv}.weight"], weights.get(f"{conv}.bias"), padding=padding)
            if batch_norm:
                x = F.batch_norm(x, None, None, weights[f"{norm}.weight"], weights[f"{norm}.bias"], True, eps=1e-3)
            x = act(x)
        x = F.max_pool2d(x, 2).flatten(1)
        x = act(F.linear(x, weights["head.dense1.weight"], weights["head.dense1.bias"]))
        return F.linear(x, weights["head.logits.weight"], weights["head.logits.bias"])

    expected = by_hand(images())
    logits = net(images())
    torch.testing.assert_close(logits, expected)
    wanted = torch.autograd.grad(expected.square().sum(), list(weights.values()))
    got = torch.autograd.grad(logits.square().sum(), list(weights.values()))
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


def test_layers_are_named_by_place_and_in_order():
    net = small(blocks=[PAIR, {"filters": [8], "pool": 0}], batch_norm=True, conv_dropout=[0.1, 0.2], dense_dropout=0.5)
    first = ["conv1", "norm1", "activation1", "conv2", "norm2", "pool", "activation2", "dropout"]
    second = ["conv1", "norm1", "activation1", "dropout"]
    assert layers(net) == [
        *(f"features.block1.{name}" for name in first),
        *(f"features.block2.{name}" for name in second),
        *("head.dense1", "head.activation1", "head.dropout1", "head.logits"),
    ]


def test_dropout_after_each_convolution_and_so_before_the_pool():
    net = small(blocks=[PAIR], dropout_after="conv", conv_dropout=0.2)
    assert list(dict(net.features.block1.named_children())) == [
        *("conv1", "activation1", "dropout1", "conv2", "activation2", "dropout2", "pool"),
    ]


def test_each_block_and_each_dense_layer_has_its_own_dropout_rate():
    net = small(conv_dropout=[0.1, 0.2], dense=[8, 4], dense_dropout=[0.3, 0.4])
    assert [dropout.p for dropout in modules_of(net, nn.Dropout)] == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("activation", MONOTONE)
def test_pooling_before_a_monotone_activation_changes_nothing(activation, dtype):
    ours = small(blocks=[PAIR], activation=activation).features.block1
    other = nn.Sequential(ours.conv1, ours.activation1, ours.conv2, ours.activation2, ours.pool)
    assert list(ours)[-1] is ours.activation2
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        pooled_first, activated_first = ours(images()), other(images())
    assert torch.equal(pooled_first, activated_first)
    if dtype == torch.float32:  # in bf16 the activation may round two values of a window to one: then either may win
        weights = list(ours.parameters())
        got, wanted = (
            torch.autograd.grad(maps.square().sum(), weights, retain_graph=True)
            for maps in (pooled_first, activated_first)
        )
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("activation", sorted(set(BY_HAND) - set(MONOTONE)))
def test_pooling_follows_an_activation_that_is_not_monotone(activation):
    assert isinstance(small(activation=activation).features.block1[-1], nn.MaxPool2d)


@pytest.mark.parametrize("dropout_after", ["pool", "conv"])
def test_weights_of_an_arm_with_dropout_load_into_one_without(dropout_after):
    dropped = small(conv_dropout=0.3, dense_dropout=[0.5], dropout_after=dropout_after)
    plain = small()
    assert modules_of(plain, nn.Dropout | nn.Identity) == []
    with torch.no_grad():
        for parameter in dropped.parameters():
            parameter.add_(0.1)
    plain.load_state_dict(dropped.state_dict(), strict=True)
    torch.testing.assert_close(plain(images()), dropped.eval()(images()))


def test_dropout_acts_in_training_and_not_in_evaluation():
    net = small(conv_dropout=0.3)
    assert not torch.equal(net(images()), net(images()))
    net.eval()
    assert torch.equal(net(images()), net(images()))


def test_batch_norm_has_keras_constants_and_no_bias_before_it():
    net = small(batch_norm=True)
    assert {(norm.momentum, norm.eps) for norm in modules_of(net, nn.BatchNorm2d)} == {(0.01, 1e-3)}
    assert all(convolution.bias is None for convolution in modules_of(net, nn.Conv2d))
    torchs = small(batch_norm=True, batch_norm_momentum=0.1, batch_norm_eps=1e-5)
    assert {(norm.momentum, norm.eps) for norm in modules_of(torchs, nn.BatchNorm2d)} == {(0.1, 1e-5)}


def test_a_block_overrides_the_nets_batch_norm():
    net = small(blocks=[PAIR, {**PAIR, "batch_norm": True}])
    assert [name for name in layers(net) if "norm" in name] == ["features.block2.norm1", "features.block2.norm2"]


def test_memory_format_does_not_change_the_logits():
    net = small().eval()
    last = net(images().to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, net(images()))
    net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(images().to(memory_format=torch.channels_last)), last)


def test_gradients_pass_the_blocks_in_channels_last_where_the_maps_do():
    net = small(conv_dropout=0.2).to(memory_format=torch.channels_last)
    seen = []
    net.features.register_full_backward_hook(lambda _, __, gradients: seen.extend(gradients))
    net(images().to(memory_format=torch.channels_last).requires_grad_()).sum().backward()
    assert [gradient.is_contiguous(memory_format=torch.channels_last) for gradient in seen] == [True]


def test_bf16_autocast_trains():
    net = small(batch_norm=True, conv_dropout=0.2).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(images().to(memory_format=torch.channels_last))
    assert logits.dtype == torch.bfloat16
    logits.float().logsumexp(1).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("dense", [[], [8], [8, 4]], ids=str)
def test_any_number_of_dense_layers(dense):
    net = small(dense=dense, dense_dropout=0.5, num_classes=7)
    assert [layer.out_features for layer in modules_of(net, nn.Linear)] == [*dense, 7]
    assert net(images()).shape == (4, 7)


def test_pooling_may_take_the_last_pixel_but_no_more():
    assert small(blocks=[PAIR] * 4)(images()).shape == (4, 10)
    with pytest.raises(ConfigError, match=r"model\.blocks\[4\]\.pool=2: .* the 1x1 map"):
        small(blocks=[PAIR] * 5)


ERRORS = {
    "no blocks": ({"blocks": []}, "model.blocks=[]: must be a list of one or more blocks"),
    "block is a list": ({"blocks": [[8, 8]]}, "model.blocks[0]=[8, 8]: must be a mapping"),
    "unknown block key": ({"blocks": [{**PAIR, "paddin": "same"}]}, "did you mean 'padding'?"),
    "filters missing": ({"blocks": [{"pool": 2}]}, "model.blocks[0].filters=None: must be a list of output channels"),
    "filters missing where kernel sizes are listed": (
        {"blocks": [{"pool": 2}], "kernel_sizes": [[3, 5]]},
        "model.blocks[0].filters=None: must be a list of output channels",
    ),
    "filters not a list": ({"blocks": [{"filters": 8}]}, "model.blocks[0].filters=8: must be a list"),
    "filters of 0": ({"blocks": [{"filters": [8, 0]}]}, "model.blocks[0].filters=0: must be an integer of at least 1"),
    "unknown padding": (
        {"blocks": [{**PAIR, "padding": "sam"}]},
        "model.blocks[0].padding=sam: unknown; did you mean 'same'?",
    ),
    "paddings too few": ({"blocks": [{**PAIR, "padding": ["same"]}]}, "1 entries for 2 convolution(s)"),
    "pool of 1": ({"blocks": [{**PAIR, "pool": 1}]}, "model.blocks[0].pool=1: must be 0 (no pooling) or"),
    "pool negative": ({"blocks": [{**PAIR, "pool": -2}]}, "model.blocks[0].pool=-2: must be 0 (no pooling) or"),
    "batch norm a string": ({"batch_norm": "yes"}, "model.batch_norm=yes: must be true or false"),
    "block's batch norm a string": (
        {"blocks": [{**PAIR, "batch_norm": "yes"}]},
        "model.blocks[0].batch_norm=yes: must be true or false",
    ),
    "momentum 0": ({"batch_norm_momentum": 0}, "model.batch_norm_momentum=0: must be in (0, 1]"),
    "epsilon 0": ({"batch_norm_eps": 0.0}, "model.batch_norm_eps=0.0: must be above 0"),
    "even kernel": (
        {"kernel_sizes": [3, 4]},
        "kernel_size.conv=[3, 4]: 4 is even, and 'same' padding needs odd sizes; use 3 or 5",
    ),
    "kernel 0": ({"kernel_sizes": 0}, "kernel_size.conv=0: 0 is not a kernel size"),
    "kernel a fraction": ({"kernel_sizes": [3, [3, 2.5]]}, "2.5 is not a kernel size"),
    "too many kernel sizes": ({"kernel_sizes": [3, 5, 7]}, "[3, 5, 7] has 3 entries, but the model has 2 block(s)"),
    "valid kernel larger than the map": (
        {"blocks": [PAIR, {**PAIR, "padding": "valid"}], "kernel_sizes": [3, 9]},
        "model.blocks[1].padding=valid: a 9x9 kernel leaves nothing of the 8x8 map",
    ),
    "unknown activation": ({"activation": "rleu"}, "model.activation=rleu: unknown; did you mean 'relu'?"),
    "negative slope": ({"negative_slope": -0.1}, "model.negative_slope=-0.1: must be a number of at least 0"),
    "dense not a list": ({"dense": 256}, "model.dense=256: must be a list of widths"),
    "dense of 0": ({"dense": [0]}, "model.dense=0: must be an integer of at least 1"),
    "conv rate negative": ({"conv_dropout": -0.1}, "regularization.dropout.conv=-0.1: a dropout rate must be"),
    "conv rate 1": ({"conv_dropout": [0.1, 1.0]}, "regularization.dropout.conv=[0.1, 1.0]: each dropout rate must be"),
    "conv rate NaN": ({"conv_dropout": float("nan")}, "regularization.dropout.conv=nan: a dropout rate must be"),
    "conv rates too few": ({"conv_dropout": [0.1]}, "regularization.dropout.conv=[0.1]: 1 rates for 2 block(s)"),
    "dense rate true": ({"dense_dropout": True}, "regularization.dropout.dense=True: a dropout rate must be"),
    "dense rates too many": (
        {"dense_dropout": [0.1, 0.2]},
        "regularization.dropout.dense=[0.1, 0.2]: 2 rates for 1 dense",
    ),
    "unknown dropout place": ({"dropout_after": "convs"}, "model.dropout_after=convs: unknown; did you mean 'conv'?"),
    "unknown init": ({"init": "glorot"}, "model.init=glorot: unknown; did you mean 'glorot_uniform'?"),
    "no classes": ({"num_classes": 0}, "model.num_classes=0: must be an integer of at least 1"),
    "image size 0": ({"image_size": 0}, "data.image_size=0: must be an integer of at least 1"),
}


@pytest.mark.parametrize(("changes", "message"), ERRORS.values(), ids=ERRORS)
def test_an_error_names_its_key_and_what_is_allowed(changes, message):
    with pytest.raises(ConfigError) as caught:
        small(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ERRORS)
def test_one_error_is_reported_once_and_causes_no_others(name):
    with pytest.raises(ConfigError) as caught:
        small(**ERRORS[name][0])
    assert len(caught.value.errors) == 1


def test_all_errors_come_together():
    with pytest.raises(ConfigError) as caught:
        small(
            blocks=[PAIR, {**PAIR, "pool": 99}],
            kernel_sizes=[3, 4],
            activation="rleu",
            conv_dropout=-1,
            dense_dropout=float("nan"),
            dense=[-1],
            init="keras",
        )
    keys = {error.split("=")[0] for error in caught.value.errors}
    assert keys == {
        "model.activation",
        "model.init",
        "model.dense",
        "regularization.dropout.dense",
        "regularization.dropout.conv",
        "kernel_size.conv",
        "model.blocks[1].pool",
    }


def test_batch_norm_moves_its_statistics_and_normalises_by_keras_formulas():
    torch.manual_seed(0)
    net = ConvNet([{"filters": [4], "pool": 0}], 3, dense=[], batch_norm=True, image_size=8).train()
    conv, norm = net.features.block1.conv1, net.features.block1.norm1
    images = torch.rand(16, 3, 8, 8)
    maps = torch.nn.functional.conv2d(images, conv.weight, padding=1)
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=0)
    answer = norm(conv(images))
    expected = (maps - mean.view(1, -1, 1, 1)) / (variance.view(1, -1, 1, 1) + 1e-3).sqrt()
    assert torch.allclose(answer, expected, atol=1e-5)
    count = 16 * 8 * 8
    assert torch.allclose(norm.running_mean, 0.01 * mean, atol=1e-7)  # from 0, momentum 0.99
    # TensorFlow's fused kernel, as PyTorch, moves by the unbiased variance.
    assert torch.allclose(norm.running_var, 0.99 * torch.ones(4) + 0.01 * variance * count / (count - 1), atol=1e-6)
