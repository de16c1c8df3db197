"""Training and evaluation batches: select images in memory, augment, scale and standardise them."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from cifar_sweeps.data.dataset import LabelledImages
from cifar_sweeps.data.frozen_features import LabelledFeatures
from cifar_sweeps.data.whitening import Whitening
from cifar_sweeps.system.seeds import derive_seed

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""Maps images (B, 3, H, W) float32 in [0, 1] and a CPU generator to images of the same shape, one draw an image."""


class _ImageSource:
    """Selects images by index and scales them: pixels/255, then standardised or whitened if that is asked for."""

    def __init__(
        self,
        data: LabelledImages,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        whitening: Whitening | None,
        device: torch.device,
        channels_last: bool,
    ) -> None:
        # (N, H, W, 3), as the loaders lay it out: an image is one contiguous copy, already channels_last.
        self._pixels = data.images.permute(0, 2, 3, 1).to(device)
        self.labels = data.labels.to(device)
        scale = torch.tensor([1.0] * 3 if std is None else std, device=device).reciprocal()
        shift = torch.tensor([0.0] * 3 if mean is None else mean, device=device).neg() * scale
        # Repeated for a whole row of pixels: three channels at a time are too few for the CPU's vector instructions.
        width = self._pixels.shape[2]
        self._scale, self._shift = scale.repeat(width), shift.repeat(width)
        self._standardises = mean is not None or std is not None
        self._whitening = None if whitening is None else whitening.to(device)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def select(self, indices: Tensor) -> Tensor:
        """Return (B, 3, H, W) float32 in [0, 1]."""
        return self._pixels.index_select(0, indices).permute(0, 3, 1, 2).float().mul_(1 / 255)

    def to_input(self, images: Tensor) -> Tensor:
        """Return the images standardised or whitened, in the memory format of the network."""
        if self._standardises:
            pixels = images.permute(0, 2, 3, 1)
            rows = torch.addcmul(self._shift, pixels.flatten(2), self._scale)
            images = rows.view(pixels.shape).permute(0, 3, 1, 2)
        if self._whitening is not None:
            images = self._whitening(images)
        return images.contiguous(memory_format=self._layout)


class _FeatureSource:
    """Selects features by the indices of their images."""

    def __init__(self, data: LabelledFeatures, device: torch.device) -> None:
        # Features stay in their mapped file, whose pages all jobs share; each batch is copied to the device.
        self._features, self._rows, self._device = data.features, data.rows, device
        self.labels = data.labels.to(device)

    def select(self, indices: Tensor) -> Tensor:
        """Return (B, F) float32."""
        return self._features.index_select(0, self._rows[indices.cpu()]).to(self._device).float()

    def to_input(self, features: Tensor) -> Tensor:
        """Return the features unchanged."""
        return features


def _make_source(
    data: LabelledImages | LabelledFeatures,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    whitening: Whitening | None,
    device: torch.device,
    channels_last: bool,
) -> _ImageSource | _FeatureSource:
    if isinstance(data, LabelledFeatures):
        return _FeatureSource(data, device)
    return _ImageSource(data, mean, std, whitening, device, channels_last)


def _index_batches(indices: Tensor, size: int, least: int = 1) -> Iterator[Tensor]:
    """Yield batches of ``size`` indices; a last one of fewer than ``least`` is joined to the one before."""
    last = count_batches(len(indices), size, least) - 1
    for number in range(last + 1):
        start = number * size
        yield indices[start:] if number == last else indices[start : start + size]


def count_batches(count: int, size: int, least: int = 1) -> int:
    """Return the number of batches of ``count`` images, where a last one of fewer than ``least`` joins the others."""
    full, rest = divmod(count, size)
    return full if full and rest < least else full + (rest > 0)


class TrainBatches:
    """Training batches, shuffled and augmented anew each epoch.

    Order and augmentation of an epoch derive from (seed, epoch) alone: epoch 7 is the same whether or not epochs 1 to
    6 ran. The last batch may be smaller.

    data: images, or the features (B, F) float32 that a frozen backbone computed from them, without augmentation and
    from images that were already standardised.
    parts: indices into ``data``, (n,) int64 each: ``epochs_a_part`` epochs use the first, as many the next, and so on.
    least: images of the smallest batch that the network can train on; a smaller last one is joined to the one before.
    mean, std: by channel, on pixels in [0, 1]. whitening: of pixels in [0, 1], after the augmentation.
    """

    def __init__(
        self,
        data: LabelledImages | LabelledFeatures,
        parts: Sequence[Tensor],
        batch_size: int,
        *,
        seed: int,
        epochs_a_part: int = 1,
        least: int = 1,
        augmentation: Augmentation | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        whitening: Whitening | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
        channels_last: bool = True,
    ) -> None:
        self._source = _make_source(data, mean, std, whitening, device, channels_last)
        self._parts, self._epochs_a_part = tuple(parts), epochs_a_part
        self._batch_size, self._least, self._seed = batch_size, least, seed
        self._augmentation, self._device = augmentation, device

    def steps(self, epoch: int) -> int:
        """Return the number of batches of an epoch (from 1)."""
        return count_batches(len(self._part(epoch)), self._batch_size, self._least)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, 3, H, W) float32 and labels (B,) int64 of epoch ``epoch`` (from 1)."""
        part = self._part(epoch)
        order = torch.randperm(
            len(part), generator=torch.Generator().manual_seed(derive_seed(self._seed, "order", epoch))
        )
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "augmentation", epoch))
        for indices in _index_batches(part[order].to(self._device), self._batch_size, self._least):
            images = self._source.select(indices)
            if self._augmentation is not None:
                images = self._augmentation(images, generator)
            yield self._source.to_input(images), self._source.labels.index_select(0, indices)

    def _part(self, epoch: int) -> Tensor:
        return self._parts[min((epoch - 1) // self._epochs_a_part, len(self._parts) - 1)]


class EvalBatches:
    """Evaluation batches in the order of ``indices``, the same each time. Arguments as in `TrainBatches`.

    augmentation: to evaluate on augmented images; its random draws are the same each time.
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
        whitening: Whitening | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
        channels_last: bool = True,
    ) -> None:
        self._source = _make_source(data, mean, std, whitening, device, channels_last)
        self._indices = indices.to(device)
        self._batch_size, self._augmentation = batch_size, augmentation
        self.num_images = len(indices)

    def __len__(self) -> int:
        """Return the number of batches."""
        return math.ceil(self.num_images / self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, 3, H, W) float32 and labels (B,) int64."""
        generator = torch.Generator().manual_seed(derive_seed(0, "augmentation", 0))
        for indices in _index_batches(self._indices, self._batch_size):
            images = self._source.select(indices)
            if self._augmentation is not None:
                images = self._augmentation(images, generator)
            yield self._source.to_input(images), self._source.labels.index_select(0, indices)
