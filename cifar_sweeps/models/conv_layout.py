"""From a ConvNet's config to its convolutional part, checked: which layers, how wide, and the map that they leave."""

from collections.abc import Mapping
from dataclasses import dataclass

from cifar_sweeps.models.argument_checks import (
    ErrorList,
    check_flag,
    check_name,
    check_whole,
    is_list,
    is_whole,
    rates_each,
)
from cifar_sweeps.models.kernel_sizes import KEY as KERNEL_KEY
from cifar_sweeps.models.kernel_sizes import expand_kernel_sizes

BLOCK_KEYS = ("filters", "padding", "pool", "batch_norm")
PADDINGS = ("same", "valid")


@dataclass(frozen=True)
class Conv:
    """One convolution of stride 1; ``padding`` pixels of zeros on each side."""

    filters: int
    kernel_size: int
    padding: int


@dataclass(frozen=True)
class Block:
    """Convolutions, then max-pooling by ``pool`` (0: none). ``side``: the map that the block leaves, in pixels."""

    convs: tuple[Conv, ...]
    pool: int
    batch_norm: bool
    dropout: float
    side: int


@dataclass(frozen=True)
class _Entry:
    """One entry of ``model.blocks`` as it was read; what was a fault is replaced by something that fits everywhere."""

    filters: tuple[int, ...]
    paddings: tuple[str, ...]
    pool: int
    batch_norm: bool


def parse_conv_layout(
    blocks: object, kernel_sizes: object, dropout: object, *, batch_norm: bool, image_size: int, faults: ErrorList
) -> list[Block]:
    """The blocks that the config describes, all sound unless ``faults`` has grown.

    blocks: list of mappings with ``filters`` (list of output channels, one a convolution) and optionally ``padding``
    ('same', 'valid' or a list, one a convolution; default 'same'), ``pool`` (default 2; 0: none), ``batch_norm``.
    kernel_sizes: see kernel_sizes.py. dropout: a rate, or a list of one rate a block.
    batch_norm: what blocks do that say nothing of it. image_size: side of the input in pixels.
    """
    if not is_list(blocks) or not blocks:
        faults.add("model.blocks", blocks, "must be a list of one or more blocks; use e.g. [{filters: [32, 32]}]")
        return []
    entries = [_read_entry(f"model.blocks[{i}]", block, batch_norm, faults) for i, block in enumerate(blocks)]
    kernels = expand_kernel_sizes(kernel_sizes, [len(entry.filters) for entry in entries], faults)
    rates = rates_each("regularization.dropout.conv", dropout, len(entries), "block", faults)

    layout: list[Block] = []
    side = image_size
    for entry, sizes, rate in zip(entries, kernels, rates, strict=True):
        where = f"model.blocks[{len(layout)}]"
        convs = []
        for filters, size, padding in zip(entry.filters, sizes, entry.paddings, strict=True):
            if padding == "same" and size % 2 == 0:
                odd = f"use {size - 1} or {size + 1}"
                faults.add(KERNEL_KEY, kernel_sizes, f"{size} is even, and 'same' padding needs odd sizes; {odd}")
            if padding == "valid":
                side = _shrink(side, side - size + 1, f"{where}.padding", "valid", f"a {size}x{size} kernel", faults)
            convs.append(Conv(filters, size, size // 2 if padding == "same" else 0))
        if entry.pool:
            side = _shrink(side, side // entry.pool, f"{where}.pool", entry.pool, "this pooling", faults)
        layout.append(Block(tuple(convs), entry.pool, entry.batch_norm, rate, side))
    return layout


def _shrink(before: int, after: int, key: str, value: object, what: str, faults: ErrorList) -> int:
    """The map's side after a layer. A layer that leaves no pixel is a fault; the map then stays as it was."""
    if after >= 1:
        return after
    mend = "use fewer blocks, less pooling, 'same' padding or a larger data.image_size"
    faults.add(key, value, f"{what} leaves nothing of the {before}x{before} map that arrives there; {mend}")
    return before


def _read_entry(where: str, block: object, batch_norm: bool, faults: ErrorList) -> _Entry:
    if not isinstance(block, Mapping):
        faults.add(where, block, "must be a mapping; use e.g. {filters: [32, 32], padding: same, pool: 2}")
        return _Entry((), (), 0, False)
    for key in block:
        check_name(f"{where} key", key, BLOCK_KEYS, faults)

    filters = _read_filters(f"{where}.filters", block.get("filters"), faults)
    paddings = _read_paddings(f"{where}.padding", block.get("padding", "same"), len(filters), faults)
    pool = block.get("pool", 2)
    if not is_whole(pool, 0) or pool == 1:
        faults.add(f"{where}.pool", pool, "must be 0 (no pooling) or an integer of at least 2")
        pool = 0
    norm = block.get("batch_norm", batch_norm)
    check_flag(f"{where}.batch_norm", norm, faults)
    return _Entry(filters, paddings, pool, norm is True)


def _read_filters(key: str, filters: object, faults: ErrorList) -> tuple[int, ...]:
    if not is_list(filters) or not filters:
        faults.add(key, filters, "must be a list of output channels, one a convolution; use e.g. [32, 32]")
        return ()
    for width in filters:
        check_whole(key, width, 1, faults)
    return tuple(width if is_whole(width, 1) else 1 for width in filters)


def _read_paddings(key: str, padding: object, count: int, faults: ErrorList) -> tuple[str, ...]:
    entries = list(padding) if is_list(padding) else [padding] * count
    for entry in entries:
        check_name(key, entry, PADDINGS, faults)
    # count is 0 where the filters are a fault already.
    if count and len(entries) != count:
        faults.add(
            key, padding, f"{len(entries)} entries for {count} convolution(s); give one word or a list of {count}"
        )
    return tuple(str(entry) for entry in entries) if len(entries) == count else ("same",) * count
