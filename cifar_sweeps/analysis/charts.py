"""Charts of lines and bars drawn with Pillow: after each run of a sweep matplotlib would take most of a second."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cifar_sweeps.analysis.picture_text import TextWriter, text_width, wrapped
from cifar_sweeps.analysis.sheet import Sheet

Points: TypeAlias = npt.NDArray[np.float64]
"""(N, 2): places on the panel, in pixels from its upper left corner."""
Marker: TypeAlias = Literal["", "circle", "square", "diamond"]
TITLE, LABEL, TICK, LEGEND = 18, 15, 15, 13
"""Heights of the letters in pixels."""
FINE = 4
"""Lines and bars are drawn so many times larger, and made smaller again: their edges are then smooth."""
_DASHES = {"dashed": (8.5, 3.7), "dotted": (2.3, 3.8)}
"""Pixels of a line's stroke, and of the gap after it."""
_LINE_WIDTH, _MARKER = 2.3, 7.5
_EDGE, _GRID = "black", "#e4e4e4"
_GAP, _TICK_LENGTH = 10, 5
_RIGHT = 14
"""Room beside a panel, into which half of its last number stands."""
_MOST_TICKS = 9
_HANDLE, _LEGEND_LINE, _PADDING = 28, 20, 7
_CORNERS = ((1, 0), (0, 0), (0, 1), (1, 1), (1, 0.5), (0, 0.5), (0.5, 1), (0.5, 0))
"""Places for the legend, as fractions of the room that it leaves; the first that hides the least is taken."""


@dataclass(frozen=True)
class Line:
    """A curve through points, or points alone. marker: at each of them; hollow ones are white inside."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    name: str = ""
    dash: Literal["solid", "dashed", "dotted", "none"] = "solid"
    marker: Marker = ""
    is_hollow: bool = False


@dataclass(frozen=True)
class VerticalLine:
    """A dotted line from the panel's bottom to its top, at ``x``."""

    x: float
    colour: str
    name: str = ""


@dataclass(frozen=True)
class Bars:
    """Bars that stand on 0. x: their middles. width: of each, on the x axis."""

    x: Sequence[float]
    heights: Sequence[float]
    width: float
    colour: str
    name: str = ""


Part: TypeAlias = "Line | VerticalLine | Bars"


@dataclass(frozen=True)
class Panel:
    """One pair of axes. x_limits, y_limits: None: what the parts need. whole_x: only whole numbers are ticks of x.

    y_names: texts at 0, 1, 2 … in place of numbers. has_x_numbers: whether the ticks of x have theirs.
    """

    parts: Sequence[Part]
    x_label: str = ""
    y_label: str = ""
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    whole_x: bool = False
    y_names: Sequence[str] = ()
    has_x_numbers: bool = True
    has_legend: bool = False

    @property
    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ends of both axes."""
        x, y = [float(end) for end in self.x_limits or ()], [float(end) for end in self.y_limits or ()]
        for part in self.parts:
            match part:
                case Line():
                    x += [] if self.x_limits else list(part.x)
                    y += [] if self.y_limits else list(part.y)
                case Bars() if not self.y_limits:
                    y += [0, *part.heights]
        bars = any(isinstance(part, Bars) for part in self.parts)
        return self.x_limits or _with_margin(x, 0.03, 0.9), self.y_limits or _with_margin(y, 0.05, 0.5, from_zero=bars)

    def x_ticks(self, most: int = _MOST_TICKS) -> list[float]:
        """Return the places of the ticks of x."""
        return ticks(*self.limits[0], most, whole=self.whole_x)


def _with_margin(values: Sequence[float], share: float, least: float, from_zero: bool = False) -> tuple[float, float]:
    """Return limits around all finite values. least: the margin around a single one. from_zero: no margin below 0."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    margin = (high - low) * share or least
    return (0.0 if from_zero and low >= 0 else low - margin), high + margin


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Return round numbers from ``low`` to ``high``, ``most`` at most if they are not fewer than two."""
    rough = (high - low) / max(1, most)
    if rough <= 0 or not math.isfinite(rough):
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10, 20) if each * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, math.ceil(step - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _numbers(values: Sequence[float]) -> list[str]:
    """Return the texts of ticks, all with the decimals that the finest needs."""
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) if values else 1.0
    for decimals in range(8):
        if abs(round(step, decimals) - step) <= abs(step) * 1e-6:
            return [f"{value + 0.0:.{decimals}f}" for value in values]
    return [f"{value:g}" for value in values]


def draw_chart(
    rows: Sequence[Sequence[Panel]],
    size: tuple[int, int],
    title: str = "",
    *,
    title_size: int = TITLE,
    heights: Sequence[float] = (1,),
) -> Sheet:
    """Draw panels in rows, below a title. size: (width, height) in pixels. heights: of the rows, as shares."""
    image = Image.new("RGB", size, "white")
    writer = TextWriter(image)
    top = _GAP
    for line in wrapped(title, title_size, size[0] - 2 * _GAP) if title else ():
        writer.write((size[0] / 2, top), line, title_size, anchor="ma", room=size[0] - 2 * _GAP)
        top += title_size + 5
    lefts = [max(_left_margin(row[column]) for row in rows) for column in range(len(rows[0]))]
    below = [max(_bottom_margin(panel) for panel in row) for row in rows]
    room = size[1] - top - sum(below) - _GAP * len(rows)
    y = top + _GAP // 2
    for row, share, margin in zip(rows, heights, below, strict=True):
        height = round(room * share / sum(heights))
        width = (size[0] - _GAP // 2) // len(row)
        for column, panel in enumerate(row):
            x = _GAP // 2 + column * width + lefts[column]
            _draw_panel(image, writer, panel, (x, y, width - lefts[column] - _RIGHT, height))
        y += height + margin + _GAP
    return Sheet(image, writer.missing, is_chart=True)


def _left_margin(panel: Panel) -> int:
    texts = panel.y_names or _numbers(_y_ticks(panel))
    return round(max(text_width(text, TICK) for text in texts)) + _TICK_LENGTH + 5 + (LABEL + 9 if panel.y_label else 0)


def _bottom_margin(panel: Panel) -> int:
    return (TICK + _TICK_LENGTH + 5 if panel.has_x_numbers else _TICK_LENGTH) + (LABEL + 6 if panel.x_label else 0)


def _y_ticks(panel: Panel, height: int = 10_000) -> list[float]:
    if panel.y_names:
        return [float(number) for number in range(len(panel.y_names))]
    return ticks(*panel.limits[1], min(_MOST_TICKS, max(1, height // 40)))


@dataclass
class _Frame:
    """Where a panel's axes lie on its picture, and which pixel belongs to which value."""

    panel: Panel
    box: tuple[int, int, int, int]
    limits: tuple[tuple[float, float], tuple[float, float]] = field(init=False)

    def __post_init__(self) -> None:
        self.limits = self.panel.limits

    def places(self, x: Sequence[float], y: Sequence[float]) -> Points:
        """Return where points with finite values lie."""
        return np.concatenate(self.stretches(x, y))

    def stretches(self, x: Sequence[float], y: Sequence[float]) -> list[Points]:
        """Return where points with finite values lie, in parts between which values are missing."""
        values = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
        numbers = np.flatnonzero(np.isfinite(values).all(axis=1))
        return [self._placed(values[part]) for part in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)]

    def _placed(self, values: Points) -> Points:
        (left, right), (low, high) = self.limits
        inside = (values - (left, low)) / (right - left, high - low)
        placed: Points = np.column_stack([inside[:, 0] * self.box[2], (1 - inside[:, 1]) * self.box[3]])
        return placed

    def at_x(self, value: float) -> float:
        (left, right), _ = self.limits
        return (value - left) / (right - left) * self.box[2]

    def at_y(self, value: float) -> float:
        _, (low, high) = self.limits
        return (high - value) / (high - low) * self.box[3]


def _draw_panel(image: Image.Image, writer: TextWriter, panel: Panel, box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    frame = _Frame(panel, box)
    x_ticks, y_ticks = panel.x_ticks(min(_MOST_TICKS, max(1, width // 60))), _y_ticks(panel, height)
    inner = Image.new("RGB", (width * FINE, height * FINE), "white")
    draw = ImageDraw.Draw(inner)
    for tick in x_ticks:
        at = round(frame.at_x(tick)) * FINE
        draw.rectangle((at, 0, at + FINE - 1, inner.height), fill=_GRID)
    for tick in y_ticks:
        at = round(frame.at_y(tick)) * FINE
        draw.rectangle((0, at, inner.width, at + FINE - 1), fill=_GRID)
    for part in sorted(panel.parts, key=_layer):
        _draw_part(draw, frame, part)
    image.paste(inner.reduce(FINE), (x, y))

    edge = ImageDraw.Draw(image)
    edge.rectangle((x, y, x + width, y + height), outline=_EDGE)
    for tick, text in zip(x_ticks, _numbers(x_ticks), strict=True):
        at = x + round(frame.at_x(tick))
        edge.line((at, y + height, at, y + height + _TICK_LENGTH), fill=_EDGE)
        if panel.has_x_numbers:
            writer.write((at, y + height + _TICK_LENGTH + 2), text, TICK, anchor="ma")
    for tick, text in zip(y_ticks, panel.y_names or _numbers(y_ticks), strict=True):
        at = y + round(frame.at_y(tick))
        edge.line((x - _TICK_LENGTH, at, x, at), fill=_EDGE)
        writer.write((x - _TICK_LENGTH - 4, at), text, TICK, anchor="rm")
    if panel.x_label:
        writer.write((x + width / 2, y + height + _bottom_margin(panel) - LABEL - 2), panel.x_label, LABEL, anchor="ma")
    if panel.y_label:
        left = x - _left_margin(panel)
        writer.write((left + LABEL / 2 + 2, y + height / 2), panel.y_label, LABEL, anchor="mm", angle=90)
    if panel.has_legend:
        _draw_legend(image, writer, frame)


def _layer(part: Part) -> int:
    """Return the order in which parts are drawn: curves above all."""
    return 0 if isinstance(part, Bars) else 1 if isinstance(part, VerticalLine) else 2


def _draw_part(draw: ImageDraw.ImageDraw, frame: _Frame, part: Part) -> None:
    match part:
        case Line():
            for points in frame.stretches(part.x, part.y):
                _draw_line(draw, points, part)
        case VerticalLine():
            at = frame.at_x(part.x)
            _stroke(draw, np.array([[at, frame.box[3]], [at, 0.0]]), part.colour, "dotted")
        case Bars():
            for middle, height in zip(part.x, part.heights, strict=True):
                if height:
                    left, right = frame.at_x(middle - part.width / 2), frame.at_x(middle + part.width / 2)
                    corners = (left, frame.at_y(height), right, frame.at_y(0))
                    draw.rectangle([round(each * FINE) for each in corners], fill=part.colour)


def _draw_line(draw: ImageDraw.ImageDraw, points: Points, line: Line) -> None:
    if line.dash != "none" and len(points) > 1:
        _stroke(draw, points, line.colour, line.dash)
    for point in points if line.marker else ():
        _mark(draw, point, line)


def _mark(draw: ImageDraw.ImageDraw, point: npt.NDArray[np.float64], line: Line) -> None:
    x, y = (float(each) * FINE for each in point)
    half, width = _MARKER / 2 * FINE, round(1.4 * FINE)
    box = (x - half, y - half, x + half, y + half)
    filling = "white" if line.is_hollow else line.colour
    match line.marker:
        case "circle":
            draw.ellipse(box, fill=filling, outline=line.colour, width=width)
        case "square":
            draw.rectangle(box, fill=filling, outline=line.colour, width=width)
        case _:
            half *= 1.2
            corners = ((x - half, y), (x, y - half), (x + half, y), (x, y + half))
            draw.polygon(corners, fill=filling, outline=line.colour, width=width)


def _stroke(draw: ImageDraw.ImageDraw, points: Points, colour: str, dash: str) -> None:
    width = round(_LINE_WIDTH * FINE)
    for piece in [points] if dash == "solid" else _dashes(points, *_DASHES[dash]):
        draw.line([tuple(point) for point in (piece * FINE).tolist()], fill=colour, width=width, joint="curve")


def _dashes(points: Points, stroke: float, gap: float) -> Iterator[Points]:
    """Yield the pieces of a dashed line through points, in the line's own corners."""
    lengths = np.hypot(*np.diff(points, axis=0).T)
    run = np.concatenate([[0.0], np.cumsum(lengths)])
    begins = np.arange(0, run[-1], stroke + gap)
    ends = np.minimum(begins + stroke, run[-1])
    # All ends and corners in one call, in the line's order; between a piece's two ends lie its corners.
    at = np.unique(np.concatenate([begins, ends, run[1:-1]]))
    placed = np.column_stack([np.interp(at, run, points[:, axis]) for axis in (0, 1)])
    firsts, lasts = np.searchsorted(at, begins, "left"), np.searchsorted(at, ends, "right")
    for first, last in zip(firsts, lasts, strict=True):
        yield placed[first:last]


def _draw_legend(image: Image.Image, writer: TextWriter, frame: _Frame) -> None:
    named = [part for part in frame.panel.parts if part.name]
    if not named:
        return
    x, y, width, _ = frame.box
    room = width - _HANDLE - 4 * _PADDING
    own_width = min(width, round(max(text_width(part.name, LEGEND) for part in named)) + _HANDLE + 4 * _PADDING)
    own_height = len(named) * _LEGEND_LINE + _PADDING
    left, top = _emptiest_place(frame, (own_width, own_height))
    box = (x + left, y + top, x + left + own_width, y + top + own_height)
    paled = Image.blend(image.crop(box), Image.new("RGB", (own_width, own_height), "white"), 0.85)
    image.paste(paled, box)
    ImageDraw.Draw(image).rounded_rectangle(box, 3, outline="#cccccc")
    for number, part in enumerate(named):
        middle = box[1] + _PADDING // 2 + round((number + 0.5) * _LEGEND_LINE)
        _draw_handle(image, part, (box[0] + _PADDING, middle))
        text = (box[0] + 2 * _PADDING + _HANDLE, middle)
        writer.write(text, part.name, LEGEND, anchor="lm", room=room)


def _draw_handle(image: Image.Image, part: Part, place: tuple[int, int]) -> None:
    """Draw a part's example in the legend. place: the middle of its left side."""
    box = (place[0], place[1] - 8, place[0] + _HANDLE, place[1] + 8)
    fine = image.crop(box).resize((_HANDLE * FINE, 16 * FINE), Image.Resampling.NEAREST)
    draw, across = ImageDraw.Draw(fine), np.array([[0.0, 8.0], [_HANDLE, 8.0]])
    match part:
        case Bars():
            draw.rectangle((0, 3 * FINE, fine.width, 12 * FINE), fill=part.colour)
        case VerticalLine():
            _stroke(draw, across, part.colour, "dotted")
        case Line():
            if part.dash != "none":
                _stroke(draw, across, part.colour, part.dash)
            if part.marker:
                _mark(draw, np.array([_HANDLE / 2, 8.0]), part)
    image.paste(fine.reduce(FINE), box[:2])


def _emptiest_place(frame: _Frame, size: tuple[int, int]) -> tuple[int, int]:
    """Return the upper left corner of the place for the legend that hides the least. size: of the legend."""
    drawn = [np.zeros((0, 2))]
    for part in frame.panel.parts:
        match part:
            case Line():
                drawn.append(_along(frame.places(part.x, part.y)))
            case VerticalLine():
                at = frame.at_x(part.x)
                drawn.append(_along(np.array([[at, 0.0], [at, frame.box[3]]]))[::4])
            case Bars():
                drawn.append(frame.places(part.x, part.heights))
    points, spare = np.concatenate(drawn), (frame.box[2] - size[0] - 8, frame.box[3] - size[1] - 8)
    places = [(4 + round(spare[0] * across), 4 + round(spare[1] * down)) for across, down in _CORNERS]

    def hidden(place: tuple[int, int]) -> int:
        corner = np.array(place)
        return int(((points >= corner - 4) & (points <= corner + size + 4)).all(axis=1).sum())

    return min(places, key=hidden)


def _along(points: Points) -> Points:
    """Return points every few pixels along a line."""
    if len(points) < 2:
        return points
    run = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.arange(0, run[-1] + 5, 5)
    return np.column_stack([np.interp(at, run, points[:, axis]) for axis in (0, 1)])
