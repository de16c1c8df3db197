"""What every data set is once it is loaded: two tensors a side, the names of the classes, and a fingerprint."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_sweeps.errors import DataError


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels.

    images: (N, 3, H, W) uint8. Loaders lay the memory out as N, H, W, 3 (a channels_last view): picking a batch is
    then one contiguous copy an image, and what a channels_last convolution reads.
    labels: (N,) int64, indices into ``ImageData.classes``.
    Raises DataError if shapes or types are others.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) != 4 or shape[1] != 3 or self.images.dtype != torch.uint8:
            raise DataError(f"images are {shape} {self.images.dtype}: they must be (N, 3, H, W) torch.uint8")
        if self.labels.shape != shape[:1] or self.labels.dtype != torch.int64:
            arrived = f"{tuple(self.labels.shape)} {self.labels.dtype}"
            raise DataError(f"labels are {arrived}: they must be ({shape[0]},) torch.int64, one for each image")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """A data set: its training side (which splits.py divides further) and its test side.

    name: how a report calls it.
    original_order: whether the training images stand in CIFAR-10's published order, so that "the last tenth" and
        "data_batch_1" mean what the documents meant.
    fingerprint: 16 hex digits of a SHA-256 over images, labels and classes of both sides.
    """

    name: str
    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    original_order: bool
    fingerprint: str


def fingerprint(train: LabelledImages, test: LabelledImages, classes: tuple[str, ...]) -> str:
    """Return 16 hex digits that change with any pixel, label, class name or the order of the images."""
    digest = hashlib.sha256("\n".join(classes).encode())
    for side in (train, test):
        digest.update(str(tuple(side.images.shape)).encode())
        digest.update(side.images.permute(0, 2, 3, 1).contiguous().numpy().data)
        digest.update(side.labels.contiguous().numpy().data)
    return digest.hexdigest()[:16]
