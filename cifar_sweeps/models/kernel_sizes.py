"""What ``kernel_size.conv`` means: one size, or a list by block whose entries are sizes or lists by convolution."""

from collections.abc import Sequence

from cifar_sweeps.models.argument_checks import ErrorList, is_list, is_whole

KEY = "kernel_size.conv"


def expand_kernel_sizes(sizes: object, convolutions: Sequence[int], faults: ErrorList) -> list[list[int]]:
    """The kernel size of each convolution of each block.

    sizes: one integer for all; or a list by block, of integers or lists by convolution. A list's last entry repeats:
    ``[3, 5, 7]`` gives the third and later blocks 7; ``[3, [3, 5]]`` gives the first block 3, later ones 3, 5, 5, ….
    convolutions: how many each block has; 0 where a fault hides it. A list with more entries than it can serve is a
    fault, since an arm named after its sizes would then not have them.
    A size that is a fault comes back as 1, which fits everywhere, so that the checks after this one can go on.
    """
    by_block = _repeat_last(sizes, sizes, len(convolutions), "the model has {} block(s)", faults)
    expanded = []
    for number, (entry, count) in enumerate(zip(by_block, convolutions, strict=True), start=1):
        room = f"block {number} has {{}} convolution(s)"
        of_block = _repeat_last(entry, sizes, count, room, faults) if count else []
        for size in of_block:
            if not is_whole(size, 1):
                faults.add(KEY, sizes, f"{size} is not a kernel size; use odd integers such as 3 or 5")
        expanded.append([size if is_whole(size, 1) else 1 for size in of_block])
    return expanded


def _repeat_last(entry: object, sizes: object, count: int, room: str, faults: ErrorList) -> Sequence[object]:
    """``entry`` as ``count`` sizes: an integer or the last item of a list repeats. ``room`` tells a list's limit."""
    if not is_list(entry):
        return [entry] * count
    if not 1 <= len(entry) <= count:
        faults.add(KEY, sizes, f"{entry} has {len(entry)} entries, but {room.format(count)}; use 1 to {count} entries")
        return [1] * count
    return [*entry, *[entry[-1]] * (count - len(entry))]
