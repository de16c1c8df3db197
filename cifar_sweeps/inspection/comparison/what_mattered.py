"""Grad-CAM of a run's network for a few test images: what mattered for its own prediction."""

import torch
from torch import Tensor

from cifar_sweeps.analysis.explanations.grad_cam import grad_cam, scaled
from cifar_sweeps.analysis.explanations.layers import default_layers, spatial_layers
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.runs.trained_run import TrainedRun


def what_mattered(run: TrainedRun, images: Tensor, classes: Tensor) -> Tensor:
    """Return the maps (n, h, w) of the last convolution for one class an image, each divided by its maximum.

    images: (n, 3, H, W) uint8. classes: (n,) int64. At the layer's own resolution, in float32 on the CPU. Raises
    ConfigError for a network without a map of several pixels, TrackingError if its weights were not kept.
    """
    net, inputs = run.net.float().requires_grad_(False), run.model_input(images)
    layers = default_layers(net, spatial_layers(net, inputs[:1]))
    if not layers:
        raise ConfigError(f"{run.label}: has no layer with a map of several pixels, and so no Grad-CAM")
    with torch.no_grad():
        return scaled(grad_cam(net, inputs, classes, layers[-1]))
