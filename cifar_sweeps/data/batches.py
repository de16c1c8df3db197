"""Images as a network reads them: picked from memory, augmented, scaled, a batch at a time."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from cifar_sweeps.data.dataset import LabelledImages
from cifar_sweeps.data.frozen_features import LabelledFeatures
from cifar_sweeps.system.seeds import derive_seed

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""(B, 3, H, W) float32 in [0, 1] and a CPU generator to the same shape, each image with its own draw."""


class _Pixels:
    """Picks images by index and scales them: pixels/255, then standardised where mean and std are given."""

    def __init__(
        self,
        data: LabelledImages,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        device: torch.device,
        channels_last: bool,
    ) -> None:
        # (N, H, W, 3), as the loaders lay it out: an image is one contiguous copy, and ready for channels_last.
        self._pixels = data.images.permute(0, 2, 3, 1).to(device)
        self.labels = data.labels.to(device)
        scale = torch.tensor([1.0] * 3 if std is None else std, device=device).reciprocal()
        shift = torch.tensor([0.0] * 3 if mean is None else mean, device=device).neg() * scale
        # Repeated for a whole row of pixels: three channels at a time are too few for the processor's vectors.
        width = self._pixels.shape[2]
        self._scale, self._shift = scale.repeat(width), shift.repeat(width)
        self._standardises = mean is not None or std is not None
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def pick(self, indices: Tensor) -> Tensor:
        """Return (B, 3, H, W) float32 in [0, 1]."""
        return self._pixels.index_select(0, indices).permute(0, 3, 1, 2).float().mul_(1 / 255)

    def finish(self, images: Tensor) -> Tensor:
        if self._standardises:
            pixels = images.permute(0, 2, 3, 1)
            rows = torch.addcmul(self._shift, pixels.flatten(2), self._scale)
            images = rows.view(pixels.shape).permute(0, 3, 1, 2)
        return images.contiguous(memory_format=self._layout)


class _Features:
    """Picks the features of images by the images' indices."""

    def __init__(self, data: LabelledFeatures, device: torch.device) -> None:
        # They stay in their file, whose pages all jobs share, and go to the device a batch at a time.
        self._features, self._rows, self._device = data.features, data.rows, device
        self.labels = data.labels.to(device)

    def pick(self, indices: Tensor) -> Tensor:
        """Return (B, F) float32."""
        return self._features.index_select(0, self._rows[indices.cpu()]).to(self._device).float()

    def finish(self, features: Tensor) -> Tensor:
        return features


def _source(
    data: LabelledImages | LabelledFeatures,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    device: torch.device,
    channels_last: bool,
) -> _Pixels | _Features:
    if isinstance(data, LabelledFeatures):
        return _Features(data, device)
    return _Pixels(data, mean, std, device, channels_last)


def _in_batches(indices: Tensor, size: int) -> Iterator[Tensor]:
    # Tensor.split would make one empty batch of no indices.
    return (indices[start : start + size] for start in range(0, len(indices), size))


class TrainBatches:
    """Shuffled, augmented batches of one side of the data, new each epoch.

    Order and augmentation of an epoch derive from (seed, epoch) alone: epoch 7 is the same whether or not epochs 1 to
    6 ran. The last batch holds what is left.

    data: images, or in their place the features (B, F) float32 that a frozen backbone made of them, which are as they
    were when they were made: unaugmented, and of images that were scaled already.
    parts: (n,) int64 each, into ``data``: ``epochs_a_part`` epochs of the first, then as many of the next, and so on.
    mean, std: by channel, on pixels in [0, 1].
    """

    def __init__(
        self,
        data: LabelledImages | LabelledFeatures,
        parts: Sequence[Tensor],
        batch_size: int,
        *,
        seed: int,
        epochs_a_part: int = 1,
        augmentation: Augmentation | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
        channels_last: bool = True,
    ) -> None:
        self._source = _source(data, mean, std, device, channels_last)
        self._parts, self._epochs_a_part = tuple(parts), epochs_a_part
        self._batch_size, self._seed = batch_size, seed
        self._augmentation, self._device = augmentation, device

    def steps(self, epoch: int) -> int:
        """Return how many batches an epoch (from 1) has."""
        return math.ceil(len(self._part(epoch)) / self._batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, 3, H, W) float32 and labels (B,) int64 of epoch ``epoch`` (from 1)."""
        part = self._part(epoch)
        order = torch.randperm(
            len(part), generator=torch.Generator().manual_seed(derive_seed(self._seed, "order", epoch))
        )
        draws = torch.Generator().manual_seed(derive_seed(self._seed, "augmentation", epoch))
        for chosen in _in_batches(part[order].to(self._device), self._batch_size):
            images = self._source.pick(chosen)
            if self._augmentation is not None:
                images = self._augmentation(images, draws)
            yield self._source.finish(images), self._source.labels.index_select(0, chosen)

    def _part(self, epoch: int) -> Tensor:
        return self._parts[min((epoch - 1) // self._epochs_a_part, len(self._parts) - 1)]


class EvalBatches:
    """Batches in the order of ``indices``, the same each time. Arguments as in `TrainBatches`.

    augmentation: for a test on augmented images; its draws are the same each time.
    """

    def __init__(
        self,
        data: LabelledImages | LabelledFeatures,
        indices: Tensor,
        batch_size: int,
        *,
        augmentation: Augmentation | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
        channels_last: bool = True,
    ) -> None:
        self._source = _source(data, mean, std, device, channels_last)
        self._indices = indices.to(device)
        self._batch_size, self._augmentation = batch_size, augmentation
        self.num_images = len(indices)

    def __len__(self) -> int:
        """Batches in all."""
        return math.ceil(self.num_images / self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, 3, H, W) float32 and labels (B,) int64."""
        draws = torch.Generator().manual_seed(derive_seed(0, "augmentation", 0))
        for chosen in _in_batches(self._indices, self._batch_size):
            images = self._source.pick(chosen)
            if self._augmentation is not None:
                images = self._augmentation(images, draws)
            yield self._source.finish(images), self._source.labels.index_select(0, chosen)
