"""Parse and check the convolutional part of a ConvNet's config: layers, widths and sizes of the feature maps."""

from collections.abc import Mapping
from dataclasses import dataclass

from cifar_sweeps.models.argument_checks import (
    ErrorList,
    check_bool,
    check_choice,
    check_integer,
    expand_dropout_rates,
    is_integer,
    is_list,
)
from cifar_sweeps.models.kernel_sizes import KERNEL_SIZE_KEY, expand_kernel_sizes

BLOCK_KEYS = ("filters", "padding", "pool", "batch_norm")
PADDINGS = ("same", "valid")


@dataclass(frozen=True)
class Conv:
    """One convolution of stride 1, with ``padding`` pixels of zeros on each side."""

    filters: int
    kernel_size: int
    padding: int


@dataclass(frozen=True)
class Block:
    """Convolutions, then max-pooling by ``pool`` (0: none). ``side``: (height, width) of its output map."""

    convs: tuple[Conv, ...]
    pool: int
    batch_norm: bool
    dropout: float
    side: tuple[int, int]


@dataclass(frozen=True)
class _BlockSpec:
    """One entry of ``model.blocks``; invalid values are replaced by valid ones, so that the later checks can run."""

    filters: tuple[int, ...]
    paddings: tuple[str, ...]
    pool: int
    batch_norm: bool


def parse_conv_layout(
    blocks: object,
    kernel_sizes: object,
    dropout: object,
    *,
    batch_norm: bool,
    image_size: tuple[int, int],
    errors: ErrorList,
) -> list[Block]:
    """Return the blocks that the config describes; they are valid unless an error was added to ``errors``.

    blocks: list of mappings with ``filters`` (list of output channels, one a convolution) and optionally ``padding``
    ('same', 'valid' or a list, one a convolution; default 'same'), ``pool`` (default 2; 0: none), ``batch_norm``.
    kernel_sizes: see kernel_sizes.py. dropout: a rate, or a list of one rate a block.
    batch_norm: default of blocks that do not set it. image_size: height and width of the input in pixels.
    """
    if not is_list(blocks) or not blocks:
        errors.add("model.blocks", blocks, "must be a list of one or more blocks; use e.g. [{filters: [32, 32]}]")
        return []
    specs = [_parse_block(f"model.blocks[{i}]", block, batch_norm, errors) for i, block in enumerate(blocks)]
    kernels = expand_kernel_sizes(kernel_sizes, [len(spec.filters) for spec in specs], errors)
    rates = expand_dropout_rates("regularization.dropout.conv", dropout, len(specs), "block", errors)

    layout: list[Block] = []
    side = image_size
    for spec, sizes, rate in zip(specs, kernels, rates, strict=True):
        block_key = f"model.blocks[{len(layout)}]"
        convs = []
        for filters, size, padding in zip(spec.filters, sizes, spec.paddings, strict=True):
            if padding == "same" and size % 2 == 0:
                hint = f"use {size - 1} or {size + 1}"
                errors.add(KERNEL_SIZE_KEY, kernel_sizes, f"{size} is even, and 'same' padding needs odd sizes; {hint}")
            if padding == "valid":
                after = (side[0] - size + 1, side[1] - size + 1)
                side = _side_after_layer(
                    side, after, f"{block_key}.padding", "valid", f"a {size}x{size} kernel", errors
                )
            convs.append(Conv(filters, size, size // 2 if padding == "same" else 0))
        if spec.pool:
            after = (side[0] // spec.pool, side[1] // spec.pool)
            side = _side_after_layer(side, after, f"{block_key}.pool", spec.pool, "this pooling", errors)
        layout.append(Block(tuple(convs), spec.pool, spec.batch_norm, rate, side))
    return layout


def _side_after_layer(
    before: tuple[int, int], after: tuple[int, int], key: str, value: object, layer: str, errors: ErrorList
) -> tuple[int, int]:
    """Return the map's height and width after a layer. If it leaves no pixel, add an error and return those before."""
    if min(after) >= 1:
        return after
    hint = "use fewer blocks, less pooling, 'same' padding or a larger data.image_size"
    errors.add(key, value, f"{layer} leaves nothing of the {before[0]}x{before[1]} map before it; {hint}")
    return before


def _parse_block(block_key: str, block: object, batch_norm: bool, errors: ErrorList) -> _BlockSpec:
    if not isinstance(block, Mapping):
        errors.add(block_key, block, "must be a mapping; use e.g. {filters: [32, 32], padding: same, pool: 2}")
        return _BlockSpec((), (), 0, False)
    for key in block:
        check_choice(f"{block_key} key", key, BLOCK_KEYS, errors)

    filters = _parse_filters(f"{block_key}.filters", block.get("filters"), errors)
    paddings = _parse_paddings(f"{block_key}.padding", block.get("padding", "same"), len(filters), errors)
    pool = block.get("pool", 2)
    if not is_integer(pool, 0) or pool == 1:
        errors.add(f"{block_key}.pool", pool, "must be 0 (no pooling) or an integer of at least 2")
        pool = 0
    norm = block.get("batch_norm", batch_norm)
    check_bool(f"{block_key}.batch_norm", norm, errors)
    return _BlockSpec(filters, paddings, pool, norm is True)


def _parse_filters(key: str, filters: object, errors: ErrorList) -> tuple[int, ...]:
    if not is_list(filters) or not filters:
        errors.add(key, filters, "must be a list of output channels, one a convolution; use e.g. [32, 32]")
        return ()
    for width in filters:
        check_integer(key, width, 1, errors)
    return tuple(width if is_integer(width, 1) else 1 for width in filters)


def _parse_paddings(key: str, padding: object, count: int, errors: ErrorList) -> tuple[str, ...]:
    entries = list(padding) if is_list(padding) else [padding] * count
    for entry in entries:
        check_choice(key, entry, PADDINGS, errors)
    # count is 0 if the filters are invalid, which has been reported already.
    if count and len(entries) != count:
        errors.add(
            key, padding, f"{len(entries)} entries for {count} convolution(s); give one value or a list of {count}"
        )
    return tuple(str(entry) for entry in entries) if len(entries) == count else ("same",) * count
