"""Select the parameters for L2/L1 penalties and for weight decay, and hash a model's weights."""

import hashlib

import torch
from torch import nn


def conv_kernels(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable weights of all 2-d convolutions, each once: for the L2 and L1 penalties.

    The studies use Keras' ``kernel_regularizer`` on these. No biases, dense layers or norms; frozen kernels have no
    gradient to which a penalty's could be added.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    kernels = {id(convolution.weight) for convolution in convolutions}
    return [parameter for parameter in model.parameters() if id(parameter) in kernels and parameter.requires_grad]


def weight_decay_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return all trainable weights except biases and norm parameters, each once: for decoupled weight decay.

    Biases, and a norm's scale and shift, are recognized as the parameters with one dimension.
    """
    return [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.ndim > 1]


def weights_hash(model: nn.Module) -> str:
    """Return a hash of all parameters and buffers, frozen ones included, as 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
