"""Which weights the two decays act on, and what tells one net's weights from another's."""

import hashlib

import torch
from torch import nn


def conv_kernels(model: nn.Module) -> list[nn.Parameter]:
    """The trainable weights of all 2-d convolutions, each once: what Keras' ``kernel_regularizer`` acts on in studies.

    No biases, no dense layers, no norms; frozen kernels have no gradient to add a penalty's to.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    kernels = {id(convolution.weight) for convolution in convolutions}
    return [parameter for parameter in model.parameters() if id(parameter) in kernels and parameter.requires_grad]


def weight_decay_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All trainable weights but biases and norm parameters, each once: what decoupled weight decay shrinks.

    Biases, and a norm's scale and shift, are the parameters of one dimension.
    """
    return [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.ndim > 1]


def weights_hash(model: nn.Module) -> str:
    """Return 16 hex digits that are equal for equal parameters and buffers, frozen ones included."""
    digest = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
