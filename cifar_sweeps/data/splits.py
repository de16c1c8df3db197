"""How the training side of a data set is divided: what is trained on, and what validates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_sweeps.data.dataset import ImageData
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.system.seeds import derive_seed

SPLITS = ("stratified", "tail", "batch_1", "test")
BATCHES = 5
"""CIFAR-10's training images come in five files; ``batch_1`` is the first."""


@dataclass(frozen=True)
class Splits:
    """Indices, each (n,) int64. ``notes`` say where a split is not what was asked.

    parts: of the training side; together they are what is trained on, one after another.
    val: of the training side, or of the test side where ``val_on_test``.
    available: how many training images there were before ``train_size`` and ``train_fraction``.
    """

    parts: tuple[Tensor, ...]
    val: Tensor
    notes: tuple[str, ...] = ()
    val_on_test: bool = False
    available: int = 0

    @property
    def train(self) -> Tensor:
        """All that is trained on, rising."""
        return torch.cat(self.parts).sort().values

    @property
    def num_train(self) -> int:
        """Training images of all parts."""
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
) -> Splits:
    """Divide the training side of ``data``.

    split: ``stratified`` draws ``val_fraction`` of each class; ``tail`` takes the last ``val_fraction`` of the images;
        ``batch_1`` takes data_batch_1, the first fifth, whatever ``val_fraction`` is. The latter two mean something in
        CIFAR-10's own order alone: on other data they become stratified splits of the same size, and a note says so.
        ``test`` holds nothing out: the test images validate, as in some documents, and a note says so.
    train_size: how many of the remaining images are trained on, a stratified draw; None means all. The validation
        images do not depend on it, and a smaller draw is a part of a larger one. train_fraction: the part of those
        that is used, in (0, 1].
    val_size: how many of the validation images are used, a stratified draw; None means all. The rest is not trained on.
    parts: into how many consecutive parts the training images fall; stratified ones where there is no original order.
    Raises ConfigError if a side would be empty, or train_size is more than there are.
    """
    if split not in SPLITS:
        raise ConfigError(f"data.split={split}: unknown; use {', '.join(SPLITS)}")
    if not 0 <= val_fraction < 1:
        raise ConfigError(f"data.val_fraction={val_fraction}: must be in [0, 1); use e.g. 0.1")
    labels = data.train.labels
    count = len(labels)
    held_out = {"batch_1": count // BATCHES, "test": 0}.get(split, round(count * val_fraction))
    if held_out == 0 and split == "batch_1":
        raise ConfigError(f"data.split=batch_1: a fifth of {count} images is none; use more images, or stratified")
    if held_out == 0 and val_fraction > 0 and split != "test":
        raise ConfigError(f"data.val_fraction={val_fraction}: is no image at all of {count}; use a larger one")
    if held_out == count:
        raise ConfigError(f"data.val_fraction={val_fraction}: leaves none of {count} images to train on")
    val, notes = _validation(data, split, held_out, seed)
    is_train = torch.ones(count, dtype=torch.bool)
    if split != "test":
        is_train[val] = False
    train = is_train.nonzero().flatten()
    available = len(train)
    if train_size is not None and not 1 <= train_size <= available:
        raise ConfigError(f"data.train_size={train_size}: must be 1 to {available}, or null for all of them")
    size = round((train_size or available) * train_fraction)
    if size < parts:
        raise ConfigError(
            f"trainer.parts={parts}: {size} training images are too few for so many parts; "
            "use fewer parts, or a larger data.train_size or data.train_fraction"
        )
    if size < available:
        train = train[_stratified(labels[train], seed, "train_size")[:size]].sort().values
    if val_size is not None:
        if not 1 <= val_size <= len(val):
            raise ConfigError(f"data.val_size={val_size}: must be 1 to {len(val)}, or null for all of them")
        side = data.test if split == "test" else data.train
        val = val[_stratified(side.labels[val], seed, "val_size")[:val_size]].sort().values
    divided, more_notes = _in_parts(data, train, parts, seed)
    return Splits(divided, val, notes + more_notes, split == "test", available)


def _in_parts(data: ImageData, train: Tensor, parts: int, seed: int) -> tuple[tuple[Tensor, ...], tuple[str, ...]]:
    if parts == 1:
        return (train,), ()
    if data.original_order:
        return train.tensor_split(parts), ()
    order = _stratified(data.train.labels[train], seed, "parts")
    note = f"trainer.parts={parts}: {data.name} has not CIFAR-10's own order; stratified parts of the same size"
    return tuple(train[chosen].sort().values for chosen in order.tensor_split(parts)), (note,)


def _validation(data: ImageData, split: str, held_out: int, seed: int) -> tuple[Tensor, tuple[str, ...]]:
    count = len(data.train)
    if split == "test":
        note = "data.split=test: validated on the test set; no validation figure is independent of it"
        return torch.arange(len(data.test)), (note,)
    if split != "stratified" and data.original_order:
        start = 0 if split == "batch_1" else count - held_out
        return torch.arange(start, start + held_out), ()
    notes: tuple[str, ...] = ()
    if split != "stratified":
        notes = (f"data.split={split}: {data.name} has not CIFAR-10's own order; a stratified split of the same size",)
    return _stratified(data.train.labels, seed, "validation")[:held_out].sort().values, notes


def _stratified(labels: Tensor, seed: int, stream: str) -> Tensor:
    """Return an order of all images such that each beginning of it holds the classes in their proportions."""
    generator = torch.Generator().manual_seed(derive_seed(seed, stream, 0))
    shuffled = torch.randperm(len(labels), generator=generator)
    own = labels[shuffled]
    by_class = own.argsort(stable=True)
    sizes = torch.bincount(own)
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(len(own)) - (sizes.cumsum(0) - sizes)[own[by_class]]
    # The k-th of n images of its class belongs (k + 1/2)/n of the way down the whole order.
    place = (rank.double() + 0.5) / sizes[own]
    return shuffled[place.argsort(stable=True)]
