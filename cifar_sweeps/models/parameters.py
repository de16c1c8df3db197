"""Which weights the two decays act on."""

from torch import nn


def conv_kernels(model: nn.Module) -> list[nn.Parameter]:
    """The trainable weights of all 2-d convolutions, each once: what Keras' ``kernel_regularizer`` acts on in studies.

    No biases, no dense layers, no norms; frozen kernels have no gradient to add a penalty's to.
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    kernels = {id(convolution.weight) for convolution in convolutions}
    return [parameter for parameter in model.parameters() if id(parameter) in kernels and parameter.requires_grad]


def decayed_weights(model: nn.Module) -> list[nn.Parameter]:
    """All trainable weights but biases and norm parameters, each once: what decoupled weight decay shrinks.

    Biases, and a norm's scale and shift, are the parameters of one dimension.
    """
    return [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.ndim > 1]
