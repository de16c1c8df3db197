"""How a fresh model's weights are drawn."""

from torch import nn

from cifar_sweeps.models.argument_checks import ErrorList, check_name

INITS = ("glorot_uniform", "torch")


def check_init(init: object, faults: ErrorList) -> None:
    """Note an ``init`` that ``initialise`` doesn't know."""
    check_name("model.init", init, INITS, faults)


def initialize_weights(model: nn.Module, init: str) -> None:
    """Draw the weights of all convolutions and dense layers in place, from torch's global generator.

    init: 'glorot_uniform' is Keras' default: kernels uniform in ±sqrt(6 / (fan_in + fan_out)), where a convolution's
    fans are kh·kw·channels in and out; biases 0. 'torch' leaves what the modules' constructors drew.
    Norm layers start as identity under both.
    Raises ConfigError if init is neither.
    """
    faults = ErrorList()
    check_init(init, faults)
    faults.raise_if_any()
    if init == "torch":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
