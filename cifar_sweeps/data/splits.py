"""Split the training images of a data set into training and validation images."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cifar_sweeps.data.dataset import ImageData, LabelledImages
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.system.seeds import derive_seed

SPLITS = ("stratified", "tail", "batch_1", "fold", "test", "folder")
BATCHES = 5
"""Number of files of CIFAR-10's training images; ``batch_1`` is the first."""


@dataclass(frozen=True)
class Splits:
    """Indices of training and validation images, each (n,) int64.

    parts: into the training images; training uses one part after another.
    val: into the images of ``val_from``: training images, test images, or validation images of their own.
    notes: messages for the user where a split differs from the configured one.
    available: number of training images before ``train_size`` and ``train_fraction`` are applied.
    least_batch: images of the smallest batch that the network can train on.
    """

    parts: tuple[Tensor, ...]
    val: Tensor
    notes: tuple[str, ...] = ()
    val_from: Literal["train", "test", "val"] = "train"
    available: int = 0
    least_batch: int = 1

    @property
    def val_on_test(self) -> bool:
        """Whether the test images validate."""
        return self.val_from == "test"

    @property
    def train(self) -> Tensor:
        """Indices of all parts, ascending."""
        return torch.cat(self.parts).sort().values

    @property
    def num_train(self) -> int:
        """Number of training images in all parts."""
        return sum(len(part) for part in self.parts)


def split(
    data: ImageData,
    val_fraction: float,
    split: str,
    train_size: int | None,
    seed: int,
    *,
    train_fraction: float = 1.0,
    val_size: int | None = None,
    parts: int = 1,
    fold: int = 0,
    folds: int = 5,
) -> Splits:
    """Split the training images of ``data`` into training parts and validation images.

    split: ``stratified`` draws ``val_fraction`` of each class; ``tail`` takes the last ``val_fraction`` of the images;
        ``batch_1`` takes data_batch_1, the first fifth, whatever ``val_fraction`` is. The latter two need CIFAR-10's
        original order: on other data they become stratified splits of the same size, and a note says so.
        ``fold`` divides the images into ``folds`` stratified parts and validates on part number ``fold``, from 0, so
        that the folds of one seed validate on every image once.
        ``test`` holds nothing out and validates on the test images, as some documents do, and a note says so.
        ``folder`` holds nothing out and validates on the data's own validation images.
    train_size: how many of the remaining images are trained on, a stratified draw; None means all. The validation
        images do not depend on it, and a smaller draw is a subset of a larger one. train_fraction: the fraction of
        those that is used, in (0, 1].
    val_size: how many of the validation images are used, a stratified draw; None means all. The rest is not used for
        training either.
    parts: number of consecutive parts of the training images; stratified if the data has no original order.
    Raises ConfigError if there would be no training or validation image, or if train_size is too large.
    """
    if split not in SPLITS:
        raise ConfigError(f"data.split={split}: unknown; use {', '.join(SPLITS)}")
    if not 0 <= val_fraction < 1:
        raise ConfigError(f"data.val_fraction={val_fraction}: must be in [0, 1); use e.g. 0.1")
    labels = data.train.labels
    count = len(labels)
    if split == "fold" and not (2 <= folds <= count and 0 <= fold < folds):
        raise ConfigError(
            f"data.fold={fold} data.folds={folds}: there are {count} images, so folds must be 2 to {count}, and fold 0 "
            f"to folds - 1"
        )
    sizes = {"batch_1": count // BATCHES, "fold": len(range(fold, count, folds)), "test": 0, "folder": 0}
    held_out = sizes.get(split, round(count * val_fraction))
    if held_out == 0 and split == "batch_1":
        raise ConfigError(
            f"data.split=batch_1: a fifth of {count} images is less than one; use more images, or stratified"
        )
    if split == "folder" and data.val is None:
        raise ConfigError(
            f"data.split=folder: {data.name} has no validation images of its own; use data.split=stratified"
        )
    if held_out == 0 and val_fraction > 0 and split not in ("test", "folder", "fold"):
        raise ConfigError(f"data.val_fraction={val_fraction}: is less than one of {count} images; use a larger one")
    if held_out == count:
        raise ConfigError(f"data.val_fraction={val_fraction}: leaves none of {count} images to train on")
    val, notes = _validation_indices(data, split, held_out, seed, fold, folds)
    is_train = torch.ones(count, dtype=torch.bool)
    val_from: Literal["train", "test", "val"] = "test" if split == "test" else "val" if split == "folder" else "train"
    if val_from == "train":
        is_train[val] = False
    train = is_train.nonzero().flatten()
    available = len(train)
    if train_size is not None and not 1 <= train_size <= available:
        raise ConfigError(f"data.train_size={train_size}: must be 1 to {available}, or null for all of them")
    size = round((train_size or available) * train_fraction)
    if size < parts:
        raise ConfigError(
            f"trainer.parts={parts}: {size} training images are too few for that many parts; "
            "use fewer parts, or a larger data.train_size or data.train_fraction"
        )
    if size < available:
        train = train[_stratified_order(labels[train], seed, "train_size")[:size]].sort().values
    if val_size is not None:
        if not 1 <= val_size <= len(val):
            raise ConfigError(f"data.val_size={val_size}: must be 1 to {len(val)}, or null for all of them")
        val = val[_stratified_order(_val_images(data, val_from).labels[val], seed, "val_size")[:val_size]].sort().values
    train_parts, part_notes = _divide_into_parts(data, train, parts, seed)
    return Splits(train_parts, val, notes + part_notes, val_from, available)


def _val_images(data: ImageData, val_from: Literal["train", "test", "val"]) -> LabelledImages:
    images = {"train": data.train, "test": data.test, "val": data.val}[val_from]
    assert images is not None
    return images


def class_notes(data: ImageData, splits: Splits) -> tuple[str, ...]:
    """Return notes on classes that no image is left of, to train or to validate on."""
    count = len(data.classes)
    notes = []
    for labels, what, remedy in (
        (data.train.labels[splits.train], "training", "use a larger data.train_size or a smaller data.val_fraction"),
        (
            _val_images(data, splits.val_from).labels[splits.val],
            "validation",
            "use a larger data.val_fraction or data.val_size",
        ),
    ):
        without = [data.classes[k] for k in (torch.bincount(labels, minlength=count) == 0).nonzero().flatten().tolist()]
        if without and len(labels):
            shown = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
            verb = "has" if len(without) == 1 else "have"
            notes.append(f"{shown} {verb} no {what} image; {remedy}")
    return tuple(notes)


def _divide_into_parts(
    data: ImageData, train: Tensor, parts: int, seed: int
) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    if parts == 1:
        return (train,), ()
    if data.original_order:
        return train.tensor_split(parts), ()
    order = _stratified_order(data.train.labels[train], seed, "parts")
    note = f"trainer.parts={parts}: {data.name} is not in CIFAR-10's original order; using stratified parts instead"
    return tuple(train[indices].sort().values for indices in order.tensor_split(parts)), (note,)


def _validation_indices(
    data: ImageData, split: str, held_out: int, seed: int, fold: int, folds: int
) -> tuple[Tensor, tuple[str, ...]]:
    count = len(data.train)
    if split == "fold":
        # Every prefix of the order holds the classes in their proportions, and so does the difference of two.
        return _stratified_order(data.train.labels, seed, "fold").tensor_split(folds)[fold].sort().values, ()
    if split == "test":
        note = "data.split=test: validated on the test set; validation metrics are not independent of it"
        return torch.arange(len(data.test)), (note,)
    if split == "folder" and data.val is not None:
        return torch.arange(len(data.val)), ()
    if split != "stratified" and data.original_order:
        start = 0 if split == "batch_1" else count - held_out
        return torch.arange(start, start + held_out), ()
    notes: tuple[str, ...] = ()
    if split != "stratified":
        notes = (
            f"data.split={split}: {data.name} is not in CIFAR-10's original order; using a stratified split instead",
        )
    return _stratified_order(data.train.labels, seed, "validation")[:held_out].sort().values, notes


def _stratified_order(labels: Tensor, seed: int, stream: str) -> Tensor:
    """Return a random order of all images in which every prefix holds the classes in their proportions.

    In NumPy, which has one thread: beside a busy process torch's threads wait for each other at each of these steps.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, stream, 0))
    shuffled = torch.randperm(len(labels), generator=generator).numpy()
    shuffled_labels = labels.numpy()[shuffled]
    by_class = shuffled_labels.argsort(kind="stable")
    sizes = np.bincount(shuffled_labels)
    rank = np.empty_like(by_class)
    rank[by_class] = np.arange(len(shuffled_labels)) - (sizes.cumsum() - sizes)[shuffled_labels[by_class]]
    # The k-th of the n images of a class goes (k + 1/2)/n of the way into the order.
    position = (rank + 0.5) / sizes[shuffled_labels]
    return torch.from_numpy(shuffled[position.argsort(kind="stable")])
