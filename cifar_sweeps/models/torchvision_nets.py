"""torchvision's ResNet-18 and MobileNetV2, untrained, for any number of classes.

torchvision takes a second to import, so each function imports it when called.
"""

from torch import nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models.argument_checks import ErrorList, check_dropout_rate, check_integer
from cifar_sweeps.models.dropout import Dropout
from cifar_sweeps.models.weight_init import check_init, initialize_weights


def resnet18(num_classes: int = 10, *, dropout: float = 0.0, init: str = "torch") -> nn.Module:
    """Build torchvision's ResNet-18 (7×7 stem), untrained: (N, 3, H, W) float -> (N, num_classes) float.

    dropout: rate in [0, 1) before the last layer; torchvision's has none. init: see `initialize_weights`.
    Raises ConfigError with all errors of the arguments.
    """
    _check_arguments(num_classes, dropout, init)
    from torchvision import models

    model = models.resnet18(weights=None, num_classes=num_classes)
    if dropout:
        # After the pooling rather than in front of `fc`, whose weights would then change their names.
        model.avgpool = nn.Sequential(model.avgpool, Dropout(dropout))
    return _with_initial_weights(model, init)


def mobilenet_v2(
    num_classes: int = 10, *, dropout: float = 0.0, init: str = "torch", head: str = "torchvision"
) -> nn.Module:
    """Build torchvision's MobileNetV2, untrained: (N, 3, H, W) float -> (N, num_classes) float.

    dropout: rate in [0, 1) before the last layer; torchvision's default is 0.2. init: see `initialize_weights`. head:
    how the last layer is drawn by init='torch': ``torchvision``, normal (0.01) without biases, or ``linear``, as
    `nn.Linear` is and ResNet-18's last layer too: for those who replace the layer, as document 000 does.
    Raises ConfigError with all errors of the arguments.
    """
    _check_arguments(num_classes, dropout, init)
    if head not in ("torchvision", "linear"):
        raise ConfigError(f"model.head={head}: must be torchvision or linear")
    from torchvision import models

    model = models.mobilenet_v2(weights=None, num_classes=num_classes)
    model.classifier[0] = Dropout(dropout)
    if head == "linear":
        model.classifier[1] = nn.Linear(model.last_channel, num_classes)
    return _with_initial_weights(model, init)


def _with_initial_weights(model: nn.Module, init: str) -> nn.Module:
    initialize_weights(model, init)
    return model


def _check_arguments(num_classes: object, dropout: object, init: object) -> None:
    errors = ErrorList()
    check_integer("model.num_classes", num_classes, 1, errors)
    check_dropout_rate("regularization.dropout.dense", dropout, errors)
    check_init(init, errors)
    errors.raise_if_any()
