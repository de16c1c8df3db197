"""Duplicates within and between splits: counts as a loop over all pairs of images makes them."""

import numpy as np
import pytest
import torch

from cifar_sweeps.analysis.datasets.duplicates import find_duplicates, pixel_digests

TEST, VALIDATION, TRAINING = 0, 1, 2


@pytest.fixture(scope="module")
def made():
    """Noise of 60 kinds in three splits, drawn with repetition, and noisy copies of some, under random labels."""
    draw = np.random.default_rng(0)
    kinds = draw.integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    kinds[50:] = np.clip(kinds[:10].astype(int) + draw.integers(-20, 21, (10, 12, 12, 3)), 0, 255)
    kind = draw.integers(0, 60, 90)
    split = np.sort(draw.integers(0, 3, 90))
    labels = draw.integers(0, 2, 90)
    images = torch.from_numpy(kinds[kind]).permute(0, 3, 1, 2)
    digests = pixel_digests(images, torch.arange(90))
    return kind, split, labels, find_duplicates(digests, kinds[kind], split, labels)


def near(one, other):
    return one != other and one % 50 == other % 50 and min(one, other) < 10


@pytest.mark.parametrize("one", [TEST, VALIDATION, TRAINING])
@pytest.mark.parametrize("other", [TEST, VALIDATION, TRAINING])
def test_counts_are_those_of_a_loop_over_all_pairs(made, one, other):
    kind, split, labels, duplicates = made
    exact, nearly, exact_torn, near_torn = 0, 0, 0, 0
    for i in np.flatnonzero(split == one):
        others = [j for j in np.flatnonzero(split == other) if j != i]
        equal = [j for j in others if kind[j] == kind[i]]
        close = [j for j in others if near(kind[i], kind[j])]
        exact += bool(equal)
        nearly += bool(close) and not equal
        exact_torn += any(labels[j] != labels[i] for j in equal)
        near_torn += any(labels[j] != labels[i] for j in close) and not equal
    assert exact
    assert nearly
    found = duplicates.overlap(one, other)
    assert (found.exact, found.near, found.exact_otherwise, found.near_otherwise) == (
        exact,
        nearly,
        exact_torn,
        near_torn,
    )


def test_pairs_are_of_the_splits_asked_for_and_duplicates(made):
    kind, split, _, duplicates = made
    found = duplicates.overlap(TEST, TRAINING)
    assert found.pairs
    for pair in found.pairs:
        assert (split[pair.first], split[pair.second]) == (TEST, TRAINING)
        assert (kind[pair.first] == kind[pair.second]) == pair.exact
        assert pair.exact or near(kind[pair.first], kind[pair.second])
    assert [pair.exact for pair in found.pairs] == sorted((pair.exact for pair in found.pairs), reverse=True)


def test_every_equal_image_is_in_the_list_of_pairs(made):
    kind, _, _, duplicates = made
    pairs = duplicates.all_pairs()
    equal = {image for pair in pairs if pair.exact for image in (pair.first, pair.second)}
    assert equal == {i for i in range(90) if (kind == kind[i]).sum() > 1}
    assert {tuple(sorted((kind[p.first], kind[p.second]))) for p in pairs if not p.exact} == {
        (k, k + 50) for k in range(10) if (kind == k).any() and (kind == k + 50).any()
    }


def test_images_behind_the_searched_ones_are_compared_for_equality():
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    close = np.clip(image.astype(int) + 5, 0, 255).astype(np.uint8)
    pixels = np.stack([image, close, close, image])
    digests = pixel_digests(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.arange(4))
    found = find_duplicates(digests, pixels[:1], np.array([0, 1, 1, 1]), np.zeros(4, int)).overlap(0, 1)
    assert (found.exact, found.near) == (1, 0)
