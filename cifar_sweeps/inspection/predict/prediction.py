"""Predict the classes of pictures with one or several finished runs, whose probabilities are averaged."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cifar_sweeps.data.dataset import Progress
from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.data.picture_files import Fit, Treatment
from cifar_sweeps.errors import ConfigError, DataError, TrackingError
from cifar_sweeps.inspection.predict.reading import (
    ReadPicture,
    describe_changes,
    name_unreadable,
    read_pictures,
    size_notes,
    treatment,
)
from cifar_sweeps.inspection.predict.sources import PictureFile, find_pictures
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.system.cores import available_cores

BATCH = 256
"""Pictures that are in memory at once."""


@dataclass(frozen=True)
class PredictedPictures:
    """Predictions of R runs for N pictures in C classes.

    files: N. pictures: what was in each, as the first run's net saw it. by_run: (R, N, C) float32 probabilities.
    labels: (N,) int64, of the class folder that a picture is in; -1 if it is in none. changes: N texts, what was
    changed in each picture. runs: R names. left_out: files that could not be read, and why. notes: lines for the user.
    """

    files: tuple[PictureFile, ...]
    by_run: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    pictures: tuple[ReadPicture, ...]
    changes: tuple[str, ...]
    classes: tuple[str, ...]
    runs: tuple[str, ...]
    run_ids: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """(N, C) float32: the mean over the runs."""
        mean: npt.NDArray[np.float32] = self.by_run.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(N,) int64: the most probable class."""
        most: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return most

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether the picture is in a class folder."""
        known: npt.NDArray[np.bool_] = self.labels >= 0
        return known

    @property
    def accuracy(self) -> float | None:
        """Fraction of the pictures in class folders that are predicted as their folder says; None if there are none."""
        return float((self.predicted == self.labels)[self.labelled].mean()) if self.labelled.any() else None

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """(C, C) int64: how many pictures in the folder of class i are predicted as class j."""
        counts = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        np.add.at(counts, (self.labels[self.labelled], self.predicted[self.labelled]), 1)
        return counts


def predict(
    runs: Sequence[TrainedRun],
    paths: Sequence[str],
    *,
    fit: Fit | None = None,
    background: str | None = None,
    progress: Progress | None = None,
) -> PredictedPictures:
    """Return what the runs' nets say of pictures, read and scaled as their training images were.

    paths: files, or folders with pictures at any depth. fit: ``squash``, ``crop`` or ``pad``; background: a colour,
    laid under transparent pictures and around padded ones; None: the run's own. progress: told how many are read.
    Computed in float32 on the CPU. Raises ConfigError if the runs' classes differ or an argument is invalid, DataError
    if no picture can be read, TrackingError if a run's weights were not kept.
    """
    classes = _common_classes(runs)
    ways = [treatment(run.config.data, fit, background) for run in runs]
    files, skipped = find_pictures(paths)
    nets = [run.servable for run in runs]
    orders = [_column_order(run, net, classes) for run, net in zip(runs, nets, strict=True)]
    kept: list[PictureFile] = []
    seen: list[ReadPicture] = []
    problems: list[tuple[str, str]] = []
    outputs: list[list[npt.NDArray[np.float32]]] = [[] for _ in runs]
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            # Runs of one size share the pixels.
            read = {way: read_pictures(batch, way, pool) for way in dict.fromkeys(ways)}
            contents = read[ways[0]][1]
            good = [index for index, entry in enumerate(contents) if isinstance(entry, ReadPicture)]
            kept += [batch[index] for index in good]
            seen += [entry for entry in contents if isinstance(entry, ReadPicture)]
            problems += [
                (file.shown, entry) for file, entry in zip(batch, contents, strict=True) if isinstance(entry, str)
            ]
            if good:
                for output, net, way, order in zip(outputs, nets, ways, orders, strict=True):
                    output.append(_probabilities(net, read[way][0][good])[:, order])
            if progress is not None:
                progress(f"reading {len(files):,} pictures", start + len(batch), len(files))
    if not kept:
        raise DataError("\n  ".join(["none of the files can be read as a picture:", *name_unreadable(problems)]))
    labels, label_notes = _labels(kept, classes)
    return PredictedPictures(
        files=tuple(kept),
        by_run=np.stack([np.concatenate(output) for output in outputs]),
        labels=labels,
        pictures=tuple(seen),
        changes=tuple(describe_changes(picture, ways[0]) for picture in seen),
        classes=tuple(map(show, classes)),  # the record may be another user's, with anything in its texts
        runs=tuple(show(run.record.name) for run in runs),
        run_ids=tuple(run.record.run_id for run in runs),
        left_out=tuple(problems),
        notes=(*skipped, *_way_notes(runs, ways, seen, background), *label_notes),
    )


def _probabilities(net: nn.Module, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        found: npt.NDArray[np.float32] = net(torch.from_numpy(np.ascontiguousarray(pixels))).numpy()
    return found


def _column_order(run: TrainedRun, net: nn.Module, classes: Sequence[str]) -> list[int]:
    """Return where a net has each of ``classes``. Raises TrackingError if it has not as many classes as recorded."""
    shape, names = run.config.data.image_shape, run.predictions.classes
    count = _probabilities(net, np.zeros((1, 3, *shape), dtype=np.uint8)).shape[1]
    if count != len(names):
        raise TrackingError(
            f"{run.label}: its net has {count} classes, and {len(names)} names of classes are recorded; train it again"
        )
    return [names.index(name) for name in classes]


def _common_classes(runs: Sequence[TrainedRun]) -> tuple[str, ...]:
    """Return the classes in the first run's order. Raises ConfigError if another run has others."""
    first = runs[0].predictions.classes
    for run in runs[1:]:
        theirs = run.predictions.classes
        if set(theirs) != set(first):
            only_first = ", ".join(name for name in first if name not in theirs) or "none"
            only_theirs = ", ".join(name for name in theirs if name not in first) or "none"
            raise ConfigError(
                f"{runs[0].label} and {run.label} know other classes (the first alone: {only_first}; the second alone: "
                f"{only_theirs}), so their probabilities have no mean; predict with each by itself"
            )
    return first


def _way_notes(
    runs: Sequence[TrainedRun], ways: Sequence[Treatment], seen: Sequence[ReadPicture], background: str | None
) -> list[str]:
    notes: list[str] = []
    for way in dict.fromkeys(ways):
        run = runs[ways.index(way)]
        lines = size_notes(seen, way, background or run.config.data.background)
        notes += [f"{run.label}: {line}" for line in lines] if len(set(ways)) > 1 else lines
    return notes


def _labels(files: Sequence[PictureFile], classes: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return the labels that folders' names give, -1 where they give none, and a line that says so."""
    folders = [None if file.folder is None else PictureFile(file.folder).shown for file in files]
    known = {name: index for index, name in enumerate(classes)}
    labels = np.array([known.get(folder or "", -1) for folder in folders], dtype=np.int64)
    if not (labels >= 0).any():
        return labels, []
    others = sorted({folder for folder in folders if folder is not None and folder not in known})
    shown = ", ".join(others[:5]) + (f" and {len(others) - 5:,} more" if len(others) > 5 else "")
    count = int((labels >= 0).sum())
    rest = len(files) - count
    note = f"Labels are the names of the folders: {count:,} of {len(files):,} pictures lie in those of classes"
    if rest:
        note += f"; {rest:,} without a label are not counted" + (f" ({shown}: no class)" if others else "")
    return labels, [f"{note}."]
