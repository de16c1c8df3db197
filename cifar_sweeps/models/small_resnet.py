"""The lightweight residual network of document 000 (Keras functional API), with its padding and batch norm."""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import ErrorList, check_batch_norm, check_rate, check_whole, is_list, is_whole
from cifar_sweeps.models.dropout import Dropout
from cifar_sweeps.models.weight_init import check_init, initialize_weights


class SmallResNet(nn.Module):
    """A convolutional stem, residual blocks, global average pooling, one logit a class.

    (N, in_channels, H, W) float -> (N, num_classes) float.

    widths: output channels of each residual block. The stem has the first one's; a block wider or narrower than what it
        receives halves the map and has a 1×1 convolution as its shortcut.
    kernel_size: one odd integer, for the stem and both convolutions of each block.
    batch_norm_momentum (the new batch's share) and batch_norm_eps default to Keras' values.
    dropout: rate in [0, 1) between the average pooling and the logits; it takes no part in the weights' names.
    init: see ``initialise``.
    Raises ConfigError with every fault of the arguments, each with the config's key.
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
        faults = ErrorList()
        _check_widths(widths, faults)
        _check_kernel_size(kernel_size, faults)
        check_batch_norm(batch_norm_momentum, batch_norm_eps, faults)
        check_rate("regularization.dropout.dense", dropout, faults)
        check_whole("model.num_classes", num_classes, 1, faults)
        check_whole("model.in_channels", in_channels, 1, faults)
        check_init(init, faults)
        faults.raise_if_any()
        super().__init__()

        def unit(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
            norm = nn.BatchNorm2d(outputs, eps=batch_norm_eps, momentum=batch_norm_momentum)
            return nn.Sequential(OrderedDict(conv=SameConv2d(inputs, outputs, size, stride), norm=norm))

        channels = widths[0]
        self.stem = unit(in_channels, channels, kernel_size)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for number, width in enumerate(widths, start=1):
            stride = 1 if width == channels else 2
            blocks[f"block{number}"] = ResidualBlock(
                first=unit(channels, width, kernel_size, stride),
                second=unit(width, width, kernel_size),
                shortcut=nn.Identity() if width == channels else unit(channels, width, 1, stride),
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
        # In place, since a norm's backward pass doesn't need its output. The shortcut may be the input, so not there.
        return F.relu_(residual.add_(self.shortcut(maps)))


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's 'same': ceil(size / stride) outputs, an odd zero goes last.

    With stride 2 on an even map a 3×3 kernel is so padded on the right and at the bottom only, where PyTorch's
    ``padding=1`` pads all sides and samples other pixels.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> None:
        # At stride 1 an odd kernel needs the same on all sides, which the convolution does without a copy.
        symmetric = kernel_size // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel_size, stride, padding=symmetric, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """maps: (N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        if self.stride != (1, 1):
            top, bottom = self._zeros(maps.shape[2])
            left, right = self._zeros(maps.shape[3])
            maps = F.pad(maps, (left, right, top, bottom))
        return super().forward(maps)

    def _zeros(self, size: int) -> tuple[int, int]:
        """How many zeros go before and after a row of ``size`` pixels."""
        outputs = -(-size // self.stride[0])
        total = max((outputs - 1) * self.stride[0] + self.kernel_size[0] - size, 0)
        return total // 2, total - total // 2


def _check_widths(widths: object, faults: ErrorList) -> None:
    if not is_list(widths) or not widths:
        faults.add("model.widths", widths, "must be a list of channels, one a residual block; use e.g. [32, 64, 128]")
        return
    for width in widths:
        check_whole("model.widths", width, 1, faults)


def _check_kernel_size(size: object, faults: ErrorList) -> None:
    if not is_whole(size, 1) or size % 2 == 0:
        mend = "small_resnet takes one odd integer for all convolutions; use e.g. kernel_size=k3, k5 or k7"
        faults.add("kernel_size.conv", size, mend)
