"""Occlusion and integrated gradients, by captum: how much each place of the image speaks for a class."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cifar_sweeps.errors import ConfigError

INSTALL = "pip install 'cifar-sweeps[explain]'"
_STEPS = 64
_PATCH_PART = 4
"""An occluding patch covers this part of the image's side, and moves by half of its own."""


@dataclass(frozen=True)
class Attributions:
    """Attributions of one class an image, each (N, H, W): positive where the image speaks for it.

    occlusion: the fall of the class's logit when a patch of the baseline covers the place, mean over the patches that
    do. gradients: integrated gradients from the baseline, summed over channels. completeness: (N,) the largest
    relative difference between their sum and that of the logits, which the theory says is none.
    """

    occlusion: Tensor
    gradients: Tensor
    completeness: Tensor


def attributions(net: nn.Module, inputs: Tensor, targets: Tensor, baseline: Tensor) -> Attributions:
    """Compute both attributions. baseline: (1, 3, H, W), an image without content, scaled as the inputs are.

    inputs: (N, 3, H, W) as the network takes them. targets: (N,) int64. No parameter is changed.
    Raises ConfigError if captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients, Occlusion
    except ImportError as error:
        raise ConfigError(
            f"occlusion and integrated gradients need captum, which is not installed; {INSTALL}"
        ) from error
    base = baseline.expand_as(inputs)
    patch = max(1, min(inputs.shape[2:]) // _PATCH_PART)
    stride = max(1, patch // 2)
    with torch.no_grad():
        occluded = Occlusion(net).attribute(
            inputs,
            sliding_window_shapes=(inputs.shape[1], patch, patch),
            strides=(inputs.shape[1], stride, stride),
            baselines=base,
            target=targets,
            perturbations_per_eval=8,
        )
    gradients, delta = IntegratedGradients(net).attribute(
        inputs, base, target=targets, n_steps=_STEPS, return_convergence_delta=True, internal_batch_size=256
    )
    with torch.no_grad():
        rows = torch.arange(len(inputs))
        difference = net(inputs)[rows, targets] - net(base.contiguous())[rows, targets]
    relative = delta.abs() / difference.abs().clamp_min(1e-6)
    return Attributions(occluded.mean(dim=1).detach(), gradients.sum(dim=1).detach(), relative.detach())
