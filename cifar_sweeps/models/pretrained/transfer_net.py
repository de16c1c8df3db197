"""Networks for transfer learning: a pretrained backbone, frozen or not, and a dense head on its features."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import ErrorList, check_bool
from cifar_sweeps.models.pretrained.backbone import Backbone, InputTransform
from cifar_sweeps.models.pretrained.dense_head import DenseHeadSpec
from cifar_sweeps.models.pretrained.efficientnet_lite import efficientnet_lite0_backbone
from cifar_sweeps.models.pretrained.vgg16 import vgg16_backbone

_BACKBONE = "backbone."


class TransferNet(nn.Module):
    """A backbone and a head: (N, 3, H, W) float in [0, 1] -> (N, num_classes) float.

    frozen: the backbone is not trained: no parameter has a gradient, and it stays in evaluation mode even after
    ``train()``, so that the statistics of its batch norms never change.

    With a frozen backbone, the state dict holds only the head, as the rest is in the weights file and would be repeated
    in every checkpoint. Such a state dict can be loaded, and so can one of all tensors.
    """

    def __init__(self, backbone: Backbone, head: nn.Module, *, frozen: bool) -> None:
        super().__init__()
        self.backbone, self.head, self.frozen = backbone, head, frozen
        if frozen:
            backbone.requires_grad_(False)
            self.register_state_dict_post_hook(_drop_backbone)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_post_hook(_ignore_missing_backbone)  # type: ignore[no-untyped-call]
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, 3, H, W), or for the backbone's features (N, width)."""
        features = self.backbone(images) if images.ndim == 4 else images
        logits: Tensor = self.head(features)
        return logits

    def train(self, mode: bool = True) -> "TransferNet":
        """Set training mode, except of a frozen backbone."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    @property
    def trained(self) -> nn.Module:
        """The trained part: the head if the backbone is frozen, else the whole network."""
        return self.head if self.frozen else self

    def has_pretrained(self) -> bool:
        """Return whether the backbone's weights file exists on this disk, valid or not."""
        return self.backbone.has_pretrained()

    def check_pretrained(self) -> None:
        """Raise ConfigError if the backbone's weights are unavailable or do not fit; download them if missing."""
        self.backbone.check_pretrained()

    def load_pretrained(self) -> None:
        """Load the pretrained weights into the backbone. Raises ConfigError as `check_pretrained`."""
        self.backbone.load_pretrained()


def transfer_vgg16(
    num_classes: int = 10,
    *,
    cut: str = "block5_pool",
    weights: str = "IMAGENET1K_FEATURES",
    frozen: bool = True,
    enlarge: int = 1,
    channels: str = "rgb",
    standardise: str = "none",
    pool: str = "flatten",
    dense: Sequence[int] = (512,),
    dense_dropout: float | Sequence[float] = 0.0,
    batch_norm: str = "none",
    batch_norm_momentum: float = 0.01,
    batch_norm_eps: float = 1e-3,
    image_size: int | Sequence[int] = 32,
    init: str = "glorot_uniform",
) -> TransferNet:
    """Build VGG16 up to ``cut`` (Keras' names: block3_conv3, block3_pool) and a head; weights are not loaded yet.

    weights: IMAGENET1K_FEATURES or IMAGENET1K_V1 (torchvision's), the path of a file in torchvision's layout, or none.
    enlarge, channels, standardise, pool: see `InputTransform`. dense to batch_norm_eps, init: see `DenseHeadSpec`.
    Raises ConfigError with all errors of the arguments.
    """
    input_transform = InputTransform(enlarge, channels, standardise, pool, image_size)
    head_spec = DenseHeadSpec(dense, dense_dropout, batch_norm, batch_norm_momentum, batch_norm_eps, num_classes, init)
    return _build_transfer_net(vgg16_backbone, cut, weights, input_transform, head_spec, frozen)


def transfer_efficientnet_lite0(
    num_classes: int = 10,
    *,
    cut: str = "top",
    weights: str = "imagenet",
    frozen: bool = True,
    enlarge: int = 1,
    channels: str = "rgb",
    standardise: str = "lite",
    pool: str = "average",
    dense: Sequence[int] = (512,),
    dense_dropout: float | Sequence[float] = 0.0,
    batch_norm: str = "none",
    batch_norm_momentum: float = 0.01,
    batch_norm_eps: float = 1e-3,
    image_size: int | Sequence[int] = 32,
    init: str = "glorot_uniform",
) -> TransferNet:
    """Build EfficientNet-Lite0 up to ``cut`` (stem, stage1 to stage7, top) and a head; weights are not loaded yet.

    weights: imagenet (the extra ``pretrained``) or none. enlarge, channels, standardise, pool: see `InputTransform`.
    dense to batch_norm_eps, init: see `DenseHeadSpec`.
    Raises ConfigError with all errors of the arguments, and if the packages are missing.
    """
    input_transform = InputTransform(enlarge, channels, standardise, pool, image_size)
    head_spec = DenseHeadSpec(dense, dense_dropout, batch_norm, batch_norm_momentum, batch_norm_eps, num_classes, init)
    return _build_transfer_net(efficientnet_lite0_backbone, cut, weights, input_transform, head_spec, frozen)


def _build_transfer_net(
    build_backbone: Callable[[str, str, InputTransform, ErrorList], Backbone | None],
    cut: str,
    weights: str,
    input_transform: InputTransform,
    head_spec: DenseHeadSpec,
    frozen: bool,
) -> TransferNet:
    errors = ErrorList()
    check_bool("model.frozen", frozen, errors)
    head_spec.check(errors)
    backbone = build_backbone(cut, weights, input_transform, errors)
    errors.raise_if_any()
    assert backbone is not None
    return TransferNet(backbone, head_spec.build(backbone.width), frozen=frozen)


def _drop_backbone(net: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}{_BACKBONE}")]:
        del state[name]


def _ignore_missing_backbone(_: nn.Module, keys: Any) -> None:  # noqa: ANN401 (torch's own private tuple)
    keys.missing_keys[:] = [name for name in keys.missing_keys if not name.startswith(_BACKBONE)]
