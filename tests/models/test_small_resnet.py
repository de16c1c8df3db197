"""SmallResNet: Keras' padding at stride 2, the block's arithmetic, its options and errors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import SmallResNet
from cifar_sweeps.models.small_resnet import SameConv2d


def images(side: int = 16) -> torch.Tensor:
    return torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))


def tap(kernel_size: int, row: int, column: int, stride: int = 2) -> SameConv2d:
    """A convolution that reads one pixel of its window."""
    convolution = SameConv2d(1, 1, kernel_size, stride)
    nn.init.zeros_(convolution.weight)
    convolution.weight.data[0, 0, row, column] = 1
    return convolution


@pytest.mark.parametrize(
    ("kernel_size", "first_tap", "side"),
    [(3, 0, 8), (5, 1, 8), (1, 0, 8), (3, 1, 7), (5, 2, 7), (1, 0, 7)],
    ids=lambda value: str(value),
)
def test_stride_2_reads_every_second_pixel_from_the_first_as_tensorflow_does(kernel_size, first_tap, side):
    # TensorFlow puts the smaller half of the zeros first: this tap of the first window lies on pixel 0.
    maps = torch.rand(2, 1, side, side)
    torch.testing.assert_close(tap(kernel_size, first_tap, first_tap)(maps), maps[:, :, ::2, ::2])


def test_stride_2_pads_an_even_map_on_the_right_and_at_the_bottom_only():
    corner = tap(3, 2, 2)(torch.ones(1, 1, 8, 8))[0, 0]
    assert corner[:-1, :-1].eq(1).all()
    assert corner[-1].eq(0).all()
    assert corner[:, -1].eq(0).all()


def test_block_is_relu_of_residual_plus_shortcut():
    torch.manual_seed(0)
    block = SmallResNet(widths=[4, 8]).blocks.block2
    maps = torch.randn(2, 4, 8, 8, requires_grad=True)
    first, second, shortcut = (
        lambda x, unit=unit: F.batch_norm(unit.conv(x), None, None, unit.norm.weight, unit.norm.bias, True, eps=1e-3)
        for unit in (block.first, block.second, block.shortcut)
    )
    expected = torch.relu(second(torch.relu(first(maps))) + shortcut(maps))
    got = block(maps)
    assert got.shape == (2, 8, 4, 4)
    torch.testing.assert_close(got, expected)
    (wanted,) = torch.autograd.grad(expected.square().sum(), maps)
    (gradient,) = torch.autograd.grad(got.square().sum(), maps)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4)


def test_identity_block_leaves_its_input_as_it_was():
    block = SmallResNet(widths=[4, 4]).blocks.block2
    maps = torch.randn(2, 4, 8, 8)
    before = maps.clone()
    block(maps)
    assert torch.equal(maps, before)


def test_batch_norm_has_keras_constants_and_no_convolution_a_bias():
    net = SmallResNet()
    assert {(m.momentum, m.eps) for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {(0.01, 1e-3)}
    assert all(m.bias is None for m in net.modules() if isinstance(m, nn.Conv2d))


def test_weights_of_an_arm_with_dropout_load_into_one_without():
    plain, dropped = SmallResNet(widths=[4, 8]).eval(), SmallResNet(widths=[4, 8], dropout=0.5)
    # In training mode, so that the norms' statistics are loaded too.
    assert not torch.equal(dropped(images()), dropped(images()))
    plain.load_state_dict(dropped.state_dict(), strict=True)
    torch.testing.assert_close(plain(images()), dropped.eval()(images()))


def test_channels_last_and_bf16_train():
    net = SmallResNet(widths=[4, 8]).to(memory_format=torch.channels_last)
    batch = images().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        net(batch).float().logsumexp(1).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    net.eval()
    torch.testing.assert_close(net(batch), net(images()))


def test_all_errors_come_together():
    with pytest.raises(ConfigError) as caught:
        SmallResNet(widths=[32, 0], kernel_size=[3, 5], dropout=float("nan"), init="he", num_classes=0)
    assert [error.split("=")[0] for error in caught.value.errors] == [
        "model.widths",
        "kernel_size.conv",
        "regularization.dropout.dense",
        "model.num_classes",
        "model.init",
    ]


@pytest.mark.parametrize("kernel_size", [0, 2, 4, 2.5, True, [3]], ids=str)
def test_kernel_size_must_be_one_odd_integer(kernel_size):
    with pytest.raises(ConfigError, match=r"kernel_size\.conv=.* takes one odd integer"):
        SmallResNet(kernel_size=kernel_size)
