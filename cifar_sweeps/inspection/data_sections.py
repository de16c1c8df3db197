"""Sections of the page of what a run would train on: texts, tables and pictures."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from cifar_sweeps.analysis.datasets import class_counts, near_pairs, sample_sheets
from cifar_sweeps.analysis.datasets.duplicates import Pair
from cifar_sweeps.analysis.datasets.sample_sheets import PairOfTiles, Shown
from cifar_sweeps.analysis.pages.html_page import PageFigure, Section
from cifar_sweeps.config import build
from cifar_sweeps.data.augment import Unchanged
from cifar_sweeps.inspection import data_tables
from cifar_sweeps.inspection.data_findings import DataFindings, Split
from cifar_sweeps.system.seeds import derive_seed

_MOST_PAIRS = 32
"""Pairs of duplicates on one picture."""
_ODD = 8
"""Images of each kind of odd ones."""
_MOST_COUNTED = 100
"""Classes with a row in the table of counts."""


def data_sections(found: DataFindings) -> Iterator[Section]:
    """Yield the sections. Titles of figures are unique."""
    notes = [f"{note}." for note in (*found.notes, *found.left_out)]
    yield Section("Notes", notes or ["Neither the loader nor the splits have anything to note."])
    yield _counts(found)
    drawn = sample_sheets.draw_by_class(
        found.training.images.labels, found.training.indices, len(found.data.classes), _generator(found, "samples")
    )
    yield _samples(found, drawn)
    yield _augmented(found, [row[0] for row in drawn if row][: sample_sheets.AUGMENTED])
    yield _channels(found)
    yield _duplicates(found)
    yield _odd_images(found)
    if found.headers:
        yield Section(
            "What the loader did with the files", [data_tables.sizes_line(found)], [data_tables.files_table(found)]
        )


def _generator(found: DataFindings, stream: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(found.config.seed, stream, 0))


def _shown(found: DataFindings, split: Split) -> Shown:
    return Shown(split.images.images, split.images.labels, lambda at: found.file(split.side, at), found.data.classes)


def _counts(found: DataFindings) -> Section:
    table = data_tables.classes_table(found, _MOST_COUNTED)
    texts, figures = [], []
    if class_counts.imbalance(found.counts[0]) > class_counts.IMBALANCED:
        line = data_tables.imbalance_line(found)
        names = [split.name for split in found.splits]
        texts.append(line)
        figures.append(
            PageFigure("Images by class", line, class_counts.class_bars(found.counts, names, found.data.classes))
        )
    return Section("Splits and classes", texts, [data_tables.splits_table(found), table], figures, side_by_side=False)


def _samples(found: DataFindings, drawn: list[list[int]]) -> Section:
    shown = _shown(found, found.training)
    sheet, left_out = sample_sheets.class_sheet(shown, drawn)
    how = (
        f"drawn at random from the training images (seed={found.config.seed}). Below each image: "
        f"{'its file' if found.files else 'its number in the data set'}."
    )
    by_class = f"Up to {sample_sheets.A_CLASS} images of each class, {how}" if not left_out else f"Images {how}"
    random = sample_sheets.random_sheet(shown, found.training.indices, _generator(found, "random samples"))
    return Section(
        "Samples",
        [f"{left_out}."] if left_out else [],
        figures=[
            PageFigure("Samples by class", by_class, sheet),
            PageFigure("Samples at random", f"{sample_sheets.RANDOM} images with their labels, {how}", random),
        ],
        side_by_side=False,
    )


def _augmented(found: DataFindings, chosen: list[int]) -> Section:
    augmentation = build.augmentation(found.config)
    title = "Under augmentation"
    if isinstance(augmentation, Unchanged):
        return Section(
            title, ["No augmentation is chosen (augmentation=none): every epoch trains on the images as they are."]
        )
    sheet, scaled = sample_sheets.augmented_sheet(
        _shown(found, found.training), chosen, augmentation, _generator(found, "augmentation")
    )
    settings = {key: value for key, value in found.config.augmentation.items() if key != "_target_"}
    name = str(found.config.augmentation["_target_"]).rpartition(".")[2]
    described = f"{name} ({', '.join(f'{key}={value}' for key, value in settings.items())})" if settings else name
    texts = [f"{described}: each epoch draws anew what is done to each image."]
    if scaled:
        texts.append("Its values leave [0, 1]; each image is drawn from its lowest value to its highest.")
    caption = f"Training images, and beside each the same image as the network may get it (seed={found.config.seed})."
    return Section(title, texts, figures=[PageFigure("Augmented images", caption, sheet)], side_by_side=False)


def _channels(found: DataFindings) -> Section:
    overrides = data_tables.standardisation_overrides(found)
    paste = (
        f"To standardise with these: {overrides}"
        if overrides
        else "A channel has one value throughout: its deviation is 0, and pixels cannot be divided by it."
    )
    texts = [
        "Over all pixels of the training images, in [0, 1]; validation and test images have no part in it.",
        paste,
        data_tables.standardisation_line(found),
    ]
    return Section("Mean and deviation of the channels", texts, [data_tables.channels_table(found)])


def _duplicates(found: DataFindings) -> Section:
    texts = [
        "Equal pixels: every value is the same, as the network gets them. Nearly the same: the pixels of both "
        f"correlate to at least {near_pairs.CORRELATION}, whatever their brightness, contrast and tint, and their "
        f"detail (the image without its 5×5 blur) to at least {near_pairs.DETAIL}. Mirrored, turned and shifted copies "
        "are not looked for; images of nearly one colour are compared for equality alone.",
        "The table counts images that have such a duplicate; those that have both kinds count as equal. "
        "duplicates.csv, beside the pictures, lists all pairs.",
    ]
    figures = []
    torn: list[Pair] = []
    for each in found.overlaps:
        pairs = each.overlap.pairs
        torn += [pair for pair in pairs if _differ(found, pair)]
        if pairs:
            figures.append(_pairs_figure(found, f"Duplicates {data_tables.where(each)}", pairs))
    if torn:
        figures.insert(0, _pairs_figure(found, "Duplicates under different labels", torn))
    return Section("Duplicates", texts, [data_tables.overlaps_table(found)], figures, side_by_side=False)


def _pairs_figure(found: DataFindings, title: str, pairs: Sequence[Pair]) -> PageFigure:
    count = f"{len(pairs):,} pair{'s' if len(pairs) > 1 else ''}"
    shown = f"The first {_MOST_PAIRS} of {count}" if len(pairs) > _MOST_PAIRS else count
    caption = (
        f"{shown}, side by side: equal ones first, then by their correlation (≈). Lines: the label; the split; "
        f"{'the file' if found.files else 'the number in the data set'}."
    )
    tiles = []
    for pair in pairs[:_MOST_PAIRS]:
        images, lines = [], []
        for position in (pair.first, pair.second):
            split, index = found.at(position)
            where = split.name
            if position == pair.second:
                where += "  equal" if pair.exact else f"  ≈ {pair.correlation:.3f}"
            images.append(split.images.images[index])
            label = found.data.classes[int(split.images.labels[index])]
            lines.append((label, where, found.file(split.side, index)))
        tiles.append(PairOfTiles((images[0], images[1]), (lines[0], lines[1]), _differ(found, pair)))
    return PageFigure(title, caption, sample_sheets.pairs_sheet(tiles))


def _differ(found: DataFindings, pair: Pair) -> bool:
    labels = found.duplicates.labels
    return bool(labels[pair.first] != labels[pair.second])


def _odd_images(found: DataFindings) -> Section:
    """Return the training images that stand out: of one colour, grey, of least contrast, darkest and lightest."""
    split, statistics = found.training, found.training.statistics
    by_contrast, by_brightness = np.argsort(statistics.deviation), np.argsort(statistics.brightness)
    grey = statistics.grey & ~statistics.flat
    figures = []
    for title, positions, what in (
        ("One colour", np.flatnonzero(statistics.flat), "{count} training images have one colour throughout"),
        ("Grey", np.flatnonzero(grey), "{count} training images are grey: red, green and blue are equal everywhere"),
        ("Least contrast", by_contrast[:_ODD], "The training images of least contrast, in order"),
        ("Darkest", by_brightness[:_ODD], "The darkest training images, in order"),
        ("Lightest", by_brightness[::-1][:_ODD], "The lightest training images, in order"),
    ):
        if not len(positions):
            continue
        caption = what.format(count=f"{len(positions):,}") + (
            f"; the first {_ODD} of them." if len(positions) > _ODD else "."
        )
        chosen = split.indices[torch.from_numpy(positions[:_ODD].copy())].tolist()
        figures.append(PageFigure(title, caption, sample_sheets.labelled_sheet(_shown(found, split), chosen)))
    return Section("Odd images", figures=figures, side_by_side=False)
