"""Initialize the weights of a new model."""

from torch import nn

from cifar_sweeps.models.argument_checks import ErrorList, check_choice

INITS = ("glorot_uniform", "torch")


def check_init(init: object, errors: ErrorList) -> None:
    """Add an error if ``init`` is not in `INITS`."""
    check_choice("model.init", init, INITS, errors)


def initialize_weights(model: nn.Module, init: str) -> None:
    """Initialize all convolutions and dense layers in place, from torch's global generator.

    init: 'glorot_uniform' is Keras' default: kernels uniform in ±sqrt(6 / (fan_in + fan_out)), where a convolution's
    fans are kh·kw·channels in and out; biases 0. 'torch' keeps what the modules' constructors drew.
    Norm layers start as identity with both.
    Raises ConfigError for any other init.
    """
    errors = ErrorList()
    check_init(init, errors)
    errors.raise_if_any()
    if init == "torch":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
