"""Expand ``kernel_size.conv``: one size, or a list by block whose entries are sizes or lists by convolution."""

from collections.abc import Sequence

from cifar_sweeps.models.argument_checks import ErrorList, is_integer, is_list

KERNEL_SIZE_KEY = "kernel_size.conv"


def expand_kernel_sizes(sizes: object, convolutions: Sequence[int], errors: ErrorList) -> list[list[int]]:
    """Return the kernel size of each convolution of each block.

    sizes: one integer for all; or a list by block, of integers or lists by convolution. A list's last entry repeats:
    ``[3, 5, 7]`` gives the third and later blocks 7; ``[3, [3, 5]]`` gives the first block 3, later ones 3, 5, 5, ….
    convolutions: the number in each block; 0 if unknown because of an error. A list with more entries than blocks or
    convolutions is an error, since an arm named after its sizes would then not have them.
    An invalid size is returned as 1, which fits everywhere, so that later checks can continue.
    """
    by_block = _repeat_last(sizes, sizes, len(convolutions), "the model has {} block(s)", errors)
    expanded = []
    for number, (entry, count) in enumerate(zip(by_block, convolutions, strict=True), start=1):
        limit = f"block {number} has {{}} convolution(s)"
        block_sizes = _repeat_last(entry, sizes, count, limit, errors) if count else []
        for size in block_sizes:
            if not is_integer(size, 1):
                errors.add(KERNEL_SIZE_KEY, sizes, f"{size} is not a kernel size; use odd integers such as 3 or 5")
        expanded.append([size if is_integer(size, 1) else 1 for size in block_sizes])
    return expanded


def _repeat_last(entry: object, sizes: object, count: int, limit: str, errors: ErrorList) -> Sequence[object]:
    """Expand ``entry`` to ``count`` sizes, repeating an integer or a list's last item. ``limit``: for the message."""
    if not is_list(entry):
        return [entry] * count
    if not 1 <= len(entry) <= count:
        errors.add(
            KERNEL_SIZE_KEY,
            sizes,
            f"{entry} has {len(entry)} entries, but {limit.format(count)}; use 1 to {count} entries",
        )
        return [1] * count
    return [*entry, *[entry[-1]] * (count - len(entry))]
