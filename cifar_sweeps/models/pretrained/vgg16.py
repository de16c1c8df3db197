"""VGG16 backbone: convolutions named as in Keras, weights from torchvision's files."""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from cifar_sweeps.models.argument_checks import ErrorList, check_choice
from cifar_sweeps.models.pretrained.backbone import Backbone, InputTransform
from cifar_sweeps.models.pretrained.weights_file import WeightsFile

WEIGHTS = ("IMAGENET1K_FEATURES", "IMAGENET1K_V1")
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions
CUTS = tuple(
    f"block{block}_{layer}"
    for block, (_, count) in enumerate(_BLOCKS, start=1)
    for layer in (*(f"conv{number}" for number in range(1, count + 1)), "pool")
)
"""Keras' names; a convolution's output is taken after its ReLU."""


def vgg16_backbone(cut: str, weights: str, input_transform: InputTransform, errors: ErrorList) -> Backbone | None:
    """Build VGG16 up to and including ``cut``, without loading weights; None if there is an error.

    weights: one of `WEIGHTS` (torchvision's), the path of a file in torchvision's layout, or ``none`` for
    torchvision's random initialization.
    """
    valid = input_transform.check(errors)
    check_choice("model.cut", cut, CUTS, errors)
    file = _weights_file(weights, errors)
    side = input_transform.side
    if not valid or cut not in CUTS:
        return None
    pools = sum(name.endswith("pool") for name in CUTS[: CUTS.index(cut) + 1])
    if min(side) < 2**pools:
        errors.add(
            "model.cut", cut, f"halves the {min(side)} pixels of a side {pools} times; cut earlier, or enlarge more"
        )
        return None
    layers = _build_layers(cut)
    channels = _BLOCKS[int(cut[len("block")]) - 1][0]
    # torchvision numbers all layers of `features`, ReLUs and pools included.
    names = {name: f"features.{number}" for number, (name, _) in enumerate(layers.named_children())}
    file_keys = {key: f"{names[layer]}.{kind}" for key in layers.state_dict() for layer, kind in [key.split(".")]}
    maps = (channels, side[0] >> pools, side[1] >> pools)
    return Backbone("vgg16", cut, layers, maps, input_transform, file, file_keys)


def _build_layers(cut: str) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for name in CUTS[: CUTS.index(cut) + 1]:
        if name.endswith("pool"):
            layers[name] = nn.MaxPool2d(2)
            continue
        width = _BLOCKS[int(name[len("block")]) - 1][0]
        layers[name] = conv = nn.Conv2d(channels, width, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        layers[f"{name}_relu"] = nn.ReLU(inplace=True)
        channels = width
    return nn.Sequential(layers)


def _weights_file(weights: object, errors: ErrorList) -> WeightsFile | None:
    if isinstance(weights, str) and weights in WEIGHTS:
        from torchvision.models import VGG16_Weights

        published = VGG16_Weights[weights]
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        size = published.meta.get("_file_size")
        return WeightsFile(weights, folder / published.url.rsplit("/", 1)[-1], published.url, size)
    if isinstance(weights, str) and ("/" in weights or Path(weights).suffix in {".pth", ".pt"}):
        return WeightsFile(weights, Path(weights).expanduser())
    check_choice("model.weights", weights, (*WEIGHTS, "none", "the path of a .pth file"), errors)
    return None
