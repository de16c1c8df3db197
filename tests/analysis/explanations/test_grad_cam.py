"""Grad-CAM against chains by hand, finite differences and class activation maps."""

import pytest
import torch
from analysis.explanations.nets import CONVOLUTIONAL, make, same_state, state
from torch import nn
from torch.nn import functional as F

from cifar_sweeps.analysis.explanations.grad_cam import grad_cam, scaled_maps
from cifar_sweeps.analysis.explanations.layers import last_map, map_layers
from cifar_sweeps.errors import ConfigError

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([2, 0, 7])


def test_a_chain_by_hand():
    net = make("conv_net")
    found = grad_cam(net, IMAGES, TARGETS, "features.block2.conv1")
    block, head = net.features.block2, net.head
    with torch.no_grad():
        before = net.features.block1(IMAGES)
        maps = F.conv2d(before, block.conv1.weight, block.conv1.bias, padding=1)
        pooled, winners = F.max_pool2d(maps, 2, return_indices=True)
        hidden = pooled.relu().flatten(1) @ head.dense1.weight.T + head.dense1.bias
        for at, target in enumerate(TARGETS.tolist()):
            # Back from the logit: the dense layers, the activation, and the pool, which passes to its winner alone.
            back = (head.logits.weight[target] * (hidden[at] > 0)) @ head.dense1.weight
            back = back.view(pooled.shape[1:]) * (pooled[at] > 0)
            gradient = torch.zeros(maps.shape[1], 16 * 16).scatter_(1, winners[at].flatten(1), back.flatten(1))
            weights = gradient.mean(dim=1)
            torch.testing.assert_close(found[at], torch.einsum("c,chw->hw", weights, maps[at]).relu())
    assert found.shape == (3, 16, 16)


def test_finite_differences():
    torch.manual_seed(4)
    rest = nn.Sequential(nn.Tanh(), nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(2 * 4 * 4, 5))
    net = nn.Sequential(nn.Conv2d(3, 3, 3), *rest).double().eval()
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    maps = net[0](image).detach()
    step, gradient = 1e-5, torch.zeros_like(maps)
    with torch.no_grad():
        for at in range(maps.numel()):
            moved = torch.zeros(maps.numel(), dtype=torch.float64)
            moved[at] = step
            up, down = (rest(maps + sign * moved.view_as(maps))[0, 3] for sign in (1, -1))
            gradient.view(-1)[at] = (up - down) / (2 * step)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()
    torch.testing.assert_close(grad_cam(net, image, torch.tensor([3]), "0"), expected, rtol=1e-6, atol=1e-9)


def test_before_a_global_average_it_is_the_class_activation_map():
    net = make("small_resnet")
    found = grad_cam(net, IMAGES, TARGETS, "blocks.block3")
    with torch.no_grad():
        maps = net.blocks(F.relu(net.stem(IMAGES)))
        weights = net.logits.weight[TARGETS]  # each place has its share of the average
        expected = torch.einsum("nc,nchw->nhw", weights, maps).relu() / maps[0, 0].numel()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_nothing_changes_in_the_network(name):
    net = make(name)
    before, given = state(net), IMAGES.clone()
    layer = last_map(map_layers(net, IMAGES[:1]))
    found = grad_cam(net, IMAGES, TARGETS, layer.name)
    assert found.shape == (3, layer.height, layer.width)
    assert not found.requires_grad
    assert same_state(before, state(net))
    assert torch.equal(IMAGES, given)
    alone = torch.cat([grad_cam(net, IMAGES[at : at + 1], TARGETS[at : at + 1], layer.name) for at in range(3)])
    torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-7)  # an image's map does not depend on the others


def test_a_first_layer_that_works_in_place_changes_no_image():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 10))
    given = IMAGES - 0.5
    kept = given.clone()
    assert grad_cam(net, given, TARGETS, "1").shape == (3, 30, 30)
    assert torch.equal(given, kept)


def test_a_layer_that_the_logits_do_not_depend_on_is_one_error():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.aside, self.dense = nn.Conv2d(3, 4, 3), nn.Linear(3 * 32 * 32, 10)

        def forward(self, images):
            self.aside(images)
            return self.dense(images.flatten(1))

    with pytest.raises(ConfigError, match="--layer aside: the logits do not depend on its maps"):
        grad_cam(Aside(), IMAGES, TARGETS, "aside")


def test_each_map_is_scaled_by_its_own_maximum():
    maps = torch.tensor([[[0.0, 4.0]], [[0.0, 0.0]], [[1e-30, 2e-30]]])
    assert scaled_maps(maps).tolist() == [[[0.0, 1.0]], [[0.0, 0.0]], [[0.5, 1.0]]]
