"""Data sets in memory: labelled training and test images, class names and a fingerprint."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_sweeps.errors import DataError

Progress = Callable[[str, int, int], None]
"""Called with what is being done (``reading 60,000 images of photos``), how many images are done, and of how many."""


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels.

    images: (N, 3, H, W) uint8. Loaders lay the memory out as N, H, W, 3 (a channels_last view): selecting a
    batch is then one contiguous copy an image, in the format that a channels_last convolution reads.
    labels: (N,) int64, indices into ``ImageData.classes``.
    Raises DataError if shapes or dtypes differ.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) != 4 or shape[1] != 3 or self.images.dtype != torch.uint8:
            raise DataError(f"images are {shape} {self.images.dtype}: they must be (N, 3, H, W) torch.uint8")
        if self.labels.shape != shape[:1] or self.labels.dtype != torch.int64:
            received = f"{tuple(self.labels.shape)} {self.labels.dtype}"
            raise DataError(f"labels are {received}: they must be ({shape[0]},) torch.int64, one an image")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """A data set: training images (which splits.py divides further), test images and class names.

    name: as reports show it.
    original_order: whether the training images are in CIFAR-10's published order, so that "the last tenth" and
        "data_batch_1" are the same images as in the documents.
    fingerprint: 16 hex digits of a SHA-256 over all images, labels and class names.
    val: validation images of their own, if the data set has them and they were asked for.
    notes: messages for the user: what the loader changed, left out or found odd; one a line.
    """

    name: str
    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    original_order: bool
    fingerprint: str
    val: LabelledImages | None = None
    notes: tuple[str, ...] = ()


def fingerprint(
    train: LabelledImages, test: LabelledImages, classes: tuple[str, ...], val: LabelledImages | None = None
) -> str:
    """Return 16 hex digits that change with any pixel, label or class name, and with the order of the images."""
    digest = hashlib.sha256("\n".join(classes).encode(errors="surrogateescape"))
    for part in (train, test, *([] if val is None else [val])):
        digest.update(str(tuple(part.images.shape)).encode())
        digest.update(part.images.permute(0, 2, 3, 1).contiguous().numpy().data)
        digest.update(part.labels.contiguous().numpy().data)
    return digest.hexdigest()[:16]
