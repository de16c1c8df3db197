"""A tiny data set in memory, for tests that need images and not a loader."""

import torch

from cifar_sweeps.data.dataset import ImageData, LabelledImages, fingerprint


def labelled(count: int, classes: int = 10, size: int = 8, seed: int = 0) -> LabelledImages:
    """Draw noise; image i's first pixel encodes i, so that a test can tell which images a batch holds."""
    pixels = torch.randint(0, 256, (count, size, size, 3), generator=torch.Generator().manual_seed(seed))
    pixels[:, 0, 0, 0] = torch.arange(count) // 256
    pixels[:, 0, 0, 1] = torch.arange(count) % 256
    return LabelledImages(pixels.to(torch.uint8).permute(0, 3, 1, 2), torch.arange(count) % classes)


def image_data(labels: torch.Tensor, *, original_order: bool = False) -> ImageData:
    """Return a data set with the given training labels."""
    train = LabelledImages(torch.zeros((len(labels), 3, 1, 1), dtype=torch.uint8), labels)
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return ImageData("toys", train, train, classes, original_order, fingerprint(train, train, classes))
