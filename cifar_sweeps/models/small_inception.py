"""A small Inception network: several kernel sizes side by side in each module, sized for 32×32 images and a CPU."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import (
    ErrorList,
    check_batch_norm,
    check_dropout_rate,
    check_integer,
    is_integer,
    is_list,
)
from cifar_sweeps.models.dropout import Dropout
from cifar_sweeps.models.small_resnet import SameConv2d
from cifar_sweeps.models.weight_init import check_init, initialize_weights

_REDUCED = 2
"""A branch's 1×1 convolution makes a half of its outputs' channels, before the large kernel."""
_SHARES = 8
"""A module's width in eighths: two to the 1×1 branch, four to the first kernel, one to the second, one to the pool."""


class SmallInception(nn.Module):
    """A convolutional stem, Inception modules, global average pooling, one logit a class.

    (N, in_channels, H, W) float -> (N, num_classes) float.

    A module has four branches, whose outputs are concatenated: a 1×1 convolution; two of a 1×1 convolution and then a
    larger kernel; a 3×3 maximum and then a 1×1 convolution (Szegedy et al., CVPR 2015, with the batch norm of Ioffe and
    Szegedy, ICML 2015, behind each convolution).

    widths: output channels of each module, multiples of 8. Where they change, a 2×2 maximum halves the map first; the
        stem has half of the first one's.
    kernel_sizes: the odd sizes of the two larger kernels.
    batch_norm_momentum (the weight of the new batch) and batch_norm_eps default to Keras' values.
    dropout: rate in [0, 1) between the average pooling and the logits.
    init: see `initialize_weights`.
    Raises ConfigError with all errors of the arguments, each with the config's key.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 64, 128, 128),
        kernel_sizes: Sequence[int] = (3, 5),
        *,
        batch_norm_momentum: float = 0.01,
        batch_norm_eps: float = 1e-3,
        dropout: float = 0.0,
        num_classes: int = 10,
        in_channels: int = 3,
        init: str = "glorot_uniform",
    ) -> None:
        errors = ErrorList()
        _check_widths(widths, errors)
        _check_kernel_sizes(kernel_sizes, errors)
        check_batch_norm(batch_norm_momentum, batch_norm_eps, errors)
        check_dropout_rate("regularization.dropout.dense", dropout, errors)
        check_integer("model.num_classes", num_classes, 1, errors)
        check_integer("model.in_channels", in_channels, 1, errors)
        check_init(init, errors)
        errors.raise_if_any()
        super().__init__()

        def unit(inputs: int, outputs: int, size: int) -> nn.Sequential:
            norm = nn.BatchNorm2d(outputs, eps=batch_norm_eps, momentum=batch_norm_momentum)
            return nn.Sequential(
                OrderedDict(conv=SameConv2d(inputs, outputs, size), norm=norm, relu=nn.ReLU(inplace=True))
            )

        channels = widths[0] // 2
        self.stem = unit(in_channels, channels, 3)
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        previous = widths[0]
        for number, width in enumerate(widths, start=1):
            if number == 1 or width != previous:
                modules[f"pool{number}"] = nn.MaxPool2d(2, ceil_mode=True)
            share = width // _SHARES
            first, second = (
                nn.Sequential(OrderedDict(reduce=unit(channels, outputs // _REDUCED or 1, 1), wide=unit_of))
                for outputs, unit_of in (
                    (4 * share, unit(4 * share // _REDUCED, 4 * share, kernel_sizes[0])),
                    (share, unit(share // _REDUCED or 1, share, kernel_sizes[1])),
                )
            )
            modules[f"module{number}"] = InceptionModule(
                unit(channels, 2 * share, 1), first, second, unit(channels, share, 1)
            )
            channels = previous = width
        self.features = nn.Sequential(modules)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.logits = nn.Linear(channels, num_classes)
        initialize_weights(self, init)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, in_channels, H, W) float -> logits: (N, num_classes) float."""
        maps = self.features(self.stem(images))
        logits: Tensor = self.logits(self.dropout(maps.mean(dim=(2, 3))))
        return logits


class InceptionModule(nn.Module):
    """Four branches over the same maps, concatenated: (N, C, H, W) -> (N, sum of their channels, H, W)."""

    def __init__(self, point: nn.Module, first: nn.Module, second: nn.Module, pooled: nn.Module) -> None:
        super().__init__()
        self.point, self.first, self.second, self.pooled = point, first, second, pooled

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W) -> (N, C', H, W)."""
        peaks = F.max_pool2d(maps, 3, stride=1, padding=1)
        return torch.cat([self.point(maps), self.first(maps), self.second(maps), self.pooled(peaks)], dim=1)


def _check_widths(widths: object, errors: ErrorList) -> None:
    if not is_list(widths) or not widths:
        errors.add("model.widths", widths, "must be a list of channels, one a module; use e.g. [64, 64, 128, 128]")
        return
    for width in widths:
        if not is_integer(width, _SHARES) or width % _SHARES:
            errors.add("model.widths", widths, f"{width} must be a multiple of {_SHARES}, which the branches share")


def _check_kernel_sizes(sizes: object, errors: ErrorList) -> None:
    if not is_list(sizes) or len(sizes) != 2 or not all(is_integer(size, 1) and size % 2 for size in sizes):
        errors.add(
            "model.kernel_sizes", sizes, "must be the two odd sizes of a module's larger kernels; use e.g. [3, 5]"
        )
