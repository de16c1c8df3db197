"""Transfer learning: a pretrained backbone, frozen or not, and a dense head that is trained on its features."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import ErrorList, check_flag
from cifar_sweeps.models.pretrained.backbone import Backbone, InputTransform
from cifar_sweeps.models.pretrained.dense_head import DenseHeadSpec
from cifar_sweeps.models.pretrained.efficientnet_lite import efficientnet_lite0_backbone
from cifar_sweeps.models.pretrained.vgg16 import vgg16_backbone

_BACKBONE = "backbone."


class TransferNet(nn.Module):
    """A backbone and a head: (N, 3, H, W) float in [0, 1] -> (N, num_classes) float.

    frozen: the backbone learns nothing: no parameter has a gradient, and its batch norms stay in evaluation mode, so
    that their statistics never change, whatever ``train()`` says.

    A net with a frozen backbone keeps in its state dict what is trained alone, the head: the rest is in the weights'
    file, and would be in every checkpoint again. It loads such a state dict, or one of all its tensors.
    """

    def __init__(self, backbone: Backbone, head: nn.Module, *, frozen: bool) -> None:
        super().__init__()
        self.backbone, self.head, self.frozen = backbone, head, frozen
        if frozen:
            backbone.requires_grad_(False)
            self.register_state_dict_post_hook(_drop_backbone)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_post_hook(_miss_no_backbone)  # type: ignore[no-untyped-call]
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, num_classes) for images (N, 3, H, W), or for features (N, width) that the backbone made."""
        features = self.backbone(images) if images.ndim == 4 else images
        logits: Tensor = self.head(features)
        return logits

    def train(self, mode: bool = True) -> "TransferNet":
        """Set the mode of what is trained."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    @property
    def trained(self) -> nn.Module:
        """The part that learns: the head of a frozen backbone, else the whole."""
        return self.head if self.frozen else self

    def has_pretrained(self) -> bool:
        """Say whether the backbone's weights are on this disk, sound or not."""
        return self.backbone.has_pretrained()

    def check_pretrained(self) -> None:
        """Raise ConfigError if the backbone's weights cannot be had or do not fit; fetch them if they are not here."""
        self.backbone.check_pretrained()

    def load_pretrained(self) -> None:
        """Put the pretrained weights into the backbone. Raises ConfigError as `check_pretrained`."""
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
    image_size: int = 32,
    init: str = "glorot_uniform",
) -> TransferNet:
    """VGG16 up to ``cut`` (Keras' names: block3_conv3, block3_pool) and a head, without its pretrained weights yet.

    weights: IMAGENET1K_FEATURES or IMAGENET1K_V1 (torchvision's), the path of a file in torchvision's layout, or none.
    enlarge, channels, standardise, pool: see `Preparation`. dense and what follows: see `HeadPlan`.
    Raises ConfigError with every fault of the arguments.
    """
    preparation = InputTransform(enlarge, channels, standardise, pool, image_size)
    plan = DenseHeadSpec(dense, dense_dropout, batch_norm, batch_norm_momentum, batch_norm_eps, num_classes, init)
    return _joined(vgg16_backbone, cut, weights, preparation, plan, frozen)


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
    image_size: int = 32,
    init: str = "glorot_uniform",
) -> TransferNet:
    """EfficientNet-Lite0 up to ``cut`` (stem, stage1 to stage7, top) and a head, without its pretrained weights yet.

    weights: imagenet (the extra ``pretrained``) or none. enlarge, channels, standardise, pool: see `Preparation`.
    dense and what follows: see `HeadPlan`.
    Raises ConfigError with every fault of the arguments, and if the packages are missing.
    """
    preparation = InputTransform(enlarge, channels, standardise, pool, image_size)
    plan = DenseHeadSpec(dense, dense_dropout, batch_norm, batch_norm_momentum, batch_norm_eps, num_classes, init)
    return _joined(efficientnet_lite0_backbone, cut, weights, preparation, plan, frozen)


def _joined(
    make: Callable[[str, str, InputTransform, ErrorList], Backbone | None],
    cut: str,
    weights: str,
    preparation: InputTransform,
    plan: DenseHeadSpec,
    frozen: bool,
) -> TransferNet:
    faults = ErrorList()
    check_flag("model.frozen", frozen, faults)
    plan.check(faults)
    backbone = make(cut, weights, preparation, faults)
    faults.raise_if_any()
    assert backbone is not None
    return TransferNet(backbone, plan.build(backbone.width), frozen=frozen)


def _drop_backbone(net: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}{_BACKBONE}")]:
        del state[name]


def _miss_no_backbone(_: nn.Module, keys: Any) -> None:  # noqa: ANN401 (torch's own private tuple)
    keys.missing_keys[:] = [name for name in keys.missing_keys if not name.startswith(_BACKBONE)]
