"""Divide images into parts that a network can take at once, whatever their size."""

from torch import Tensor

MOST_IMAGES = 512
PIXELS = 2**19
"""Of the images of one forward pass; of one with gradients, which keeps what each layer put out, a quarter."""


def groups(inputs: Tensor, pixels: int = PIXELS) -> list[slice]:
    """Return parts of N inputs that fit into memory."""
    size = max(1, min(MOST_IMAGES, pixels // (inputs.shape[2] * inputs.shape[3])))
    return [slice(start, start + size) for start in range(0, len(inputs), size)]
