import numpy as np
import pytest
import torch

from cifar_sweeps.data import load_synthetic, synthetic
from cifar_sweeps.errors import ConfigError

SMALL = {"train_images": 600, "test_images": 300}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_equal_arguments_give_equal_images_and_other_seeds_others(tmp_path_factory):
    first, again, other = (
        load_synthetic(cache=tmp_path_factory.mktemp("cache"), seed=seed, **SMALL) for seed in (0, 0, 1)
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert torch.equal(first.train.images, again.train.images)


def test_all_classes_are_equally_frequent_in_the_test_side(folder):
    data = load_synthetic(cache=folder, **SMALL)
    assert data.test.labels.bincount().tolist() == [30] * 10
    assert len(data.classes) == 10
    assert not data.original_order


def test_label_noise_changes_that_fraction_of_training_labels_and_no_test_label(folder):
    noisy = load_synthetic(cache=folder, label_noise=0.2, **SMALL)
    true = load_synthetic(cache=folder, label_noise=0.0, **SMALL)
    assert (noisy.train.labels != true.train.labels).sum() == 120
    assert torch.equal(noisy.test.labels, true.test.labels)
    assert torch.equal(noisy.train.images, true.train.images)


def test_the_mean_colour_does_not_tell_the_class(folder):
    data = load_synthetic(cache=folder, train_images=2000, test_images=1000, label_noise=0.0)
    colours = data.train.images.float().mean(dim=(2, 3))
    means = torch.stack([colours[data.train.labels == label].mean(dim=0) for label in range(10)])
    nearest = torch.cdist(data.test.images.float().mean(dim=(2, 3)), means).argmin(dim=1)
    assert (nearest == data.test.labels).float().mean() < 0.25


@pytest.mark.parametrize("shape", synthetic._SHAPES.values(), ids=list(synthetic._SHAPES))
def test_every_class_looks_the_same_in_a_mirror(shape):
    across = np.linspace(-0.99, 0.99, 64, dtype=np.float32)
    u, v = np.meshgrid(across, across)
    assert np.allclose(shape(u, v), shape(-u, v), atol=1e-5)


def test_the_second_load_draws_nothing(folder, monkeypatch):
    first = load_synthetic(cache=folder, seed=5, **SMALL)
    monkeypatch.setattr(synthetic, "_draw_images", None)
    assert load_synthetic(cache=folder, seed=5, **SMALL).fingerprint == first.fingerprint


def test_image_size(folder):
    data = load_synthetic(cache=folder, train_images=20, test_images=10, image_size=48)
    assert data.train.images.shape == (20, 3, 48, 48)
    assert np.ptp(data.train.images.numpy()) > 200


@pytest.mark.parametrize(
    "wrong",
    [{"seed": -1}, {"train_images": 5}, {"test_images": 0}, {"image_size": 4}, {"label_noise": 1.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_error_names_the_argument(wrong, folder):
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"data\.source\.{name}="):
        load_synthetic(cache=folder, **wrong)
