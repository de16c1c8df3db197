"""Find out what a run with a config would train on: its splits, pixels, duplicates, and what the loader changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cifar_sweeps.analysis.datasets.duplicates import Duplicates, Overlap, find_duplicates, pixel_digests
from cifar_sweeps.analysis.datasets.near_pairs import reduce_into, reduced_shape
from cifar_sweeps.analysis.datasets.statistics import PixelStatistics, pixel_statistics
from cifar_sweeps.config import build
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.config.targets import resolve
from cifar_sweeps.data.dataset import ImageData, LabelledImages, Progress
from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.data.image_folder import list_image_files, load_image_folder
from cifar_sweeps.data.picture_files import PictureHeader, read_header
from cifar_sweeps.data.splits import Splits
from cifar_sweeps.errors import DataError
from cifar_sweeps.runs.setup import check_data, resolve_threads, setting_notes
from cifar_sweeps.system.malloc import retain_freed_memory
from cifar_sweeps.training.determinism import set_threads

Side = Literal["train", "val", "test"]

NEAR_LIMIT = 120_000
"""Images among which near duplicates are searched: the time grows with their square."""


@dataclass(frozen=True)
class Split:
    """One split of the run. side: the images that ``indices`` point into. same_as_test: it is the test split again."""

    name: str
    side: Side
    images: LabelledImages
    indices: Tensor
    statistics: PixelStatistics
    same_as_test: bool = False

    @property
    def labels(self) -> Tensor:
        """(n,) int64, in the order of ``indices``."""
        return self.images.labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class SplitOverlap:
    """The duplicates between two splits, named in the order in which the pairs' positions are."""

    one: Split
    other: Split
    overlap: Overlap

    @property
    def is_leak(self) -> bool:
        """Whether accuracy is measured on images that were trained on."""
        return self.one.name != self.other.name and self.other.name == "training"


@dataclass(frozen=True)
class DataFindings:
    """All that is known of a run's data.

    splits: training, validation (if any), test. overlaps: leaks first. joined: the images of `Duplicates`, as splits
    and positions in them. files: of each side, by index, if the data are an image folder; headers: what they say.
    left_out: notes on what was not looked at.
    """

    config: RunConfig
    data: ImageData
    run_splits: Splits
    notes: tuple[str, ...]
    splits: tuple[Split, ...]
    duplicates: Duplicates
    joined: tuple[Split, ...]
    overlaps: tuple[SplitOverlap, ...]
    files: Mapping[str, Sequence[str]]
    headers: Mapping[str, Sequence[PictureHeader]]
    left_out: tuple[str, ...]

    @property
    def training(self) -> Split:
        """The training images."""
        return self.splits[0]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(S, C): images of each class in each split."""
        number = len(self.data.classes)
        return np.stack([np.bincount(split.labels.numpy(), minlength=number) for split in self.splits])

    def at(self, position: int) -> tuple[Split, int]:
        """Return the split of one of the joined images, and its index in the images of that side."""
        for split in self.joined:
            if position < len(split):
                return split, int(split.indices[position])
            position -= len(split)
        raise IndexError(position)

    def file(self, side: str, index: int) -> str:
        """Return what to call an image: its file's name in its class folder, or its number."""
        paths = self.files.get(side)
        return show(Path(paths[index]).name) if paths else f"{side} {index}"


def look_at_data(config: RunConfig, progress: Progress | None = None) -> DataFindings:
    """Load the images of a run, split them as it would, and look at them. Trains nothing, and needs no store.

    progress: told what takes a while. Raises ConfigError or DataError as the run would.
    """
    set_threads(resolve_threads(config))
    retain_freed_memory()
    build.check_config(config, download=False)
    data = build.images(config, progress)
    config = build.with_classes_of(config, data)
    run_splits = check_data(config, build.summarize_model(config), data)
    notes = (*_drawn_notes(config), *data.notes, *run_splits.notes, *setting_notes(config, data, run_splits))
    splits = _splits(data, run_splits)
    # Test and validation images first: if the search must end early, it has found what leaks.
    joined = tuple(split for split in reversed(splits) if not split.same_as_test)
    duplicates, left_out = _duplicates(joined, progress)
    files, headers, unread = _files(config, data, progress)
    overlaps = _overlaps(duplicates, joined)
    return DataFindings(
        config, data, run_splits, notes, splits, duplicates, joined, overlaps, files, headers, (*left_out, *unread)
    )


def _drawn_notes(config: RunConfig) -> list[str]:
    """Return what was drawn wrong on purpose, which would pass for a fault of the data otherwise."""
    noise = float(config.data.source.get("label_noise") or 0)
    return (
        [f"{noise:.0%} of the training side's labels are wrong on purpose (data.source.label_noise)"] if noise else []
    )


def _splits(data: ImageData, run_splits: Splits) -> tuple[Split, ...]:
    parts: list[tuple[str, Side, LabelledImages, Tensor, bool]] = [
        ("training", "train", data.train, run_splits.train, False)
    ]
    if len(run_splits.val):
        images = {"train": data.train, "test": data.test, "val": data.val}[run_splits.val_from]
        assert images is not None
        parts.append(("validation", run_splits.val_from, images, run_splits.val, run_splits.val_on_test))
    parts.append(("test", "test", data.test, torch.arange(len(data.test)), False))
    return tuple(
        Split(name, side, images, indices, pixel_statistics(images.images, indices), same)
        for name, side, images, indices, same in parts
    )


def _duplicates(joined: Sequence[Split], progress: Progress | None) -> tuple[Duplicates, tuple[str, ...]]:
    labels = torch.cat([split.labels for split in joined]).numpy()
    which = np.repeat(np.arange(len(joined)), [len(split) for split in joined])
    total, wanted = len(labels), NEAR_LIMIT
    shape = reduced_shape(joined[0].images.images)
    pixels = np.empty((min(total, wanted), *shape, 3), np.uint8)  # one array for all: 60,000 images are 180 MB
    digests: list[bytes] = []
    for split in joined:
        searched = split.indices[: max(0, wanted - len(digests))]
        reduce_into(pixels[len(digests) :], split.images.images, searched)
        digests += pixel_digests(split.images.images, split.indices)

    def advance(done: int, count: int) -> None:
        if progress is not None:
            progress(f"comparing {count:,} images with each other", done, count)

    found = find_duplicates(digests, pixels, which, labels, advance)
    notes = [found.near.note] if found.near.note else []
    if total > wanted:
        notes.append(
            f"near duplicates were searched among the first {wanted:,} of {total:,} images, test and validation "
            "images first; counts of near duplicates are lower bounds"
        )
    return found, tuple(notes)


def _overlaps(duplicates: Duplicates, joined: Sequence[Split]) -> tuple[SplitOverlap, ...]:
    """Return the duplicates between and within the splits, those that leak first."""
    count = len(joined)
    leaks = [(one, count - 1) for one in range(count - 1)]
    between = [(one, other) for one in range(count - 1) for other in range(one + 1, count - 1)]
    within = [(one, one) for one in reversed(range(count))]
    return tuple(
        SplitOverlap(joined[one], joined[other], duplicates.overlap(one, other))
        for one, other in (*leaks, *between, *within)
    )


def _files(
    config: RunConfig, data: ImageData, progress: Progress | None
) -> tuple[dict[str, list[str]], dict[str, list[PictureHeader]], tuple[str, ...]]:
    """Return the files of an image folder and their headers, by side; nothing of other data."""
    if resolve(config.data.source["_target_"], "data.source._target_") is not load_image_folder:
        return {}, {}, ()
    root, split = config.data.source["root"], config.data.source.get("split", "stratified")
    changed = ("the folder changed while it was read; files are not named: repeat the command",)
    try:
        listed = list_image_files(root, split)
    except DataError:
        return {}, {}, changed
    sides = {"train": data.train, "test": data.test, "val": data.val}
    for side, files in listed.items():
        images = sides[side]
        if images is None or images.labels.tolist() != [file.label for file in files]:
            return {}, {}, changed
    total, done = sum(map(len, listed.values())), 0
    headers: dict[str, list[PictureHeader]] = {}
    for side, files in listed.items():
        headers[side] = []
        for file in files:
            try:
                headers[side].append(read_header(file.path))
            except Exception:  # noqa: BLE001 (a file that is being changed may raise anything)
                return {}, {}, changed
            done += 1
            if progress is not None and (done % 256 == 0 or done == total):
                progress(f"reading the headers of {total:,} files", done, total)
    return {side: [file.path for file in files] for side, files in listed.items()}, headers, ()
