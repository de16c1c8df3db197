"""Text on pictures that are drawn with Pillow: fonts that have its letters, and lines that fit."""

import functools

from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from cifar_sweeps.analysis.matplotlib_setup import font_files


class TextWriter:
    """Writes text on a picture, and collects the letters that no font here has: they are drawn as boxes."""

    def __init__(self, image: Image.Image) -> None:
        self.missing: set[str] = set()
        self._image = image
        self._draw = ImageDraw.Draw(image)

    def write(
        self,
        place: tuple[float, float],
        text: str,
        size: int,
        *,
        anchor: str = "la",
        colour: str = "black",
        room: float | None = None,
        angle: int = 0,
    ) -> None:
        """Write one line. size: of the letters in pixels. room: its most pixels; a longer text loses its middle.

        anchor: Pillow's two letters: l, m or r, and a (top of the line), m or s (its baseline). angle: in degrees,
        counter-clockwise; the text is then centred at ``place``, or with ``r`` ends there.
        """
        font, missing = font_for(text, size)
        self.missing |= missing
        shown = printable(text)
        if room is not None:
            shown = fitting(shown, font, room)
        if angle:
            self._write_turned(place, shown, font, anchor, colour, angle)
        else:
            self._draw.text(place, shown, fill=colour, font=font, anchor=anchor)

    def _write_turned(
        self,
        place: tuple[float, float],
        text: str,
        font: ImageFont.FreeTypeFont,
        anchor: str,
        colour: str,
        angle: int,
    ) -> None:
        width, (ascent, descent) = round(font.getlength(text)) + 4, font.getmetrics()
        height = ascent + descent
        # With its end, or its middle, at the centre of a square, the text turns about that.
        side = 2 * (width if anchor[0] == "r" else width // 2 + 1) + height
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).text((side / 2, side / 2), text, fill=255, font=font, anchor=f"{anchor[0]}m")
        turned = mask.rotate(angle, Image.Resampling.BICUBIC)
        corner = (round(place[0] - side / 2), round(place[1] - side / 2))
        self._image.paste(colour, corner, turned)


def text_width(text: str, size: int) -> float:
    """Return how wide a line of text is, in pixels. size: of its letters."""
    return font_for(text, size)[0].getlength(printable(text))


def wrapped(text: str, size: int, room: float) -> list[str]:
    """Return a text's lines, broken between words where they would be wider than ``room`` pixels."""
    lines: list[str] = []
    for part in text.split("\n"):
        line = ""
        for word in part.split(" "):
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, size) > room:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """Return the text, without so much of its middle that it is as wide as ``room``: names often begin alike."""
    if font.getlength(text) <= room:
        return text
    kept = len(text) - 1
    while kept > 1:
        half = kept // 2
        cut = f"{text[: kept - half]}…{text[-half:]}"
        if font.getlength(cut) <= room:
            return cut
        kept -= 1
    return "…"


def without_middle(text: str, length: int) -> str:
    """Return a text that has at most ``length`` letters: a longer one loses its middle, as names often begin alike."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-(length - half - 1) :]}"


def printable(text: str) -> str:
    """Return a text with a mark in place of each letter that cannot be drawn, such as a control character."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def font_for(text: str, size: int) -> tuple[ImageFont.FreeTypeFont, set[str]]:
    """Return the first font that has all letters of a text, else the one that lacks the fewest; and what it lacks."""
    lacking, letters = {}, frozenset(text)
    for file in font_files().values():
        lacking[file] = {letter for letter in letters - _letters(file) if letter.isprintable()}
        if not lacking[file]:
            break
    best = min(lacking, key=lambda file: len(lacking[file]))
    return _load_font(best, size), lacking[best]


def load_fonts() -> None:
    """Find the fonts that there are, and read which letters the first one has."""
    font_for("a", 12)


@functools.cache
def _letters(file: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(file).get_charmap()))


@functools.cache
def _load_font(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
