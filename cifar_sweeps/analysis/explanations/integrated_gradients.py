"""Integrated gradients: what each pixel adds to a class's logit (Sundararajan et al., ICML 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_STEPS, _MOST_STEPS = 64, 1024
_AT_ONCE = 2**16
"""Pixels that the network sees in one call, forward and backward."""


@dataclass(frozen=True)
class PixelShares:
    """What each pixel adds to the logit of a class: ``maps`` (N, H, W), summed over the channels.

    differences: (N,) the logit of the image less that of the baseline, to which the maps must sum; they do so the
    better the more steps are taken. steps: of each image.
    """

    maps: Tensor
    differences: Tensor
    steps: tuple[int, ...]

    @property
    def sums(self) -> Tensor:
        """(N,) the sums of the maps."""
        return self.maps.double().sum(dim=(1, 2)).float()

    @property
    def errors(self) -> Tensor:
        """(N,) by how much the sums miss the differences, as logits."""
        return (self.sums - self.differences).abs()


def integrated_gradients(
    net: nn.Module, inputs: Tensor, targets: Tensor, baseline: Tensor, tolerance: float = 0.01
) -> PixelShares:
    """Integrate the gradient of each image's class along the straight line from the baseline to the image.

    inputs: (N, 3, H, W) as the network takes them. targets: (N,) int64. baseline: (1, 3, 1, 1) or (1, 3, H, W),
    scaled as the inputs are. 64 steps, twice as many up to 1024 while the sum misses the difference of the logits
    by more than ``tolerance`` of it. Parameters get no gradient. Raises ImportError without captum.
    """
    from captum.attr import IntegratedGradients

    explainer = IntegratedGradients(lambda images: net(images.clone()))
    base = baseline.expand(1, *inputs.shape[1:]).contiguous()
    with torch.no_grad():
        rows = torch.arange(len(inputs))
        differences = net(inputs)[rows, targets] - net(base)[0, targets]
    at_once = max(2, _AT_ONCE // (inputs.shape[2] * inputs.shape[3]))
    maps, taken = [], []
    for image, target, difference in zip(inputs, targets, differences.tolist(), strict=True):
        steps = _STEPS
        while True:
            shares = explainer.attribute(
                image[None], base, target=int(target), n_steps=steps, internal_batch_size=at_once
            )
            if abs(float(shares.double().sum()) - difference) <= tolerance * abs(difference) or steps >= _MOST_STEPS:
                break
            steps *= 2
        maps.append(shares.sum(dim=1).float().detach())
        taken.append(steps)
    return PixelShares(torch.cat(maps), differences, tuple(taken))
