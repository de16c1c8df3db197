"""A pretrained network up to a given layer (the cut), which computes the features for a head."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import ErrorList, check_choice, check_image_size, check_integer, is_integer
from cifar_sweeps.models.pretrained.weights_file import Shape, WeightsFile

CHANNELS = ("rgb", "bgr")
POOLS = ("flatten", "average")
STANDARDISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,) * 3, (1.0,) * 3),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # VGG16's authors: pixels in [0, 255] minus ImageNet's mean, as IMAGENET1K_FEATURES was trained.
    "original": ((0.48235, 0.45882, 0.40784), (1 / 255,) * 3),
    # EfficientNet-Lite's authors: (pixels − 127)/128.
    "lite": ((127 / 255,) * 3, (128 / 255,) * 3),
}
"""Mean and standard deviation by channel, for pixels in [0, 1]."""


@dataclass(frozen=True)
class InputTransform:
    """Transforms of images in [0, 1] before the first layer, in this order; and the pooling of the last maps.

    enlarge: integer factor of bilinear upsampling. channels: ``bgr`` reverses them. standardise: a name in
    `STANDARDISATIONS`, applied by channel after that. pool: of the last maps, ``flatten`` or ``average``.
    """

    enlarge: int = 1
    channels: str = "rgb"
    standardise: str = "none"
    pool: str = "flatten"
    image_size: int | Sequence[int] = 32

    def check(self, errors: ErrorList) -> bool:
        """Add an error for each invalid value, and return whether all are valid."""
        check_integer("model.enlarge", self.enlarge, 1, errors)
        check_choice("model.channels", self.channels, CHANNELS, errors)
        check_choice("model.standardise", self.standardise, STANDARDISATIONS, errors)
        check_choice("model.pool", self.pool, POOLS, errors)
        shape = ErrorList()
        check_image_size(self.image_size, shape)
        errors.extend(shape)
        return (
            is_integer(self.enlarge, 1)
            and not shape
            and self.channels in CHANNELS
            and self.standardise in STANDARDISATIONS
            and self.pool in POOLS
        )

    @property
    def side(self) -> tuple[int, int]:
        """Height and width of the first layer's input, in pixels."""
        height, width = check_image_size(self.image_size, ErrorList())
        return self.enlarge * height, self.enlarge * width


class Backbone(nn.Module):
    """The layers of a pretrained network up to its ``cut``: (N, 3, H, W) float in [0, 1] -> (N, width) float.

    layers: by name, from images to maps (N, C, h, w). maps: (C, h, w). weights: None keeps the initial weights.
    file_keys: the key in the weights file of each tensor of ``layers``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        cut: str,
        layers: nn.Sequential,
        maps: tuple[int, int, int],
        input_transform: InputTransform,
        weights_file: WeightsFile | None,
        file_keys: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.name, self.cut, self.input_transform = name, cut, input_transform
        self.width = maps[0] * (maps[1] * maps[2] if input_transform.pool == "flatten" else 1)
        self.layers = layers
        mean, std = STANDARDISATIONS[input_transform.standardise]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self._weights_file, self._file_keys = weights_file, dict(file_keys)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, 3, H, W) float in [0, 1] -> features: (N, width), in the order (C, h, w)."""
        if self.input_transform.enlarge > 1:
            images = F.interpolate(images, scale_factor=float(self.input_transform.enlarge), mode="bilinear")
        if self.input_transform.channels == "bgr":
            images = images.flip(1)
        if self.input_transform.standardise != "none":
            images = (images - self.mean) / self.std
        maps: Tensor = self.layers(images)
        return maps.flatten(1) if self.input_transform.pool == "flatten" else maps.mean((2, 3))

    def has_pretrained(self) -> bool:
        """Return whether the weights file exists on this disk, valid or not."""
        return self._weights_file is None or self._weights_file.path.is_file()

    def check_pretrained(self) -> None:
        """Raise ConfigError if the weights are unavailable or of another network; download them if they are missing."""
        if self._weights_file is not None:
            self._weights_file.check(self._expected_shapes())

    def load_pretrained(self) -> None:
        """Load the pretrained weights into the layers. Raises ConfigError as `check_pretrained`."""
        if self._weights_file is not None:
            tensors = self._weights_file.read(self._expected_shapes())
            self.layers.load_state_dict({key: tensors[file_key] for key, file_key in self._file_keys.items()})

    def identity(self) -> str:
        """Return a hash that is equal for two backbones if and only if they compute the same features."""
        # Spelt as the repr of InputTransform under its first name, since the names of cached feature files derive from
        # this hash.
        values = ", ".join(f"{name}={value!r}" for name, value in asdict(self.input_transform).items())
        digest = hashlib.sha256(f"{self.name} {self.cut} Preparation({values})".encode())
        for name, tensor in self.layers.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def _expected_shapes(self) -> dict[str, Shape]:
        state = self.layers.state_dict()
        return {file_key: tuple(state[key].shape) for key, file_key in self._file_keys.items()}
