"""Sheets of a data set's images: by class, at random, under augmentation, and pairs of duplicates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cifar_sweeps.analysis.image_sheets import COLUMNS, Tile, image_sheet
from cifar_sweeps.analysis.matplotlib_setup import VERMILLION
from cifar_sweeps.analysis.sheet import Sheet

A_CLASS = 10
"""Images of each class on the sheet of samples."""
MOST_ROWS = 20
"""Classes with a row of their own; of more classes, one image each is drawn."""
MOST_CLASSES = 100
RANDOM = 24
AUGMENTED = 8
"""Images that are drawn under augmentation."""
_SIDE, _LARGEST = 90, 112  # pixels that images are enlarged to, or made smaller to: ten fit a page


@dataclass(frozen=True)
class Shown:
    """Images that are drawn, with their labels and what to call them (a file's name, or a number)."""

    images: Tensor
    labels: Tensor
    names: Callable[[int], str]
    classes: Sequence[str]

    def tile(self, at: int, *lines: str, colour: str | None = None) -> Tile:
        """Return the image with its name below the given lines."""
        return Tile(fitted(self.images[at]), (*lines, self.names(at)), colour)


def draw_by_class(labels: Tensor, indices: Tensor, classes: int, generator: torch.Generator) -> list[list[int]]:
    """Return up to ten of the chosen images of each class, drawn at random: a list a class."""
    order = indices[torch.randperm(len(indices), generator=generator)]
    of_order = labels[order]
    return [order[(of_order == label).nonzero().flatten()[:A_CLASS]].tolist() for label in range(classes)]


def class_sheet(shown: Shown, drawn: Sequence[Sequence[int]], title: str = "") -> tuple[Sheet, str]:
    """Draw the images of `draw_by_class`, and return what is left out, in words: empty if that is nothing.

    A row a class, or of more than 20 classes one image each, of a hundred at most. There must be one image at least.
    """
    filled = [(name, row) for name, row in zip(shown.classes, drawn, strict=True) if row]
    if len(filled) <= MOST_ROWS:
        rows = [[shown.tile(at) for at in row] for _, row in filled]
        return image_sheet(rows, title, [name for name, _ in filled], least_side=_SIDE), ""
    tiles = [shown.tile(row[0], name) for name, row in filled[:MOST_CLASSES]]
    which = "" if len(filled) <= MOST_CLASSES else f"the first {MOST_CLASSES} of "
    left_out = f"one image of each of {which}{len(filled):,} classes is drawn: they are too many for rows"
    return image_sheet(_in_rows(tiles, A_CLASS), title, least_side=_SIDE), left_out


def random_sheet(shown: Shown, indices: Tensor, generator: torch.Generator, title: str = "") -> Sheet:
    """Draw 24 of the chosen images at random, with their labels."""
    chosen = indices[torch.randperm(len(indices), generator=generator)[:RANDOM]].tolist()
    return labelled_sheet(shown, chosen, title)


def labelled_sheet(shown: Shown, chosen: Sequence[int], title: str = "") -> Sheet:
    """Draw images with their labels and names. There must be one image at least."""
    tiles = [shown.tile(at, shown.classes[int(shown.labels[at])]) for at in chosen]
    return image_sheet(_in_rows(tiles, COLUMNS), title)


def augmented_sheet(
    shown: Shown,
    chosen: Sequence[int],
    augmentation: Callable[..., Tensor],
    generator: torch.Generator,
    title: str = "",
) -> tuple[Sheet, bool]:
    """Draw images beside seven draws of their augmentation, and return whether its values had to be scaled for that.

    They are where they leave [0, 1], as those of whitening do: each image then from its lowest value to its highest.
    """
    draws = COLUMNS - 1
    originals = shown.images[torch.tensor(chosen)]
    batch = originals.repeat_interleave(draws, dim=0).float() / 255
    changed = augmentation(batch, generator).float()
    low, high = changed.amin(dim=(1, 2, 3), keepdim=True), changed.amax(dim=(1, 2, 3), keepdim=True)
    leaves = bool((low < -0.01).any() or (high > 1.01).any())
    if leaves:
        changed = (changed - low) / (high - low).clamp_min(1e-6)
    pixels = (changed.clamp(0, 1) * 255).round().to(torch.uint8).reshape(len(chosen), draws, *changed.shape[1:])
    columns = ["original", *(f"draw {number}" for number in range(1, draws + 1))]
    rows = [
        [Tile(fitted(image), (column,)) for image, column in zip((original, *made), columns, strict=True)]
        for original, made in zip(originals, pixels, strict=True)
    ]
    names = [f"{shown.classes[int(shown.labels[at])]}: {shown.names(at)}" for at in chosen]
    return image_sheet(rows, title, names), leaves


def fitted(image: Tensor) -> Tensor:
    """Return a large image at 112 pixels, so that eight fit a page beside each other."""
    longest = max(image.shape[1:])
    if longest <= _LARGEST:
        return image
    size = [max(1, side * _LARGEST // longest) for side in image.shape[1:]]
    return F.interpolate(image[None].float(), size, mode="area")[0].round().to(torch.uint8)


@dataclass(frozen=True)
class PairOfTiles:
    """Two duplicates: images (3, H, W), and for each its lines. differ: whether their labels do."""

    images: tuple[Tensor, Tensor]
    lines: tuple[tuple[str, ...], tuple[str, ...]]
    differ: bool


def pairs_sheet(pairs: Sequence[PairOfTiles], title: str = "") -> Sheet:
    """Draw duplicates side by side, four pairs a row; pairs with different labels are framed. One pair at least."""
    tiles = [
        Tile(fitted(image), lines, VERMILLION if pair.differ else None)
        for pair in pairs
        for image, lines in zip(pair.images, pair.lines, strict=True)
    ]
    note = "framed: under different labels" if any(pair.differ for pair in pairs) else ""
    return image_sheet(_in_rows(tiles, COLUMNS), title, note=note)


def _in_rows(tiles: Sequence[Tile], columns: int) -> list[Sequence[Tile]]:
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
