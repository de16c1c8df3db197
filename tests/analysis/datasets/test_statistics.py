"""Mean, deviation, grey and plain images, as numpy computes them."""

import numpy as np
import pytest
import torch

from cifar_sweeps.analysis.datasets.statistics import pixel_statistics


def test_statistics_are_numpys():
    images = torch.randint(0, 256, (700, 3, 9, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[3] = images[3, 0]  # grey
    images[4] = 200
    images[5] = torch.tensor([1, 2, 3], dtype=torch.uint8)[:, None, None]
    chosen = torch.arange(1, 650)
    found = pixel_statistics(images, chosen)
    values = images[chosen].double().numpy() / 255
    assert found.mean == pytest.approx(values.mean(axis=(0, 2, 3)), abs=1e-9)
    assert found.std == pytest.approx(values.std(axis=(0, 2, 3)), abs=1e-9)
    assert found.brightness == pytest.approx(values.mean(axis=(1, 2, 3)), abs=1e-9)
    assert found.deviation == pytest.approx(values.std(axis=(1, 2, 3)), abs=1e-9)
    assert np.flatnonzero(found.grey).tolist() == [2, 3]
    assert np.flatnonzero(found.flat).tolist() == [3, 4]
