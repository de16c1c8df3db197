"""SmallInception: its branches, shapes, options and errors."""

import pytest
import torch
import torch.nn.functional as F

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import SmallInception, conv_kernels, summarize


def images(side=16, count=4):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_module_concatenates_its_four_branches():
    torch.manual_seed(0)
    module = SmallInception(widths=[16]).features.module1.eval()
    maps = torch.randn(2, 8, 6, 6)

    def unit(layer, x):
        size = layer.conv.kernel_size[0]
        out = F.conv2d(x, layer.conv.weight, padding=size // 2)
        norm = layer.norm
        return torch.relu(F.batch_norm(out, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-3))

    expected = [
        unit(module.point, maps),
        unit(module.first.wide, unit(module.first.reduce, maps)),
        unit(module.second.wide, unit(module.second.reduce, maps)),
        unit(module.pooled, F.max_pool2d(maps, 3, 1, 1)),
    ]
    assert [branch.shape[1] for branch in expected] == [4, 8, 2, 2]
    assert [module.first.wide.conv.kernel_size, module.second.wide.conv.kernel_size] == [(3, 3), (5, 5)]
    torch.testing.assert_close(module(maps), torch.cat(expected, dim=1))


@pytest.mark.parametrize("side", [8, 9, 32])
@pytest.mark.parametrize("widths", [[8], [16, 16, 24], [64, 64, 128, 128]], ids=str)
def test_any_image_size_and_widths_give_logits(side, widths):
    net = SmallInception(widths=widths, num_classes=7)
    assert net(images(side)).shape == (4, 7)


def test_the_map_is_halved_where_the_width_changes():
    shapes = {row.name: row.output_shape for row in summarize(SmallInception(widths=[16, 16, 32])).layers}
    assert shapes["stem.conv"] == (8, 32, 32)
    assert shapes["features.module1.point.conv"][1:] == shapes["features.module2.point.conv"][1:] == (16, 16)
    assert shapes["features.module3.point.conv"][1:] == (8, 8)


def test_every_parameter_gets_a_gradient_and_one_batch_can_be_learned():
    torch.manual_seed(0)
    net, batch, labels = SmallInception(widths=[16, 32]), images(12, 16), torch.arange(16) % 10
    F.cross_entropy(net(batch), labels).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(batch), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_penalties_reach_every_convolution():
    net = SmallInception(widths=[8, 16])
    assert len(conv_kernels(net)) == 1 + 2 * 6


def test_dropout_stands_before_the_logits():
    net = SmallInception(widths=[8], dropout=0.9)
    assert torch.equal(net.eval()(images()), net(images()))
    torch.manual_seed(0)
    assert not torch.equal(net.train()(images()), net(images()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": [20]}, "model.widths=[20]: 20 must be a multiple of 8"),
        ({"widths": []}, "model.widths=[]: must be a list of channels"),
        ({"kernel_sizes": [3, 4]}, "model.kernel_sizes=[3, 4]: must be the two odd sizes"),
        ({"kernel_sizes": [3]}, "model.kernel_sizes=[3]: must be the two odd sizes"),
        ({"dropout": 1.0}, "regularization.dropout.dense=1.0"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_arguments_are_one_error(arguments, message):
    with pytest.raises(ConfigError) as error:
        SmallInception(**arguments)
    assert message in str(error.value)
