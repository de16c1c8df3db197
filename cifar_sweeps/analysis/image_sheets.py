"""Sheets of many small images with a few words on each: one plot an image would take ten times as long to draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageColor
from torch import Tensor
from torch.nn import functional as F

from cifar_sweeps.analysis.matplotlib_setup import BLUE, VERMILLION
from cifar_sweeps.analysis.mistakes import ConfusedPair, Positions
from cifar_sweeps.analysis.picture_text import TextWriter, wrapped
from cifar_sweeps.analysis.predictions import Predictions
from cifar_sweeps.analysis.sheet import Sheet
from cifar_sweeps.errors import DataError

COLUMNS = 8
_TWO_LINES = "first line: the actual class; second: the probability and name of the predicted one"
_LEAST_SIDE, _MOST_SIDE = 110, 256
"""Pixels of an image's longer side: small images are enlarged by a whole factor, pixel for pixel."""
_GAP, _FRAME, _LINE = 8, 3, 16
_NARROWEST = 480
_SIZES = {"title": 16, "heading": 14, "text": 12, "note": 11}
"""Heights of the letters in pixels."""


@dataclass(frozen=True)
class Tile:
    """An image with lines of text above it. image: (3, H, W) uint8. colour: of its frame and its last line."""

    image: Tensor
    lines: tuple[str, ...] = ()
    colour: str | None = None


def image_sheet(
    rows: Sequence[Sequence[Tile]],
    title: str = "",
    row_names: Sequence[str] = (),
    note: str = "",
    least_side: int = _LEAST_SIDE,
) -> Sheet:
    """Draw tiles in rows. row_names: a heading above each row, or none. note: a line below all.

    least_side: pixels of an image's longer side that smaller ones are enlarged to, or to more.
    All images are of one size. There must be one at least. Texts that are too long lose their middle.
    """
    tiles = [[replace(tile, image=_reduced(tile.image)) for tile in row] for row in rows]
    factor = max(1, math.ceil(least_side / max(tiles[0][0].image.shape[1:])))
    height, width = (factor * side for side in tiles[0][0].image.shape[1:])
    head = _LINE + 8 if row_names else 0
    text_height = head + max(len(tile.lines) for row in rows for tile in row) * _LINE
    cell = (text_height + height + 2 * _FRAME + _GAP, width + 2 * _FRAME + _GAP)
    side = max(max(len(row) for row in rows) * cell[1] + _GAP, _NARROWEST)
    titles = wrapped(title, _SIZES["title"], side - 2 * _GAP) if title else []
    top = _GAP + (_SIZES["title"] + 4) * len(titles)
    canvas = np.full((top + len(rows) * cell[0] + (_SIZES["note"] + 10 if note else 0), side, 3), 255, np.uint8)
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            _paint(canvas, tile, _GAP + c * cell[1], top + r * cell[0] + text_height, factor)
    sheet = Sheet(Image.fromarray(canvas))
    writer = TextWriter(sheet.image)

    def write(x: int, y: int, text: str, kind: str, room: int, colour: str = "black") -> None:
        writer.write((x, y), text, _SIZES[kind], colour=colour, room=room)

    for n, line in enumerate(titles):
        write(_GAP, _GAP // 2 + n * (_SIZES["title"] + 4), line, "title", side - 2 * _GAP)
    for r, row in enumerate(tiles):
        y = top + r * cell[0]
        if row_names:
            write(_GAP, y + 4, row_names[r], "heading", side - 2 * _GAP)
        for c, tile in enumerate(row):
            for n, line in enumerate(tile.lines, 1):
                colour = tile.colour if tile.colour and n == len(tile.lines) else "black"
                write(_GAP + c * cell[1], y + head + (n - 1) * _LINE, line, "text", cell[1] - 4, colour)
    if note:
        write(_GAP, len(canvas) - _SIZES["note"] - 8, note, "note", side - 2 * _GAP, "#444444")
    sheet.missing = writer.missing
    return sheet


def prediction_grid(
    images: Tensor, predictions: Predictions, *, count: int = 24, seed: int = 0, title: str = ""
) -> Sheet:
    """Draw images with their actual class, the predicted one and its probability; ✗ and colour mark errors.

    images: (N, 3, H, W) uint8, which ``predictions.index`` points into. The images shown are the first ``count`` of a
    permutation drawn from seed, as data may be sorted by class. Raises DataError if there is no image.
    """
    if len(predictions) == 0:
        raise DataError("no image to draw: a prediction grid needs at least one; check the data set's test split")
    shown = torch.randperm(len(predictions), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    return image_sheet(_in_rows(_tiles(images, predictions, shown)), title, note=_TWO_LINES)


def mistakes_sheet(images: Tensor, predictions: Predictions, positions: Positions, title: str = "") -> Sheet:
    """Draw misclassified images, each with its actual class, and the predicted one and its probability.

    positions: of `confident_mistakes`; at least one. images: as of `prediction_grid`.
    """
    return image_sheet(_in_rows(_tiles(images, predictions, positions.tolist())), title, note=_TWO_LINES)


def class_mistakes_sheet(images: Tensor, predictions: Predictions, rows: Sequence[Positions], title: str = "") -> Sheet:
    """Draw a row a class: misclassified images of it, each with the predicted class and its probability.

    rows: positions of `confident_mistakes` that have one label, at least one each.
    """
    tiles = [
        [replace(tile, lines=tile.lines[1:]) for tile in _tiles(images, predictions, row.tolist())] for row in rows
    ]
    names = [predictions.classes[predictions.labels[row[0]]] for row in rows]
    return image_sheet(tiles, title, names, note="the probability and name of the predicted class")


def pairs_sheet(images: Tensor, predictions: Predictions, pairs: Sequence[ConfusedPair], title: str = "") -> Sheet:
    """Draw a row a pair of classes: images of the one that were taken for the other, with that one's probability.

    pairs: of `confused_pairs`, with their examples; at least one. images: as of `prediction_grid`.
    """
    names, confidence = predictions.classes, predictions.confidence
    rows, headings = [], []
    for pair in pairs:
        actual, predicted = names[pair.actual], names[pair.predicted]
        headings.append(f"{actual} taken for {predicted}: {pair.count:,} images, {pair.rate:.1%} of all {actual}")
        rows.append(
            [
                Tile(images[int(predictions.index[at])], (f"{confidence[at]:.2f}",), VERMILLION)
                for at in pair.examples[:COLUMNS]
            ]
        )
    return image_sheet(rows, title, headings, note="the number: the probability of the predicted class")


def _tiles(images: Tensor, predictions: Predictions, positions: Sequence[int]) -> list[Tile]:
    names, confidence, winners = predictions.classes, predictions.confidence, predictions.predicted
    tiles = []
    for at in positions:
        actual, predicted = predictions.labels[at], winners[at]
        text = f"{'✓' if actual == predicted else '✗'} {confidence[at]:.2f} {names[predicted]}"
        colour = BLUE if actual == predicted else VERMILLION
        tiles.append(Tile(images[int(predictions.index[at])], (names[actual], text), colour))
    return tiles


def _in_rows(tiles: Sequence[Tile]) -> list[Sequence[Tile]]:
    return [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]


def _reduced(image: Tensor) -> Tensor:
    longest = max(image.shape[1:])
    if longest <= _MOST_SIDE:
        return image
    size = [max(1, side * _MOST_SIDE // longest) for side in image.shape[1:]]
    return F.interpolate(image[None].float(), size, mode="area")[0].round().to(torch.uint8)


def _paint(canvas: npt.NDArray[np.uint8], tile: Tile, x: int, y: int, factor: int) -> None:
    """Paint a tile's frame and its image, each pixel ``factor`` times in both directions."""
    height, width = (factor * side for side in tile.image.shape[1:])
    if tile.colour:
        line = np.tile(np.array(ImageColor.getrgb(tile.colour)[:3], np.uint8), (width + 2 * _FRAME, 1))
        canvas[y : y + height + 2 * _FRAME, x : x + width + 2 * _FRAME] = line
    # Line by line, each copied as a whole: ten times as fast as pixel by pixel.
    lines = np.ascontiguousarray(tile.image.permute(1, 2, 0).numpy()).repeat(factor, axis=1)
    room = canvas[y + _FRAME : y + _FRAME + height, x + _FRAME : x + _FRAME + width]
    room.reshape(-1, factor, width, 3)[:] = lines[:, None]
