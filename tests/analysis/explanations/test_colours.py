"""Colours of maps, and pixels that are enlarged and not smoothed."""

import matplotlib
import torch

from cifar_sweeps.analysis.explanations import colours


def test_heat_is_viridis_and_pixel_for_pixel():
    found = colours.heat(torch.tensor([[[0.0, 0.5, 1.0]]]))
    expected = matplotlib.colormaps["viridis"]([0, 128, 255], bytes=True)[:, :3]
    assert found.shape == (1, 3, 1, 3)
    assert found[0, :, 0].T.tolist() == expected.tolist()


def test_signed_values_are_blue_above_zero_and_orange_below():
    red, _, blue = colours.signed(torch.tensor([[[2.0, 0.0, -2.0]]]))[0, :, 0].int()
    assert blue[0] > red[0]
    assert red[2] > blue[2]
    assert min(red[1], blue[1]) >= 253


def test_an_even_map_is_dark_and_not_divided_by_zero():
    assert colours.own_range(torch.full((1, 2, 2), 7.0)).tolist() == [[[0, 0], [0, 0]]]
    assert colours.signed(torch.zeros(1, 2, 2)).min() >= 253


def test_pixels_are_enlarged_and_not_smoothed():
    image = torch.randint(0, 256, (1, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(colours.enlarged(image, 20), image.repeat_interleave(3, 2).repeat_interleave(3, 3))


def test_over_the_image_a_map_is_the_denser_the_higher():
    image = torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    over = colours.over_image(image, torch.tensor([[0.0, 1.0]]))
    assert over.shape == (3, 128, 128)
    grey = (image.float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)
    yellow = torch.tensor([int(value) for value in matplotlib.colormaps["viridis"](255, bytes=True)[:3]])
    expected = torch.stack([grey] * 3)
    expected[:, :, 2:] = 0.3 * expected[:, :, 2:] + 0.7 * yellow.view(3, 1, 1)
    assert (over[:, ::32, ::32].float() - expected).abs().max() <= 0.51
