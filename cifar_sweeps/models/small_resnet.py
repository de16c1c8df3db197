"""The small residual network of document 000 (Keras functional API), with Keras' padding and batch norm."""

from collections import OrderedDict
from collections.abc import Sequence

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
from cifar_sweeps.models.weight_init import check_init, initialize_weights


class SmallResNet(nn.Module):
    """A convolutional stem, residual blocks, global average pooling, one logit a class.

    (N, in_channels, H, W) float -> (N, num_classes) float.

    widths: output channels of each residual block. The stem has the first one's; a block whose width differs from its
        input's halves the map and has a 1×1 convolution as its shortcut.
    kernel_size: one odd integer, for the stem and both convolutions of each block.
    batch_norm_momentum (the weight of the new batch) and batch_norm_eps default to Keras' values.
    dropout: rate in [0, 1) between the average pooling and the logits; it does not change the weights' names.
    init: see `initialize_weights`.
    Raises ConfigError with all errors of the arguments, each with the config's key.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 32, 64, 64, 128, 128),
        kernel_size: int = 3,
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
        _check_kernel_size(kernel_size, errors)
        check_batch_norm(batch_norm_momentum, batch_norm_eps, errors)
        check_dropout_rate("regularization.dropout.dense", dropout, errors)
        check_integer("model.num_classes", num_classes, 1, errors)
        check_integer("model.in_channels", in_channels, 1, errors)
        check_init(init, errors)
        errors.raise_if_any()
        super().__init__()

        def conv_norm(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
            norm = nn.BatchNorm2d(outputs, eps=batch_norm_eps, momentum=batch_norm_momentum)
            return nn.Sequential(OrderedDict(conv=SameConv2d(inputs, outputs, size, stride), norm=norm))

        channels = widths[0]
        self.stem = conv_norm(in_channels, channels, kernel_size)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for number, width in enumerate(widths, start=1):
            stride = 1 if width == channels else 2
            blocks[f"block{number}"] = ResidualBlock(
                first=conv_norm(channels, width, kernel_size, stride),
                second=conv_norm(width, width, kernel_size),
                shortcut=nn.Identity() if width == channels else conv_norm(channels, width, 1, stride),
            )
            channels = width
        self.blocks = nn.Sequential(blocks)
        self.dropout = Dropout(dropout) if dropout else nn.Identity()
        self.logits = nn.Linear(channels, num_classes)
        initialize_weights(self, init)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, in_channels, H, W) float -> logits: (N, num_classes) float."""
        maps = self.blocks(F.relu(self.stem(images), inplace=True))
        logits: Tensor = self.logits(self.dropout(maps.mean(dim=(2, 3))))
        return logits


class ResidualBlock(nn.Module):
    """relu(second(relu(first(x))) + shortcut(x)); first, second and shortcut are convolution and norm, or identity."""

    def __init__(self, first: nn.Module, second: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.shortcut = shortcut

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, C, H, W) -> (N, C', H / stride, W / stride)."""
        residual: Tensor = self.second(F.relu(self.first(maps), inplace=True))
        # In place, since a norm's backward pass does not need its output. The shortcut may be the input, so it stays.
        return F.relu_(residual.add_(self.shortcut(maps)))


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's 'same': ceil(size / stride) outputs, an odd zero goes last.

    With stride 2 on an even map, a 3×3 kernel is padded only on the right and at the bottom; PyTorch's ``padding=1``
    pads all sides and samples other pixels.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> None:
        # At stride 1 the padding of an odd kernel is symmetric, which the convolution does without a copy.
        symmetric = kernel_size // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel_size, stride, padding=symmetric, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        if self.stride != (1, 1):
            top, bottom = self._pad_widths(maps.shape[2])
            left, right = self._pad_widths(maps.shape[3])
            maps = F.pad(maps, (left, right, top, bottom))
        return super().forward(maps)

    def _pad_widths(self, size: int) -> tuple[int, int]:
        """Return the number of zeros before and after a row of ``size`` pixels."""
        outputs = -(-size // self.stride[0])
        total = max((outputs - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
        return total // 2, total - total // 2


def _check_widths(widths: object, errors: ErrorList) -> None:
    if not is_list(widths) or not widths:
        errors.add("model.widths", widths, "must be a list of channels, one a residual block; use e.g. [32, 64, 128]")
        return
    for width in widths:
        check_integer("model.widths", width, 1, errors)


def _check_kernel_size(size: object, errors: ErrorList) -> None:
    if not is_integer(size, 1) or size % 2 == 0:
        hint = "small_resnet takes one odd integer for all convolutions; use e.g. kernel_size=k3, k5 or k7"
        errors.add("kernel_size.conv", size, hint)
