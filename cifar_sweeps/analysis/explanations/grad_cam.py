"""Grad-CAM: which places of a layer's map speak for a class (Selvaraju et al., ICCV 2017)."""

import torch
from torch import Tensor, nn

from cifar_sweeps.analysis.explanations.layers import recorded_outputs


def grad_cam(net: nn.Module, inputs: Tensor, targets: Tensor, layer: str) -> Tensor:
    """Return the maps (N, h, w) of a layer for one class an image, at the layer's own resolution.

    relu(Σ_c w_c A_c), where A is the layer's output and w_c the mean over its places of the gradient of the target's
    logit. Not scaled; all zeros where nothing speaks for the class.
    inputs: (N, 3, H, W) as the network takes them. targets: (N,) int64. No parameter is changed.
    """
    with torch.enable_grad(), recorded_outputs(net, [layer]) as outputs:
        logits = net(inputs.detach().requires_grad_())
        activation = outputs[layer]
        chosen = logits.gather(1, targets[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, activation)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * activation).sum(dim=1).relu().detach()


def scaled(maps: Tensor) -> Tensor:
    """Return maps (N, h, w), each divided by its maximum; one that is zero everywhere stays so."""
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return maps / largest.clamp_min(torch.finfo(maps.dtype).tiny)
