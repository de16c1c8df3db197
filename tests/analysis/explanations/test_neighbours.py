"""Nearest images against a search over all of them; features are what the last layer receives."""

import numpy as np
import pytest
import torch
from analysis.explanations.nets import BUILDERS, make, same_state, state
from torch import nn

from cifar_sweeps.analysis.explanations.neighbours import last_features, last_layer, nearest

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize("chunk", [1, 7, 64, 500])
def test_the_nearest_are_those_of_a_search_over_all(chunk):
    rng = np.random.default_rng(0)
    queries, bank = rng.normal(size=(5, 12)).astype(np.float32), rng.normal(size=(200, 12)).astype(np.float32)
    bank[150] = bank[20] * 3  # the same direction: equally near
    found = nearest(torch.from_numpy(queries), torch.from_numpy(bank).split(chunk), 6)
    cosine = (queries @ bank.T) / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(bank, axis=1)
    for row, near, similarity in zip(cosine, found.numbers.tolist(), found.similarity.numpy(), strict=True):
        expected = sorted(range(200), key=lambda at: -row[at])[:6]
        np.testing.assert_allclose(similarity, row[expected], atol=1e-6)
        assert {20 if at == 150 else at for at in near} == {20 if at == 150 else at for at in expected}
        assert len(set(near)) == 6


def test_fewer_images_than_asked_for_and_features_of_zeros():
    found = nearest(torch.zeros(1, 3), [torch.ones(2, 3)], 5)
    assert found.numbers.tolist() == [[0, 1]]
    assert found.similarity.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("name", BUILDERS)
def test_the_last_layer_makes_the_logits_from_the_features(name):
    net = make(name)
    before = state(net)
    layer = last_layer(net, IMAGES[:1])
    features = last_features(net, IMAGES, layer)
    assert features.ndim == 2
    with torch.no_grad():
        torch.testing.assert_close(net.get_submodule(layer)(features), net(IMAGES))
    assert same_state(before, state(net))


def test_of_maps_the_mean_over_places_is_compared():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.Conv2d(5, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    layer = last_layer(net, IMAGES[:1])
    assert layer == "2"
    features = last_features(net, IMAGES, layer)
    with torch.no_grad():
        torch.testing.assert_close(features, net[0](IMAGES).relu().mean(dim=(2, 3)))
