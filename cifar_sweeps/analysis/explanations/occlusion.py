"""Occlusion: how much a class's logit falls when a patch of the image is covered (Zeiler and Fergus, ECCV 2014)."""

import torch
from torch import Tensor, nn

_AT_ONCE = 2**17
"""Pixels that the network sees in one call."""


def patch_and_stride(height: int, width: int) -> tuple[int, int]:
    """Return the side of the covering patch, a quarter of the image's shorter side, and how far it moves each time."""
    patch = max(1, min(height, width) // 4)
    return patch, max(1, patch // 4)


def occlusion(net: nn.Module, inputs: Tensor, targets: Tensor, baseline: Tensor, patch: int, stride: int) -> Tensor:
    """Return by how much the class's logit falls where a patch covers each pixel: (N, H, W), mean over such patches.

    inputs: (N, 3, H, W) as the network takes them. targets: (N,) int64. baseline: (1, 3, 1, 1) or (1, 3, H, W),
    scaled as the inputs are: what the square patch of ``patch`` pixels a side is filled with. It moves by ``stride``
    pixels; at the right and the lower edge what is beyond the image is cut off. Raises ImportError without captum.
    """
    from captum.attr import Occlusion

    explainer = Occlusion(lambda images: net(images.clone()))
    at_once = max(1, _AT_ONCE // (inputs.shape[2] * inputs.shape[3]))
    found = [
        explainer.attribute(
            image[None],
            sliding_window_shapes=(image.shape[0], patch, patch),
            strides=(image.shape[0], stride, stride),
            baselines=baseline.expand_as(image[None]),
            target=int(target),
            perturbations_per_eval=at_once,
        )
        for image, target in zip(inputs, targets, strict=True)
    ]
    return torch.cat(found)[:, 0].detach()  # the same for each channel, as the patch covers all
