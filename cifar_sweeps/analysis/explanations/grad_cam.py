"""Grad-CAM: which places of a layer's maps speak for a class (Selvaraju et al., ICCV 2017)."""

import torch
from torch import Tensor, nn

from cifar_sweeps.analysis.explanations.feature_maps import recorded_outputs
from cifar_sweeps.errors import ConfigError


def grad_cam(net: nn.Module, inputs: Tensor, targets: Tensor, layer: str) -> Tensor:
    """Return how much each place of a layer's maps speaks for a class: (N, h, w), at the layer's own resolution.

    relu(Σ_c w_c A_c), where A are the layer's maps and w_c is the mean over places of the gradient of the class's logit
    with respect to A_c. Not scaled; all zeros where nothing speaks for the class.
    inputs: (N, 3, H, W) as the network takes them. targets: (N,) int64, one class an image. Parameters get no gradient.
    Raises ConfigError if the logits do not depend on the layer.
    """
    with torch.enable_grad(), recorded_outputs(net, [layer]) as outputs:
        leaf = inputs.detach().requires_grad_()
        logits = net(leaf.clone())  # a copy, as a first layer that works in place may not change a leaf
        maps = outputs[layer]
        (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), maps, allow_unused=True)
    if gradient is None:
        raise ConfigError(f"--layer {layer}: the logits do not depend on its maps, so there is no Grad-CAM; drop it")
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1).relu().detach()


def scaled_maps(maps: Tensor) -> Tensor:
    """Return maps (N, h, w), each divided by its maximum; one that is zero everywhere stays so."""
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return torch.where(largest > 0, maps / largest, torch.zeros_like(maps))
