"""The benchmarked nets and their optimizers as the documents would write them in plain PyTorch.

Contiguous layout, float32, nothing in place, optimizers with their default arguments. torch's own weights.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a net, (N, 3, 32, 32) -> (N, 10), and its optimizer, by the name of its experiment's net.

    An arm of a grid is named ``NET/OPTIMIZER/LR/REGULARIZATION``, such as ``quick_3/adam/0.001/dropout``.
    """
    if name.count("/") == 3:
        return _grid_arm(*name.split("/"))
    net = NETS[name]()
    return net, _optimizer(name, net)


def _conv(inputs: int, outputs: int, size: int, activation: nn.Module) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, padding=size // 2), activation]


def _grid_arm(net: str, optimizer: str, lr: str, regularization: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    conv, dense = (0.25, 0.5) if regularization == "dropout" else (0.0, 0.0)
    widths, hidden = {"plain_3": ((32, 64, 128), 80), "quick_3": ((16, 32, 64), 128)}[net]
    layers: list[nn.Module] = []
    for inputs, outputs in zip((3, *widths), widths, strict=False):
        layers += [*_conv(inputs, outputs, 3, nn.ReLU()), nn.MaxPool2d(2), *([nn.Dropout(conv)] if conv else [])]
    layers += [nn.Flatten(), nn.Linear(16 * widths[-1], hidden), nn.ReLU(), *([nn.Dropout(dense)] if dense else [])]
    made = nn.Sequential(*layers, nn.Linear(hidden, 10))
    if optimizer == "sgd":
        return made, torch.optim.SGD(made.parameters(), lr=float(lr), momentum=0.9)
    return made, torch.optim.Adam(made.parameters(), lr=float(lr), eps=1e-7)


def plain_3() -> nn.Module:
    """Document 003's net."""
    return nn.Sequential(
        *_conv(3, 32, 3, nn.ReLU()), nn.MaxPool2d(2), nn.Dropout(0.3),
        *_conv(32, 64, 3, nn.ReLU()), nn.MaxPool2d(2), nn.Dropout(0.3),
        *_conv(64, 128, 3, nn.ReLU()), nn.MaxPool2d(2), nn.Dropout(0.4),
        nn.Flatten(), nn.Linear(2048, 80), nn.ReLU(), nn.Dropout(0.3), nn.Linear(80, 10),
    )  # fmt: skip


def model_3() -> nn.Module:
    """Document 001's model 3."""
    return nn.Sequential(
        *_conv(3, 16, 3, nn.LeakyReLU(0.1)), *_conv(16, 32, 3, nn.LeakyReLU(0.1)), nn.MaxPool2d(2), nn.Dropout(0.25),
        *_conv(32, 32, 3, nn.LeakyReLU(0.1)), *_conv(32, 64, 3, nn.LeakyReLU(0.1)), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(4096, 256), nn.LeakyReLU(0.1), nn.Dropout(0.5), nn.Linear(256, 10),
    )  # fmt: skip


def lenet_3() -> nn.Module:
    """Document 002's model 3."""
    return nn.Sequential(
        *_conv(3, 32, 3, nn.ReLU()), *_conv(32, 32, 3, nn.ReLU()), nn.MaxPool2d(2), nn.Dropout(0.25),
        *_conv(32, 64, 3, nn.ReLU()), *_conv(64, 64, 5, nn.ReLU()), nn.MaxPool2d(2), nn.Dropout(0.25),
        *_conv(64, 128, 3, nn.ReLU()), *_conv(128, 128, 5, nn.ReLU()), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(2048, 512), nn.ReLU(), nn.Dropout(0.4), nn.Linear(512, 10),
    )  # fmt: skip


def resnet18() -> nn.Module:
    """torchvision's, from scratch (document 000)."""
    from torchvision import models

    return models.resnet18(weights=None, num_classes=10)


class SmallResNet(nn.Module):
    """Document 000's residual net, with Keras' padding and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _unit(3, 32)
        widths = (32, 32, 64, 64, 128, 128)
        self.blocks = nn.ModuleList(
            _Residual(before, after) for before, after in zip((32, *widths), widths, strict=False)
        )
        self.logits = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.stem(images))
        for block in self.blocks:
            maps = block(maps)
        return self.logits(maps.mean(dim=(2, 3)))


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.first, self.second = _unit(inputs, outputs, 3, stride), _unit(outputs, outputs)
        self.shortcut = nn.Identity() if stride == 1 else _unit(inputs, outputs, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(maps))) + self.shortcut(maps))


def _unit(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    if stride == 1:
        return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False), norm)
    # Keras' 'same' pads an even map on the right and at the bottom alone.
    pad = nn.ZeroPad2d((0, size - 2, 0, size - 2)) if size > 1 else nn.Identity()
    return nn.Sequential(pad, nn.Conv2d(inputs, outputs, size, stride, bias=False), norm)


NETS = {"plain_3": plain_3, "model_3": model_3, "lenet_3": lenet_3, "small_resnet": SmallResNet, "resnet18": resnet18}


def _optimizer(name: str, net: nn.Module) -> torch.optim.Optimizer:
    weights = list(net.parameters())
    if name == "plain_3":
        return torch.optim.SGD(weights, lr=0.01, momentum=0.9)
    if name == "model_3":
        return torch.optim.Adamax(weights, lr=0.001, eps=1e-7)
    if name == "lenet_3":
        # Keras' penalty l2·Σw² on the convolutions' kernels has the gradient 2·l2·w, as this weight_decay does.
        kernels = [layer.weight for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        others = [weight for weight in weights if all(weight is not kernel for kernel in kernels)]
        groups = [{"params": kernels, "weight_decay": 2e-4}, {"params": others}]
        return torch.optim.Adam(groups, lr=0.001, eps=1e-7)
    return torch.optim.Adam(weights, lr=0.001)
