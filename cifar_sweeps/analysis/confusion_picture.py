"""The picture of a confusion matrix."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cifar_sweeps.analysis.picture_text import TextWriter, text_width, without_middle, wrapped
from cifar_sweeps.analysis.sheet import Sheet

MAX_CLASSES_WITH_COUNTS = 25
MAX_NAME_LENGTH = 18
_BLUES = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")
"""ColorBrewer's Blues, from 0 to 1; between them colours are mixed."""
_TITLE, _LABEL, _SMALL_NAME, _LINE = 18, 15, 9, 23
"""Heights of letters in pixels, and of a line of the title."""
_GAP, _TICK, _CAPTION = 10, 5, 19
_LEAST_SIDE, _MOST_SIDE = 400, 1400


@dataclass(frozen=True)
class _Layout:
    """Where what is drawn, in pixels. unit: a cell's side. left, top: the upper left corner of the cells."""

    unit: int
    classes: int
    left: int
    top: int

    @property
    def side(self) -> int:
        return self.unit * self.classes

    @property
    def middle(self) -> float:
        return self.left + self.side / 2

    def at(self, number: int) -> float:
        """Return the middle of a row or column, from the cells' own corner."""
        return (number + 0.5) * self.unit


def confusion_heatmap(
    confusion: npt.NDArray[np.int64], classes: Sequence[str], title: str = "", *, scale: int = 1
) -> Sheet:
    """Draw a confusion matrix.

    confusion: (C, C) counts, rows actual, columns predicted. Colour is the fraction of the row, so that classes of
    unequal size can be compared; cells show their counts and that fraction if there are at most 25 classes.
    scale: how many pixels each one becomes, where the picture is to be enlarged or printed.
    """
    fraction = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    is_large = len(classes) > MAX_CLASSES_WITH_COUNTS
    names, unit = [without_middle(name, MAX_NAME_LENGTH) for name in classes], _unit(len(classes)) * scale
    size = (_SMALL_NAME if is_large else _LABEL) * scale
    longest = round(max(text_width(name, size) for name in names))
    gap, side = _GAP * scale, unit * len(classes)
    left = 2 * gap + longest + 28 * scale
    headings = wrapped(title, _TITLE * scale, left + side) if title else []
    layout = _Layout(unit, len(classes), left, gap + gap // 2 + len(headings) * _LINE * scale)
    # Without counts in the cells, the colours need their bar.
    captions = ["predicted"] if is_large else ["predicted", "counts, and their fractions of the actual class"]
    below = 2 * gap + longest * (100 if is_large else 75) // 100 + (len(captions) * _CAPTION + 8) * scale
    width = left + side + (110 * scale if is_large else gap)
    image = Image.new("RGB", (width, layout.top + side + below), "white")
    # Spread over many classes, confusions are a few hundredths each: by their square roots they show without counts.
    cells = Image.fromarray(_coloured(np.sqrt(fraction) if is_large else fraction))
    image.paste(cells.resize((side, side), Image.Resampling.NEAREST), (left, layout.top))
    ImageDraw.Draw(image).rectangle((left, layout.top, left + side, layout.top + side), outline="black", width=scale)

    writer = TextWriter(image)
    for number, heading in enumerate(headings):
        place = (layout.middle, gap + number * _LINE * scale)
        writer.write(place, heading, _TITLE * scale, anchor="ma", room=width - 2 * gap)
    _write_names(image, writer, layout, names, size, scale)
    writer.write((gap + 8 * scale, layout.top + side / 2), "actual", _LABEL * scale, anchor="mm", angle=90)
    for number, caption in enumerate(reversed(captions)):
        y = image.height - ((number + 1) * _CAPTION + 6) * scale
        writer.write((layout.middle, y), caption, _LABEL * scale, anchor="ma")
    if is_large:
        _draw_colour_bar(image, writer, (left + side + 2 * gap, layout.top + side // 10, side * 8 // 10), scale)
    else:
        _write_cells(writer, layout, cell_texts(confusion, fraction), scale)
    return Sheet(image, writer.missing, is_chart=True)


def cell_texts(
    confusion: npt.NDArray[np.int64], fraction: npt.NDArray[np.float64]
) -> Iterator[tuple[tuple[int, int], str, str]]:
    """Yield what each cell of a confusion matrix says: its row and column, its text, and the text's colour."""
    for (row, column), count in np.ndenumerate(confusion):
        share = fraction[row, column]
        yield (row, column), f"{count}\n{share:.1%}" if count else "0", "white" if share > 0.5 else "black"


def _unit(classes: int) -> int:
    if classes <= MAX_CLASSES_WITH_COUNTS:
        return max(78 if classes <= 12 else 56, _LEAST_SIDE // classes)
    return max(1, min(11, _MOST_SIDE // classes))


def _write_names(
    image: Image.Image, writer: TextWriter, layout: _Layout, names: Sequence[str], size: int, scale: int
) -> None:
    """Write the classes' names, with a tick each, on the left and below; of very many every second or third."""
    draw, bottom, is_upright = ImageDraw.Draw(image), layout.top + layout.side, size < _LABEL * scale
    for number in range(0, len(names), math.ceil(size / layout.unit)):
        x, y = layout.left + layout.at(number), layout.top + layout.at(number)
        draw.line((layout.left - _TICK * scale, y, layout.left, y), fill="black", width=scale)
        draw.line((x, bottom, x, bottom + _TICK * scale), fill="black", width=scale)
        writer.write((layout.left - _GAP * scale, y), names[number], size, anchor="rm")
        writer.write((x, bottom + _GAP * scale), names[number], size, anchor="rm", angle=90 if is_upright else 45)


def _write_cells(
    writer: TextWriter, layout: _Layout, cells: Iterator[tuple[tuple[int, int], str, str]], scale: int
) -> None:
    size = (12 if layout.classes <= 12 else 11) * scale
    for (row, column), text, colour in cells:
        lines = text.split("\n")
        for number, line in enumerate(lines):
            y = layout.top + layout.at(row) + (number - (len(lines) - 1) / 2) * 14 * scale
            writer.write((layout.left + layout.at(column), y), line, size, anchor="mm", colour=colour)


def _coloured(shades: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return the colours of values from 0 to 1: (rows, columns, 3)."""
    stops = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in _BLUES])
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(shades, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _draw_colour_bar(image: Image.Image, writer: TextWriter, place: tuple[int, int, int], scale: int) -> None:
    """Draw which colour means which fraction. place: left, top and height."""
    left, top, height = place
    width, size = 20 * scale, 14 * scale
    bar = Image.fromarray(_coloured(np.linspace(1, 0, height)[:, None]))
    image.paste(bar.resize((width, height), Image.Resampling.NEAREST), (left, top))
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, left + width, top + height), outline="black", width=scale)
    for tick in (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0):
        y = top + round((1 - math.sqrt(tick)) * (height - 1))
        draw.line((left + width, y, left + width + 4 * scale, y), fill="black", width=scale)
        writer.write((left + width + 7 * scale, y), f"{tick:g}", size, anchor="lm")
    x = left + width + 52 * scale
    writer.write((x, top + height / 2), "fraction of the actual class", size, anchor="mm", angle=90)
