"""Near duplicates: all pairs of a brute-force search and no other, whatever was done to a copy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from cifar_sweeps.analysis.datasets import near_pairs
from cifar_sweeps.analysis.datasets.near_pairs import CORRELATION, DETAIL, reduce_into, reduced_shape


def pictures(count, size, seed=0):
    """(N, h, w, 3) uint8: smooth scenes with some detail, of which many resemble each other a little."""
    draw = np.random.default_rng(seed)
    coarse = draw.normal(size=(count, *size, 3)) * 30
    smooth = uniform_filter(coarse, (0, 9, 9, 0), mode="mirror") * 6
    return np.clip(128 + smooth + coarse * 0.4, 0, 255).astype(np.uint8)


def with_copies(images, seed=1):
    """Append copies of the first images: brighter, of less contrast, tinted, and with more and more noise."""
    draw, made = np.random.default_rng(seed), []
    for at in range(24):
        image = images[at].astype(float)
        change = (image + 20, image * 0.6 + 40, image + np.array([25, 0, -15]))[at % 3]
        made.append(change + draw.normal(size=image.shape) * at)
    return np.concatenate([images, np.clip(made, 0, 255).astype(np.uint8)])


def brute_force(images):
    """Return {(i, j): (correlation, detail)} of all pairs that both thresholds admit, in float64."""

    def units(values):
        flat = values.reshape(len(values), -1)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)

    centred = images.astype(float) - images.astype(float).mean(axis=(1, 2), keepdims=True)
    detail = centred - uniform_filter(centred, (0, 5, 5, 0), mode="mirror")
    close, fine = (units(each) @ units(each).T for each in (centred, detail))
    rows, columns = np.nonzero(np.triu((close >= CORRELATION) & (fine >= DETAIL), 1))
    return {(int(i), int(j)): (close[i, j], fine[i, j]) for i, j in zip(rows, columns, strict=True)}


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (20, 12)], ids=str)
def test_all_pairs_of_a_brute_force_search_are_found(size, monkeypatch):
    monkeypatch.setattr(near_pairs, "_BLOCK", 100)  # so that there are several
    images = with_copies(pictures(300, size))
    expected = brute_force(images)
    assert 8 < len(expected) < 200  # some of the copies, and not everything
    found = near_pairs.near_pairs(images)
    assert {tuple(pair) for pair in found.pairs.tolist()} == set(expected)
    for pair, correlation, detail in zip(found.pairs.tolist(), found.correlation, found.detail, strict=True):
        assert (correlation, detail) == pytest.approx(expected[tuple(pair)], abs=1e-4)
    assert list(found.correlation) == sorted(found.correlation, reverse=True)
    assert found.note == ""


def test_plain_skies_are_no_duplicates_of_each_other():
    ramp = np.linspace(60, 200, 32)[:, None, None]
    draw = np.random.default_rng(0)
    skies = np.clip(ramp + draw.normal(size=(12, 32, 32, 3)) * 2, 0, 255).astype(np.uint8)
    flat = skies.reshape(12, -1).astype(float)
    assert np.corrcoef(flat).min() > 0.95  # though all correlate
    assert len(near_pairs.near_pairs(skies).pairs) == 0


@pytest.mark.parametrize("faint", [0, 1], ids=["one colour", "one colour but for noise"])
def test_images_of_one_colour_are_not_compared(faint):
    noise = np.random.default_rng(0).integers(0, faint + 1, (5, 8, 8, 3), dtype=np.uint8)
    assert len(near_pairs.near_pairs(np.concatenate([noise + 90, noise + 91])).pairs) == 0


def test_a_film_ends_the_search_with_a_note(monkeypatch):
    monkeypatch.setattr(near_pairs, "_BLOCK", 20)
    monkeypatch.setattr(near_pairs, "MOST_PAIRS", 1000)
    scene = pictures(1, (16, 16))
    frames = np.repeat(scene, 100, axis=0)
    frames[:, 0, 0, 0] = np.arange(100)
    found = near_pairs.near_pairs(frames)
    assert "lower bounds" in found.note
    assert 1000 < len(found.pairs) < 100 * 99 / 2
    assert len({tuple(pair) for pair in found.pairs.tolist()}) == len(found.pairs)


def test_progress_ends_at_all_images():
    told = []
    near_pairs.near_pairs(pictures(30, (8, 8)), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (30, 30)


@pytest.mark.parametrize(("size", "smaller"), [((64, 64), (32, 32)), ((96, 48), (32, 16)), ((32, 20), (32, 20))])
def test_large_images_are_compared_at_32_pixels(size, smaller):
    images = torch.randint(0, 256, (5, 3, *size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert reduced_shape(images) == smaller
    small = np.zeros((2, *smaller, 3), np.uint8)
    reduce_into(small, images, torch.tensor([4, 1]))
    factor = size[0] // smaller[0]
    blocks = images.numpy().reshape(5, 3, smaller[0], factor, smaller[1], factor).mean(axis=(3, 5))
    assert np.abs(small.astype(float) - blocks[[4, 1]].transpose(0, 2, 3, 1)).max() <= 0.5
