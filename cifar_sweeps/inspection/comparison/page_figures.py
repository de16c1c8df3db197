"""Figures of a comparison's page: curves over each other, classes, and images that only one side has right."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cifar_sweeps.analysis.comparison import pictures
from cifar_sweeps.analysis.comparison.disagreements import SidePredictions
from cifar_sweeps.analysis.pages.html_page import PageFigure, Section
from cifar_sweeps.errors import CifarSweepsError, in_one_line
from cifar_sweeps.inspection.comparison import tables
from cifar_sweeps.inspection.comparison.compare import Comparison
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.studies.reports import curves

Explain = Callable[[TrainedRun, Tensor, Tensor], Tensor]
"""Says what mattered to a run's network: (n, 3, H, W) uint8 and (n,) int64 classes -> (n, h, w) float in [0, 1]."""
_EXAMPLES, _EXPLAINED, _LISTED = 12, 6, 10
_OF_MAPS = " Grad-CAM of each net's last convolution for the class that it predicts, as orange over the grey image."


def curve_figures(found: Comparison) -> list[PageFigure]:
    """Return accuracy and loss by epoch, of validation and of training images, as far as they were recorded."""
    named = {f"A: {found.first.name}": found.first, f"B: {found.second.name}": found.second}
    runs = [replace(run, arm=name) for name, side in named.items() for run in side.runs]
    arms = curves.style_arms(list(named), runs, found.histories, {})
    several = max(len(side.runs) for side in named.values()) > 1
    by_seed = " Mean over seeds; the band is from the lowest to the highest." if several else ""
    wanted = (
        ("val/accuracy", "Validation accuracy", "validation accuracy (fraction)"),
        ("train/accuracy", "Training accuracy", "training accuracy (fraction)"),
        ("val/loss", "Validation loss", "validation loss (nats)"),
        ("train/loss", "Training loss", "training loss (nats)"),
    )
    return [
        PageFigure(title, f"{title} by epoch.{by_seed}", curves.plot_curves(arms, metric, label))
        for metric, title, label in wanted
        if any(history.get(metric) for history in found.histories.values())
    ]


def class_figures(found: Comparison) -> list[PageFigure]:
    """Return recall and F1 of each class for both sides, in the order of `tables.classes_table`."""
    names = [row[0] for row in tables.classes_table(found).rows]  # in the order of the table
    by_name = {(row.metric, row.name): row for row in found.classes}
    figures = []
    for metric, label in (("test/recall", "recall"), ("test/f1", "F1")):
        rows = [by_name[metric, name] for name in names if (metric, name) in by_name]
        if rows:
            first, second = (
                np.array([value.mean if value is not None else np.nan for value in side])
                for side in ([row.first for row in rows], [row.second for row in rows])
            )
            left_out = len(names) - pictures.MAX_CLASSES
            shown = f" The {pictures.MAX_CLASSES} classes that differ most." if left_out > 0 else ""
            title = f"{label[0].upper()}{label[1:]} by class"
            figures.append(PageFigure(title, f"{title}.{shown}", pictures.plot_classes(names, first, second, label)))
    return figures


def images_section(found: Comparison, explain: Explain | None) -> Section:
    """Return what images only one side has right: counts, a list, and pictures where the images are at hand."""
    title, table = "Images that one has right and the other wrong", tables.images_table(found)
    pair = found.predictions.combined
    if found.images is None or pair is None:
        return Section(title, [table.empty])
    texts: list[str] = []
    figures: list[PageFigure] = []
    try:
        figures, texts = _examples(found, pair, found.predictions.shown.runs, explain)
    except (CifarSweepsError, OSError) as error:
        texts = [f"The pictures are left out, as the images are not at hand: {in_one_line(error)}"]
    return Section(title, texts, [replace(table, title=""), tables.examples_table(found, _LISTED)], figures)


def _examples(
    found: Comparison,
    pair: tuple[SidePredictions, SidePredictions],
    shown: tuple[TrainedRun, TrainedRun],
    explain: Explain | None,
) -> tuple[list[PageFigure], list[str]]:
    assert found.images is not None
    test = shown[0].images.test.images
    figures: list[PageFigure] = []
    texts: list[str] = []
    for letter, positions in (("A", found.images.first_only), ("B", found.images.second_only)):
        if not len(positions):
            continue
        maps = None
        if explain is not None:
            chosen = positions[:_EXPLAINED]
            try:
                maps = _maps(test[torch.as_tensor(pair[0].index[chosen])], chosen, pair, shown, explain)
            except CifarSweepsError as error:
                texts.append(f"Without maps of what mattered to both nets: {in_one_line(error)}")
                explain = None
        chosen = positions[: _EXAMPLES if maps is None else _EXPLAINED]
        sheet = pictures.example_sheet(test[torch.as_tensor(pair[0].index[chosen])], pair, chosen.tolist(), maps)
        what = f"{len(chosen)} of {len(positions):,} test images that only {letter} has right, on which both are sure."
        figures.append(PageFigure(f"Only {letter} is right", f"{what}{'' if maps is None else _OF_MAPS}", sheet))
    if explain is not None and figures and max(pair[0].runs, pair[1].runs) > 1:
        names = " and ".join(run.record.run_id[:8] for run in shown)
        texts.append(f"The maps are of one run of each, {names}; the words above them are of all runs.")
    return figures, texts


def _maps(
    images: Tensor,
    chosen: npt.NDArray[np.int64],
    pair: tuple[SidePredictions, SidePredictions],
    shown: tuple[TrainedRun, TrainedRun],
    explain: Explain,
) -> pictures.Maps:
    """Return what mattered to each side's network for the class that the side predicts."""
    first, second = (
        explain(run, images, torch.as_tensor(side.predicted[chosen])) for run, side in zip(shown, pair, strict=True)
    )
    return pictures.Maps(first, second)
