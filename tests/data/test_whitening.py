"""ZCA whitening equals Keras' formula by numpy's SVD, whatever computes it; each fit is made once and kept."""

import numpy as np
import pytest
import torch

from cifar_sweeps.data import RotateShiftFlip
from cifar_sweeps.data.batches import EvalBatches, TrainBatches
from cifar_sweeps.data.dataset import ImageData, LabelledImages, fingerprint
from cifar_sweeps.data.whitening import cached_whitening, fit_whitening, whiten

SIDE = 8
DIRECTIONS = 3 * SIDE * SIDE


def correlated(count, seed=0):
    """Images (N, 3, 8, 8) uint8 whose neighbouring pixels are alike, as those of photographs."""
    noise = torch.rand((count, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))
    smooth = noise.cumsum(2).cumsum(3)
    return (255 * smooth / smooth.amax((1, 2, 3), keepdim=True)).to(torch.uint8)


def data_set(count=300):
    train = LabelledImages(correlated(count), torch.arange(count) % 2)
    test = LabelledImages(correlated(20, seed=1), torch.arange(20) % 2)
    return ImageData("toys", train, test, ("a", "b"), False, fingerprint(train, test, ("a", "b")))


def as_keras(images, others, epsilon=1e-6):
    """ImageDataGenerator(zca_whitening=True, rescale=1/255): fit(images), then standardize(others). (N, H, W, 3)."""
    pixels, others = (each.permute(0, 2, 3, 1).numpy().astype(np.float64) / 255 for each in (images, others))
    mean = pixels.mean(axis=(0, 1, 2))
    flat = (pixels - mean).reshape(len(pixels), -1)
    u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
    matrix = (u * (np.sqrt(len(flat)) / (s + epsilon))).dot(u.T)
    return ((others - mean).reshape(len(others), -1) @ matrix).reshape(others.shape)


@pytest.mark.parametrize("epsilon", [1e-6, 5.0])
@pytest.mark.parametrize("count", [300, 1500, 60], ids=["300 images", "several blocks", "fewer than directions"])
def test_it_is_keras_formula(count, epsilon):
    images, others = correlated(count), correlated(20, seed=1)
    fitted = fit_whitening(images, torch.arange(count), epsilon)
    found = fitted(others.float() / 255)
    expected = as_keras(images, others, epsilon)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), expected, atol=1e-4)
    assert (fitted.images, fitted.rank) == (count, min(count, DIRECTIONS))


def test_whitened_training_images_have_unit_covariance():
    images = correlated(1500)
    white = fit_whitening(images, torch.arange(1500), 1e-6)(images.float() / 255).flatten(1)
    moments = white.T @ white / 1500  # about the channels' means, as Keras'
    torch.testing.assert_close(moments, torch.eye(DIRECTIONS), atol=2e-3, rtol=0)


def test_only_the_chosen_images_count_in_any_order():
    images = correlated(400)
    fitted = fit_whitening(images, torch.arange(300), 1e-6)
    alone = fit_whitening(images[:300], torch.arange(300), 1e-6)
    assert torch.equal(fitted.matrix, alone.matrix)
    turned = fit_whitening(images, torch.arange(300).flip(0), 1e-6)
    assert torch.equal(fitted.matrix, turned.matrix)  # sums are exact


def test_threads_change_no_bit():
    before = torch.get_num_threads()
    try:
        fits = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fits.append(fit_whitening(correlated(300), torch.arange(300), 1e-6))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(fits[0].matrix, fits[1].matrix)


def test_what_never_varies_becomes_nothing_and_a_note_says_so():
    """By Keras' formula a black border would be rounding noise times a million."""
    images = correlated(500)
    images[:, :, 0] = images[:, :, :, 0] = 0
    fitted = fit_whitening(images, torch.arange(500), 1e-6)
    white = fitted(images.float() / 255)
    assert white.isfinite().all()
    assert white.abs().max() < 50
    assert fitted.rank < DIRECTIONS
    assert f"vary in {fitted.rank:,} of {DIRECTIONS:,} directions" in fitted.notes[0]
    assert fit_whitening(correlated(500), torch.arange(500), 1e-6).notes == ()


def test_few_images_are_told():
    fitted = fit_whitening(correlated(60), torch.arange(60), 1e-6)
    assert fitted.notes == (
        "data.whitening=zca: the 60 training images vary in 60 of 192 directions, and what other images have in the "
        "rest is lost; train on more images",
    )


def test_equal_images_have_nothing_to_whiten():
    fitted = fit_whitening(torch.full((9, 3, SIDE, SIDE), 128, dtype=torch.uint8), torch.arange(9), 1e-6)
    assert (fitted.rank, fitted.matrix.abs().max()) == (0, 0)


def test_it_computes_in_float32_under_autocast():
    fitted = fit_whitening(correlated(300), torch.arange(300), 1e-6)
    images = correlated(20, seed=1).float() / 255
    with torch.autocast("cpu", torch.bfloat16):
        under, cast = fitted(images), whiten(images, fitted.mean, fitted.matrix)
    assert torch.equal(under, fitted(images))
    assert not torch.equal(under, cast)


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_are_augmented_and_then_whitened(channels_last):
    data, augmentation = data_set(), RotateShiftFlip(zoom=0.2, vertical_flip=True)
    fitted = fit_whitening(data.train.images, torch.arange(300), 1e-6)
    ways = {"augmentation": augmentation, "channels_last": channels_last}
    plain, white = (
        TrainBatches(data.train, [torch.arange(300)], 64, seed=3, whitening=w, **ways) for w in (None, fitted)
    )
    for (images, labels), (found, same) in zip(plain.epoch(1), white.epoch(1), strict=True):
        assert torch.equal(labels, same)
        torch.testing.assert_close(found, fitted(images))
        assert found.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    (tested, _), *_ = EvalBatches(data.test, torch.arange(20), 20, whitening=fitted, channels_last=channels_last)
    torch.testing.assert_close(tested, fitted(data.test.images.float() * (1 / 255)))


@pytest.fixture
def counted(monkeypatch):
    """Counts the fits."""
    fits = []

    def fit(*arguments):
        fits.append(arguments)
        return fit_whitening(*arguments)

    monkeypatch.setattr("cifar_sweeps.data.whitening.fit_whitening", fit)
    return fits


def test_it_is_fitted_once_for_the_same_images_and_epsilon(tmp_path, counted):
    data = data_set()
    first = cached_whitening(tmp_path, data, torch.arange(200), 1e-6)
    again = cached_whitening(tmp_path, data, torch.arange(200).flip(0), 1e-6)
    assert torch.equal(first.matrix, again.matrix)
    assert (again.images, again.rank) == (200, 192)
    assert len(counted) == 1
    for other in ((torch.arange(201), 1e-6), (torch.arange(1, 201), 1e-6), (torch.arange(200), 0.1)):
        cached_whitening(tmp_path, data, *other)
    cached_whitening(tmp_path, data_set(301), torch.arange(200), 1e-6)
    assert len(counted) == 5


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-100]], ids=["empty", "cut off"])
def test_a_damaged_file_is_made_anew(tmp_path, counted, caplog, damage):
    data = data_set()
    first = cached_whitening(tmp_path, data, torch.arange(200), 1e-6)
    matrix, (path,) = first.matrix.clone(), tmp_path.glob("*.pt")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(content))
    assert torch.equal(cached_whitening(tmp_path, data, torch.arange(200), 1e-6).matrix, matrix)
    assert "damaged" in caplog.text
    assert len(counted) == 2


def test_a_file_of_another_size_is_made_anew(tmp_path, counted):
    data = data_set()
    cached_whitening(tmp_path, data, torch.arange(200), 1e-6)
    (path,) = tmp_path.glob("*.pt")
    torch.save({"mean": torch.zeros(3), "matrix": torch.eye(3), "images": 200, "rank": 3}, path)
    assert cached_whitening(tmp_path, data, torch.arange(200), 1e-6).matrix.shape == (DIRECTIONS, DIRECTIONS)
    assert len(counted) == 2


def test_progress_is_told_until_it_is_done():
    told = []
    fit_whitening(correlated(1500), torch.arange(1500), 1e-6, lambda *step: told.append(step))
    what = "fitting the whitening on 1,500 images"
    assert told == [(what, 0, 1500), (what, 1024, 1500), (what, 1500, 1500)]
