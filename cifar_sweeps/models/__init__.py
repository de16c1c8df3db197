"""The networks that can be trained, and what is asked of them: counts, shapes, and the weights that decays act on."""

from cifar_sweeps.models.conv_net import ConvNet
from cifar_sweeps.models.init import initialise
from cifar_sweeps.models.parameters import conv_kernels, decayed_weights
from cifar_sweeps.models.small_resnet import SmallResNet
from cifar_sweeps.models.summary import LayerSummary, Summary, summarise
from cifar_sweeps.models.torchvision_nets import mobilenet_v2, resnet18
from cifar_sweeps.models.transfer import TransferNet, transfer_efficientnet_lite0, transfer_vgg16

__all__ = [
    "ConvNet",
    "LayerSummary",
    "SmallResNet",
    "Summary",
    "TransferNet",
    "conv_kernels",
    "decayed_weights",
    "initialise",
    "mobilenet_v2",
    "resnet18",
    "summarise",
    "transfer_efficientnet_lite0",
    "transfer_vgg16",
]
