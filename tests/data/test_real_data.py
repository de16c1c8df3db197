"""CIFAR-10's real images, where this machine has them: a folder of JPEG copies in CIFAR_SWEEPS_REAL_DATA."""

import os

import pytest
import torch

from cifar_sweeps.data import load_image_folder
from cifar_sweeps.data.cifar.cifar10 import CLASSES

REAL_DATA = os.environ.get("CIFAR_SWEEPS_REAL_DATA") or None


@pytest.mark.slow
@pytest.mark.skipif(REAL_DATA is None, reason="CIFAR_SWEEPS_REAL_DATA names no folder with CIFAR-10's images")
def test_the_jpeg_copy_is_whole(tmp_path):
    data, again = (load_image_folder(root=REAL_DATA, cache=tmp_path) for _ in range(2))
    assert data.train.images.shape == (50_000, 3, 32, 32)
    assert data.test.images.shape == (10_000, 3, 32, 32)
    assert data.classes == CLASSES
    assert data.name == "CIFAR-10 (JPEG copy)"
    assert data.original_order is False
    assert torch.bincount(data.train.labels).tolist() == [5_000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1_000] * 10
    # The published means by channel are .4914 .4822 .4465.
    means = data.train.images[::7].float().mean(dim=(0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.005)
    assert again.fingerprint == data.fingerprint
    assert torch.equal(again.test.images, data.test.images)
