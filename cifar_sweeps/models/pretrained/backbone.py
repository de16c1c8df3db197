"""A pretrained network up to a cut: what turns images into the features that a head learns from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import ErrorList, check_name, check_whole, is_whole
from cifar_sweeps.models.pretrained.weights_file import Shape, WeightsFile

CHANNELS = ("rgb", "bgr")
POOLS = ("flatten", "average")
STANDARDISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,) * 3, (1.0,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # VGG16's authors: pixels of 0 to 255 less ImageNet's mean, as IMAGENET1K_FEATURES was trained.
    "original": ((0.48235, 0.45882, 0.40784), (1 / 255,) * 3),
    # EfficientNet-Lite's authors: (pixels − 127)/128.
    "lite": ((127 / 255,) * 3, (128 / 255,) * 3),
}
"""Mean and standard deviation of the channels, of pixels in [0, 1]."""


@dataclass(frozen=True)
class InputTransform:
    """What is done to images in [0, 1] before the first layer, in this order.

    enlarge: whole factor by which both sides grow, bilinear. channels: ``bgr`` reverses them. standardise: a name in
    `STANDARDISATIONS`, by the channel's place after that. pool: of the last maps, ``flatten`` or ``average``.
    """

    enlarge: int = 1
    channels: str = "rgb"
    standardise: str = "none"
    pool: str = "flatten"
    image_size: int = 32

    def check(self, faults: ErrorList) -> bool:
        """Note every value that cannot be, and return whether there is none."""
        check_whole("model.enlarge", self.enlarge, 1, faults)
        check_name("model.channels", self.channels, CHANNELS, faults)
        check_name("model.standardise", self.standardise, STANDARDISATIONS, faults)
        check_name("model.pool", self.pool, POOLS, faults)
        check_whole("data.image_size", self.image_size, 1, faults)
        return (
            is_whole(self.enlarge, 1)
            and is_whole(self.image_size, 1)
            and self.channels in CHANNELS
            and self.standardise in STANDARDISATIONS
            and self.pool in POOLS
        )

    @property
    def side(self) -> int:
        """Pixels of an image's side as the first layer sees it."""
        return self.enlarge * self.image_size


class Backbone(nn.Module):
    """The layers of a pretrained network up to its ``cut``: (N, 3, H, W) float in [0, 1] -> (N, width) float.

    layers: by name, from images to maps (N, C, h, w). maps: (C, h, w). weights: None leaves what was drawn.
    file_keys: the file's name of each tensor of ``layers``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        cut: str,
        layers: nn.Sequential,
        maps: tuple[int, int, int],
        preparation: InputTransform,
        weights: WeightsFile | None,
        file_keys: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.name, self.cut, self.preparation = name, cut, preparation
        self.width = maps[0] * (maps[1] * maps[2] if preparation.pool == "flatten" else 1)
        self.layers = layers
        mean, std = STANDARDISATIONS[preparation.standardise]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self._weights, self._file_keys = weights, dict(file_keys)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, H, W) float in [0, 1] -> features: (N, width), in the order (C, h, w)."""
        if self.preparation.enlarge > 1:
            images = F.interpolate(images, scale_factor=float(self.preparation.enlarge), mode="bilinear")
        if self.preparation.channels == "bgr":
            images = images.flip(1)
        if self.preparation.standardise != "none":
            images = (images - self.mean) / self.std
        maps: Tensor = self.layers(images)
        return maps.flatten(1) if self.preparation.pool == "flatten" else maps.mean((2, 3))

    def has_pretrained(self) -> bool:
        """Say whether the weights are on this disk, sound or not."""
        return self._weights is None or self._weights.path.is_file()

    def check_pretrained(self) -> None:
        """Raise ConfigError if the weights cannot be had or are another network's; fetch them if they are not here."""
        if self._weights is not None:
            self._weights.check(self._expected())

    def load_pretrained(self) -> None:
        """Put the pretrained weights into the layers. Raises ConfigError as `check_pretrained`."""
        if self._weights is not None:
            held = self._weights.read(self._expected())
            self.layers.load_state_dict({own: held[theirs] for own, theirs in self._file_keys.items()})

    def identity(self) -> str:
        """Return what two backbones share if and only if they make the same features of the same images."""
        digest = hashlib.sha256(f"{self.name} {self.cut} {self.preparation}".encode())
        for name, tensor in self.layers.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def _expected(self) -> dict[str, Shape]:
        own = self.layers.state_dict()
        return {theirs: tuple(own[name].shape) for name, theirs in self._file_keys.items()}
