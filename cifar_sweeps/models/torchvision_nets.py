"""torchvision's networks, from scratch and with as many logits as there are classes.

torchvision takes a second to import, so it is imported by the function that needs it.
"""

from torch import nn

from cifar_sweeps.models.argument_checks import ErrorList, check_rate, check_whole
from cifar_sweeps.models.dropout import Dropout
from cifar_sweeps.models.weight_init import check_init, initialize_weights


def resnet18(num_classes: int = 10, *, dropout: float = 0.0, init: str = "torch") -> nn.Module:
    """torchvision's ResNet-18 (7×7 stem), untrained: (N, 3, H, W) float -> (N, num_classes) float.

    dropout: rate in [0, 1) before the last layer; torchvision's has none. init: see ``initialise``.
    Raises ConfigError with every fault of the arguments.
    """
    _check(num_classes, dropout, init)
    from torchvision import models

    model = models.resnet18(weights=None, num_classes=num_classes)
    if dropout:
        # Behind the pooling rather than before `fc`, whose weights would then change their name.
        model.avgpool = nn.Sequential(model.avgpool, Dropout(dropout))
    return _initialised(model, init)


def mobilenet_v2(num_classes: int = 10, *, dropout: float = 0.0, init: str = "torch") -> nn.Module:
    """torchvision's MobileNetV2, untrained: (N, 3, H, W) float -> (N, num_classes) float.

    dropout: rate in [0, 1) before the last layer; torchvision's default is 0.2. init: see ``initialise``.
    Raises ConfigError with every fault of the arguments.
    """
    _check(num_classes, dropout, init)
    from torchvision import models

    model = models.mobilenet_v2(weights=None, num_classes=num_classes)
    model.classifier[0] = Dropout(dropout)
    return _initialised(model, init)


def _initialised(model: nn.Module, init: str) -> nn.Module:
    initialize_weights(model, init)
    return model


def _check(num_classes: object, dropout: object, init: object) -> None:
    faults = ErrorList()
    check_whole("model.num_classes", num_classes, 1, faults)
    check_rate("regularization.dropout.dense", dropout, faults)
    check_init(init, faults)
    faults.raise_if_any()
