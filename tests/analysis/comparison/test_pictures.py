"""Pictures of a comparison: maps over images, sheets of examples, classes beside each other."""

import numpy as np
import pytest
import torch
from analysis.comparison.test_disagreements import made

from cifar_sweeps.analysis.comparison.disagreements import combine
from cifar_sweeps.analysis.comparison.pictures import MAX_CLASSES, Maps, example_sheet, overlay, plot_classes


def test_a_map_keeps_its_own_cells_over_a_grey_image():
    image = torch.full((3, 4, 6), 100, dtype=torch.uint8)
    image[0] = 160
    drawn = overlay(image, torch.tensor([[0.0, 1.0], [0.5, 7.0]]))
    assert drawn.shape == image.shape
    assert (drawn[:, :2, :3] == 120).all()  # the mean of the channels
    whole = [round(0.25 * 120 + 0.75 * value) for value in (213, 94, 0)]
    assert drawn[:, 0, 5].tolist() == whole
    assert drawn[:, 3, 5].tolist() == whole  # beyond 1: as 1
    assert len({tuple(drawn[:, y, x].tolist()) for y in range(4) for x in range(6)}) == 3


@pytest.mark.parametrize("with_maps", [False, True])
def test_a_sheet_has_a_tile_for_each_image_and_map(with_maps):
    labels = [0, 1, 2, 0]
    pair = combine([made(labels, [0, 1, 2, 0])]), combine([made(labels, [1, 2, 0, 1])] * 2)
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    maps = Maps(torch.zeros(4, 2, 2), torch.ones(4, 2, 2)) if with_maps else None
    sheet = example_sheet(images, pair, [0, 1, 2, 3], maps)
    assert sheet.missing == set()
    pixels = np.asarray(sheet.image)
    heat = [round(0.75 * value) for value in (213, 94, 0)]
    assert (pixels == heat).all(axis=2).sum() == (4 * 128 * 128 if with_maps else 0)  # 32 pixels enlarged four times
    black = (pixels == 0).all(axis=2).sum()
    assert black >= 128 * 128 * (8 if with_maps else 4)


@pytest.mark.parametrize("classes", [3, MAX_CLASSES + 5])
def test_classes_are_points_of_both_sides_at_their_values(classes):
    first, second = np.linspace(0, 0.5, classes), np.linspace(1, 0.5, classes)
    (axes,) = plot_classes([f"class {k} $x" for k in range(classes)], first, second, "recall").axes
    shown = min(classes, MAX_CLASSES)
    assert [line.get_xdata().tolist() for line in axes.lines] == [first[:shown].tolist(), second[:shown].tolist()]
    assert len(axes.get_yticklabels()) == shown
