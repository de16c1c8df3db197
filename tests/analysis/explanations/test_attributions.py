"""Occlusion against a loop, integrated gradients against a Riemann sum; captum is not used on the other side."""

import pytest
import torch
from analysis.explanations.nets import BUILDERS, make, same_state, state
from torch import nn

from cifar_sweeps.analysis.explanations.integrated_gradients import integrated_gradients
from cifar_sweeps.analysis.explanations.occlusion import occlusion, patch_and_stride

pytest.importorskip("captum", reason="the extra `explain` is not installed")

GENERATOR = torch.Generator().manual_seed(2)
BASELINE = torch.tensor([0.2, -0.1, 0.4]).view(1, 3, 1, 1)


def small_net(height, width, activation=nn.Tanh):
    torch.manual_seed(5)
    features = 4 * (height - 2) * (width - 2)
    return nn.Sequential(nn.Conv2d(3, 4, 3), activation(), nn.Flatten(), nn.Linear(features, 6)).eval()


@pytest.mark.parametrize(
    ("height", "width", "patch", "stride"),
    [(12, 12, 4, 2), (11, 9, 3, 2), (9, 13, 4, 3), (8, 8, 1, 1)],
    ids=["even", "odd", "cut off at the edges", "pixels"],
)
def test_occlusion_is_a_loop_over_patches(height, width, patch, stride):
    net = small_net(height, width)
    images = torch.rand(2, 3, height, width, generator=GENERATOR)
    targets = torch.tensor([1, 4])
    found = occlusion(net, images, targets, BASELINE, patch, stride)
    for image, target, own in zip(images, targets.tolist(), found, strict=True):
        total, times = torch.zeros(height, width), torch.zeros(height, width)
        with torch.no_grad():
            whole = net(image[None])[0, target]
            for top in range(0, -(-(height - patch) // stride) * stride + 1, stride):
                for left in range(0, -(-(width - patch) // stride) * stride + 1, stride):
                    covered = image.clone()
                    place = (slice(top, top + patch), slice(left, left + patch))
                    covered[:, place[0], place[1]] = BASELINE[0].expand(3, 1, 1)
                    total[place] += whole - net(covered[None])[0, target]
                    times[place] += 1
        torch.testing.assert_close(own, total / times, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"), [((32, 32), (8, 2)), ((224, 160), (40, 10)), ((3, 5), (1, 1))], ids=["cifar", "large", "tiny"]
)
def test_the_patch_is_a_quarter_of_the_shorter_side(size, expected):
    assert patch_and_stride(*size) == expected


def test_integrated_gradients_are_a_riemann_sum():
    net, images, targets = small_net(10, 8), torch.rand(2, 3, 10, 8, generator=GENERATOR), torch.tensor([5, 0])
    found = integrated_gradients(net, images, targets, BASELINE)
    base, parts = BASELINE.expand_as(images[:1]), 1000
    for image, target, own in zip(images, targets.tolist(), found.maps, strict=True):
        middles = (torch.arange(parts) + 0.5) / parts
        path = (base + middles.view(-1, 1, 1, 1) * (image - base)).requires_grad_()
        (gradient,) = torch.autograd.grad(net(path)[:, target].sum(), path)
        expected = ((image - base[0]) * gradient.mean(dim=0)).sum(dim=0)
        torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-5)


def test_of_a_linear_network_each_pixel_adds_its_weight_times_its_change():
    net = make("linear")
    images = torch.rand(2, 3, 32, 32, generator=GENERATOR)
    found = integrated_gradients(net, images, torch.tensor([9, 2]), BASELINE)
    weights = net[1].weight.detach()[[9, 2]].view(2, 3, 32, 32)
    torch.testing.assert_close(found.maps, (weights * (images - BASELINE)).sum(dim=1), rtol=1e-4, atol=1e-6)


def test_more_steps_are_taken_until_the_sum_is_that_of_the_logits():
    net = small_net(8, 8, nn.ReLU)
    with torch.no_grad():
        net[0].weight *= 40  # kinks close to the baseline, which 64 steps miss
    images = torch.rand(3, 3, 8, 8, generator=GENERATOR) * 20
    targets = torch.tensor([0, 1, 2])
    loose = integrated_gradients(net, images, targets, BASELINE, tolerance=1.0)
    strict = integrated_gradients(net, images, targets, BASELINE, tolerance=1e-4)
    assert loose.steps == (64, 64, 64)
    assert max(strict.steps) > 64
    with torch.no_grad():
        rows = torch.arange(3)
        difference = net(images)[rows, targets] - net(BASELINE.expand(1, 3, 8, 8))[0, targets]
    torch.testing.assert_close(strict.differences, difference)
    assert strict.errors.max() < loose.errors.max()
    reached = strict.errors <= 1e-4 * difference.abs() + 1e-4
    assert all(ok or steps == 1024 for ok, steps in zip(reached.tolist(), strict.steps, strict=True))


@pytest.mark.parametrize("name", BUILDERS)
def test_nothing_changes_in_the_network_and_the_sums_are_the_logits(name):
    net = make(name)
    before = state(net)
    image, target = torch.rand(1, 3, 32, 32, generator=GENERATOR), torch.tensor([3])
    shares = integrated_gradients(net, image, target, BASELINE)
    assert occlusion(net, image, target, BASELINE, 16, 8).shape == shares.maps.shape == (1, 32, 32)
    assert float(shares.errors) <= 0.01 * float(shares.differences.abs()) + 1e-6
    assert same_state(before, state(net))
