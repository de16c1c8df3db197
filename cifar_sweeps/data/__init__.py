"""Data sets in memory: loading, splitting, augmentation, batching. Exports the loaders and augmentations of configs."""

from cifar_sweeps.data.augment import FlipCrop, RotateShiftFlip, ShiftFlip, Unchanged
from cifar_sweeps.data.cifar.cifar10 import load_cifar10
from cifar_sweeps.data.cifar.cifar100 import load_cifar100
from cifar_sweeps.data.image_folder import load_image_folder
from cifar_sweeps.data.synthetic import load_synthetic

__all__ = [
    "FlipCrop",
    "RotateShiftFlip",
    "ShiftFlip",
    "Unchanged",
    "load_cifar10",
    "load_cifar100",
    "load_image_folder",
    "load_synthetic",
]
