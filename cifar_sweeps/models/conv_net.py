"""A plain CNN described by config: blocks of convolutions, then dense layers."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cifar_sweeps.models.argument_checks import (
    ErrorList,
    check_batch_norm,
    check_bool,
    check_choice,
    check_image_size,
    check_integer,
    expand_dropout_rates,
    is_integer,
    is_list,
    is_number,
)
from cifar_sweeps.models.conv_layout import Block, parse_conv_layout
from cifar_sweeps.models.dropout import Dropout
from cifar_sweeps.models.weight_init import check_init, initialize_weights

# In place where the backward pass needs only the output, which saves writing a second map.
ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda _: nn.ReLU(inplace=True),
    "leaky_relu": lambda slope: nn.LeakyReLU(slope, inplace=True),
    "elu": lambda _: nn.ELU(inplace=True),
    "gelu": lambda _: nn.GELU(),
    "silu": lambda _: nn.SiLU(),
    "tanh": lambda _: nn.Tanh(),
}
MONOTONE = ("relu", "leaky_relu", "elu", "tanh")
"""Activations that can be swapped with max-pooling, since max(f(x)) = f(max(x))."""
DROPOUT_PLACES = ("pool", "conv")


class ConvNet(nn.Module):
    """Blocks of [convolutions, max-pooling, dropout], then dense layers, then one logit a class.

    (N, in_channels, H, W) float -> (N, num_classes) float. image_size: H and W, or one number for both.

    blocks: list of mappings ``{filters: [32, 32], padding: same, pool: 2, batch_norm: false}``; all but ``filters``
        have these defaults. ``filters`` has one entry a convolution, ``padding`` ('same' or 'valid') may have one
        too; ``pool: 0`` means none; ``batch_norm`` overrides the net's.
    kernel_sizes: one integer, odd where the padding is 'same'; or a list by block, of integers or lists by convolution,
        the last entry of a list repeating: ``[3, 5, 7]``; ``[3, [3, 5]]``.
    activation: relu, leaky_relu (with ``negative_slope``), elu, gelu, silu or tanh, after all layers but the last.
    dense: widths of the hidden dense layers; may be empty.
    batch_norm: convolution, norm, activation, in this order. Momentum (the weight of the new batch) and epsilon default
        to Keras' values.
    conv_dropout: a rate in [0, 1), or a list of one rate a block. ``dropout_after`` 'pool': once, at the block's end;
        'conv': after each convolution's activation.
    dense_dropout: a rate, or a list of one rate a hidden dense layer.
    init: see `initialize_weights`.

    Weights are named by position (``features.block1.conv1.weight``, ``head.dense1.weight``, ``head.logits.weight``).
    Dropout layers do not change the names, so arms that differ in dropout can load each other's weights.
    A block's last activation follows its pool if the result is the same: it then has a quarter of the elements.
    Raises ConfigError with all errors of the arguments, each with the config's key.
    """

    def __init__(
        self,
        blocks: Sequence[Mapping[str, Any]],
        kernel_sizes: int | Sequence[int | Sequence[int]] = 3,
        *,
        activation: str = "relu",
        negative_slope: float = 0.1,
        dense: Sequence[int] = (512,),
        batch_norm: bool = False,
        batch_norm_momentum: float = 0.01,
        batch_norm_eps: float = 1e-3,
        conv_dropout: float | Sequence[float] = 0.0,
        dropout_after: str = "pool",
        dense_dropout: float | Sequence[float] = 0.0,
        num_classes: int = 10,
        image_size: int | Sequence[int] = 32,
        in_channels: int = 3,
        init: str = "glorot_uniform",
    ) -> None:
        errors = ErrorList()
        check_choice("model.activation", activation, ACTIVATIONS, errors)
        _check_negative_slope(negative_slope, errors)
        check_bool("model.batch_norm", batch_norm, errors)
        check_batch_norm(batch_norm_momentum, batch_norm_eps, errors)
        check_choice("model.dropout_after", dropout_after, DROPOUT_PLACES, errors)
        check_integer("model.num_classes", num_classes, 1, errors)
        side = check_image_size(image_size, errors)
        check_integer("model.in_channels", in_channels, 1, errors)
        check_init(init, errors)
        widths = _parse_dense(dense, errors)
        dense_rates = expand_dropout_rates(
            "regularization.dropout.dense", dense_dropout, len(widths), "dense layer", errors
        )
        norm = batch_norm is True  # so that an invalid value reported above is not reported again for every block
        layout = parse_conv_layout(blocks, kernel_sizes, conv_dropout, batch_norm=norm, image_size=side, errors=errors)
        errors.raise_if_any()

        def make_activation() -> nn.Module:
            return ACTIVATIONS[activation](negative_slope)

        def make_norm(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels, eps=batch_norm_eps, momentum=batch_norm_momentum)

        features: OrderedDict[str, nn.Module] = OrderedDict()
        channels = in_channels
        for number, block in enumerate(layout, start=1):
            features[f"block{number}"] = _make_block(
                channels, block, make_activation, make_norm, dropout_after, pool_first=activation in MONOTONE
            )
            channels = block.convs[-1].filters
        num_features = channels * layout[-1].side[0] * layout[-1].side[1]
        super().__init__()
        self.features = nn.Sequential(features)
        self.head = _make_head(num_features, widths, dense_rates, num_classes, make_activation)
        initialize_weights(self, init)

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, in_channels, H, W) float -> logits: (N, num_classes) float."""
        maps = self.features(images)
        if maps.requires_grad and maps.is_contiguous(memory_format=torch.channels_last):
            # The head's gradient has the order (C, H, W): without this copy all earlier layers read it with strides.
            maps.register_hook(_to_channels_last)
        # In the order (C, H, W) whatever the memory format, so the same weights serve both.
        logits: Tensor = self.head(maps.flatten(1))
        return logits


def _to_channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def _make_block(
    channels: int,
    block: Block,
    make_activation: Callable[[], nn.Module],
    make_norm: Callable[[int], nn.Module],
    dropout_after: str,
    *,
    pool_first: bool,
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, conv in enumerate(block.convs, start=1):
        # Batch norm subtracts the mean, so a bias before it has no effect.
        layers[f"conv{number}"] = nn.Conv2d(
            channels, conv.filters, conv.kernel_size, padding=conv.padding, bias=not block.batch_norm
        )
        if block.batch_norm:
            layers[f"norm{number}"] = make_norm(conv.filters)
        layers[f"activation{number}"] = make_activation()
        if block.dropout and dropout_after == "conv":
            layers[f"dropout{number}"] = Dropout(block.dropout)
        channels = conv.filters
    if block.pool:
        layers["pool"] = nn.MaxPool2d(block.pool)
        # Dropout before pooling changes what is pooled in training, so the order then matters.
        if pool_first and not (block.dropout and dropout_after == "conv"):
            layers.move_to_end(f"activation{len(block.convs)}")
    if block.dropout and dropout_after == "pool":
        layers["dropout"] = Dropout(block.dropout)
    return nn.Sequential(layers)


def _make_head(
    features: int,
    widths: Sequence[int],
    rates: Sequence[float],
    num_classes: int,
    make_activation: Callable[[], nn.Module],
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (width, rate) in enumerate(zip(widths, rates, strict=True), start=1):
        layers[f"dense{number}"] = nn.Linear(features, width)
        layers[f"activation{number}"] = make_activation()
        if rate:
            layers[f"dropout{number}"] = Dropout(rate)
        features = width
    layers["logits"] = nn.Linear(features, num_classes)
    return nn.Sequential(layers)


def _parse_dense(dense: object, errors: ErrorList) -> list[int]:
    if not is_list(dense):
        errors.add("model.dense", dense, "must be a list of widths; use e.g. [512], or [] for none")
        return []
    for width in dense:
        check_integer("model.dense", width, 1, errors)
    return [width if is_integer(width, 1) else 1 for width in dense]


def _check_negative_slope(slope: object, errors: ErrorList) -> None:
    # With a negative slope, the in-place LeakyReLU cannot recover the input's sign from its output.
    if not (is_number(slope) and 0 <= slope < float("inf")):
        errors.add("model.negative_slope", slope, "must be a number of at least 0; use e.g. 0.1")
