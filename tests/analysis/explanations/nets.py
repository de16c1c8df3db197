"""Networks to explain: one of each kind that the package builds, small ones, and one without a convolution."""

import torch
from torch import nn

from cifar_sweeps.models import (
    ConvNet,
    SmallResNet,
    mobilenet_v2,
    resnet18,
    transfer_efficientnet_lite0,
    transfer_vgg16,
)

BUILDERS = {
    "conv_net": lambda: ConvNet([{"filters": [4, 6]}, {"filters": [8]}], 3, dense=[16], dense_dropout=0.5),
    "conv_net_norm": lambda: ConvNet([{"filters": [4]}, {"filters": [6]}], 3, dense=[], batch_norm=True),
    "small_resnet": lambda: SmallResNet((4, 4, 8), dropout=0.3),
    "resnet18": lambda: resnet18(10),
    "mobilenet_v2": lambda: mobilenet_v2(10, dropout=0.2),
    "vgg16_frozen": lambda: transfer_vgg16(
        cut="block2_pool", weights="none", dense=[8], channels="bgr", pool="average"
    ),
    "lite0_frozen": lambda: transfer_efficientnet_lite0(cut="stage2", weights="none", dense=[8]),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)),
}
CONVOLUTIONAL = [name for name in BUILDERS if name != "linear"]


def make(name):
    torch.manual_seed(3)
    return BUILDERS[name]().eval()


def state(net):
    """Everything that an explanation could change: weights, statistics, gradients, modes, what is trained."""
    tensors = {name: tensor.clone() for name, tensor in net.named_parameters()}
    tensors |= {name: tensor.clone() for name, tensor in net.named_buffers()}
    flags = [(p.requires_grad, p.grad is None) for p in net.parameters()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.modules()]
    return tensors, flags, [m.training for m in net.modules()], hooks


def same_state(before, after):
    return before[1:] == after[1:] and all(torch.equal(before[0][name], after[0][name]) for name in before[0])
