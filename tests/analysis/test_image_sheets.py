"""Sheets of images: which are drawn, where, framed how, and with what text."""

import numpy as np
import pytest
import torch
from analysis.made_predictions import drawn
from PIL import ImageColor

from cifar_sweeps.analysis import image_sheets, picture_text
from cifar_sweeps.analysis.image_sheets import Tile, image_sheet
from cifar_sweeps.analysis.matplotlib_setup import BLUE, VERMILLION
from cifar_sweeps.analysis.mistakes import confident_mistakes, confused_pairs
from cifar_sweeps.analysis.predictions import Predictions
from cifar_sweeps.errors import DataError

IMAGES = torch.arange(500).view(500, 1, 1, 1).remainder(250).expand(500, 3, 8, 8).to(torch.uint8)


@pytest.fixture
def asked(monkeypatch):
    """The arguments of each sheet that is drawn."""
    calls = []

    def capture(rows, title="", row_names=(), note=""):
        calls.append((rows, row_names))
        return image_sheet(rows, title, row_names, note)

    monkeypatch.setattr(image_sheets, "image_sheet", capture)
    return calls


def tiles(call):
    return [tile for row in call[0] for tile in row]


def test_a_grid_shows_class_prediction_and_probability_and_marks_errors(asked):
    predictions = drawn()
    image_sheets.prediction_grid(IMAGES, predictions, count=200)
    texts = set()
    for tile in tiles(asked[0]):
        sign, _, guess = tile.lines[1].split(" ", 2)
        wrong = tile.lines[0] != guess
        assert (sign, tile.colour) == (("✗", VERMILLION) if wrong else ("✓", BLUE))
        texts.add((tile.lines[0], tile.lines[1], int(tile.image[0, 0, 0])))
    real = {
        (
            predictions.classes[label],
            f"{'✓' if label == row.argmax() else '✗'} {row.max():.2f} {predictions.classes[row.argmax()]}",
            int(IMAGES[index, 0, 0, 0]),
        )
        for label, row, index in zip(predictions.labels, predictions.probabilities, predictions.index, strict=True)
    }
    assert texts <= real


def test_a_grid_samples_all_images_by_seed(asked):
    predictions = drawn()
    for seed in (0, 0, 1):
        image_sheets.prediction_grid(IMAGES, predictions, seed=seed)
    first, again, other = ([int(tile.image[0, 0, 0]) for tile in tiles(call)] for call in asked)
    assert first == again != other
    assert len(first) == 24
    assert max(first) - min(first) > 100  # not the first ones, which would all be of one class in sorted data


def test_a_grid_without_images_is_refused():
    empty = Predictions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 2), np.float32), ("a", "b"))
    with pytest.raises(DataError, match="no image"):
        image_sheets.prediction_grid(IMAGES, empty)


def test_pairs_have_a_row_each_of_their_own_images(asked):
    predictions = drawn()
    pairs = confused_pairs(predictions, 3, 5)
    image_sheets.pairs_sheet(IMAGES, predictions, pairs)
    rows, names = asked[0]
    for pair, row, name in zip(pairs, rows, names, strict=True):
        assert name.startswith(f"class {pair.actual} taken for class {pair.predicted}: {pair.count} images")
        shown = [int(tile.image[0, 0, 0]) for tile in row]
        assert shown == [int(IMAGES[predictions.index[at], 0, 0, 0]) for at in pair.examples]


def test_mistakes_of_a_class_stand_in_its_row(asked):
    predictions = drawn()
    wrong = confident_mistakes(predictions)
    rows = [wrong[predictions.labels[wrong] == number][:4] for number in range(4)]
    image_sheets.class_mistakes_sheet(IMAGES, predictions, rows)
    assert asked[0][1] == [f"class {number}" for number in range(4)]
    assert all(tile.colour == VERMILLION for tile in tiles(asked[0]))


def test_each_image_stands_pixel_for_pixel_within_its_frame():
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (3, 3, 10, 20), dtype=torch.uint8, generator=draw)
    sheet = image_sheet([[Tile(images[0], ("a", "b"), VERMILLION), Tile(images[1], ("a",), BLUE)], [Tile(images[2])]])
    pixels = np.asarray(sheet.image)
    for image, colour in zip(images, (VERMILLION, BLUE, None), strict=True):
        wanted = image.permute(1, 2, 0).numpy().repeat(6, 0).repeat(6, 1)  # 20 pixels become 120, above 110
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (60, 120, 3))[:, :, 0]
        corners = np.argwhere((windows[:, :, 0, 0] == wanted[0, 0]).all(axis=-1))
        (place,) = [(y, x) for y, x in corners if np.array_equal(windows[y, x], wanted)]
        if colour:
            assert tuple(pixels[place[0] - 1, place[1] - 1]) == ImageColor.getrgb(colour)


def test_large_images_are_made_smaller():
    sheet = image_sheet([[Tile(torch.full((3, 900, 600), 7, dtype=torch.uint8))]])
    assert sheet.image.height < 300
    assert (np.asarray(sheet.image) == 7).all(axis=-1).sum() == 256 * 170


@pytest.mark.parametrize(
    "text", ["$\\frac{a$", "a\x1b[2J", "x" * 300, "a\nb", "", "猫 𝔘"], ids=lambda text: ascii(text)[:12]
)
def test_any_text_is_drawn(text):
    tile = Tile(torch.zeros(3, 8, 8, dtype=torch.uint8), (text, text), BLUE)
    sheet = image_sheet([[tile]], text, [text], text)
    assert sheet.image.width < 700
    assert (np.asarray(sheet.image) < 100).all(axis=-1).any()


def test_letters_that_no_font_has_are_told(monkeypatch):
    monkeypatch.setattr(
        picture_text, "_letters", lambda file: {*map(chr, range(128))} if "DejaVuSans" in file else set()
    )
    tile = Tile(torch.zeros(3, 8, 8, dtype=torch.uint8), ("plain é",))
    assert image_sheet([[tile]]).missing == {"é"}
    assert not image_sheet([[Tile(tile.image, ("plain",))]]).missing
