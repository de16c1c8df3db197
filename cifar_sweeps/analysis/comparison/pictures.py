"""Pictures of a comparison: images that only one side has right, and the classes' figures beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from cifar_sweeps.analysis.comparison.disagreements import SidePredictions
from cifar_sweeps.analysis.image_sheets import Tile, image_sheet
from cifar_sweeps.analysis.mathtext import escape_mathtext
from cifar_sweeps.analysis.matplotlib_setup import BLUE, VERMILLION
from cifar_sweeps.analysis.sheet import Sheet

COLUMNS = 3
"""Images beside each other: two sheets fit side by side, and one fits a phone."""
MAX_CLASSES = 30
"""Classes in one figure."""
_HEAT = (213, 94, 0)
"""Colour of what mattered, over the image in grey."""


@dataclass(frozen=True)
class Maps:
    """What mattered to each side's network: two (n, h, w) float in [0, 1], for n images, at their own resolution."""

    first: Tensor
    second: Tensor


def example_sheet(
    images: Tensor, pair: tuple[SidePredictions, SidePredictions], positions: Sequence[int], maps: Maps | None = None
) -> Sheet:
    """Draw images with their actual class and what A and B say. maps: with each side's own map beside each image.

    images: (n, 3, H, W) uint8, one for each of the ``positions`` in the predictions. There must be one at least.
    """
    tiles = [_tiles(image, pair, at, maps, n) for n, (image, at) in enumerate(zip(images, positions, strict=True))]
    if maps is not None:
        return image_sheet(tiles, note="image; what mattered to A; to B (the most orange: most, each by itself)")
    flat = [tile for row in tiles for tile in row]
    rows = [flat[start : start + COLUMNS] for start in range(0, len(flat), COLUMNS)]
    return image_sheet(rows, note="first line: the actual class; then what A and B say")


def _tiles(
    image: Tensor, pair: tuple[SidePredictions, SidePredictions], at: int, maps: Maps | None, number: int
) -> list[Tile]:
    actual = pair[0].classes[int(pair[0].labels[at])]
    lines = [_line(letter, side, at) for letter, side in zip("AB", pair, strict=True)]
    if maps is None:
        colour = VERMILLION if pair[1].mostly_wrong[at] else BLUE  # of the last line, which is B's
        return [Tile(image, (actual, *lines), colour)]
    drawn = [overlay(image, heat[number]) for heat in (maps.first, maps.second)]
    colours = [VERMILLION if side.mostly_wrong[at] else BLUE for side in pair]
    return [Tile(image, (actual,)), *(Tile(*each) for each in zip(drawn, ((line,) for line in lines), colours))]  # noqa: B905


def _line(letter: str, side: SidePredictions, at: int) -> str:
    said = f"{side.confidence[at]:.2f} {side.classes[int(side.predicted[at])]}"
    if side.runs > 1:
        return f"{letter} {side.runs_right(at)}/{side.runs} {said}"
    return f"{letter} {'✗' if side.mostly_wrong[at] else '✓'} {said}"


def overlay(image: Tensor, heat: Tensor) -> Tensor:
    """Return an image in grey under a map of what mattered, whose cells stay visible. (3, H, W) uint8; (h, w) float."""
    height, width = image.shape[1:]
    rows = (torch.arange(height) * heat.shape[0]) // height
    columns = (torch.arange(width) * heat.shape[1]) // width
    weight = 0.75 * heat.clamp(0, 1)[rows][:, columns]
    grey = image.float().mean(dim=0).expand(3, height, width)
    colour = torch.tensor(_HEAT, dtype=torch.float32).view(3, 1, 1)
    return (grey * (1 - weight) + colour * weight).round().to(torch.uint8)


def plot_classes(
    classes: Sequence[str], first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], label: str
) -> Figure:
    """Plot a figure of each class for both sides, joined by a line. first, second: (C,) in [0, 1], in this order."""
    shown = min(len(classes), MAX_CLASSES)
    figure = Figure(figsize=(6.4, 0.3 * shown + 1.3), layout="constrained")
    axes, rows = figure.subplots(), range(shown)
    axes.hlines(rows, np.minimum(first, second)[:shown], np.maximum(first, second)[:shown], color="#999999", zorder=1)
    axes.plot(first[:shown], rows, "o", color=BLUE, label="A", zorder=2)
    axes.plot(second[:shown], rows, "s", color=VERMILLION, markerfacecolor="white", label="B", zorder=3)
    axes.set_yticks(rows, [escape_mathtext(_short(name)) for name in classes[:shown]], fontsize=9)
    axes.set_ylim(shown - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:10]}…{name[-9:]}"
