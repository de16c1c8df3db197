"""Networks, their weight initialization, parameter groups and summaries."""

from cifar_sweeps.models.conv_net import ConvNet
from cifar_sweeps.models.parameter_groups import conv_kernels, weight_decay_parameters
from cifar_sweeps.models.pretrained.transfer_net import TransferNet, transfer_efficientnet_lite0, transfer_vgg16
from cifar_sweeps.models.small_inception import SmallInception
from cifar_sweeps.models.small_resnet import SmallResNet
from cifar_sweeps.models.summary import LayerSummary, Summary, summarize
from cifar_sweeps.models.torchvision_nets import mobilenet_v2, resnet18
from cifar_sweeps.models.weight_init import initialize_weights

__all__ = [
    "ConvNet",
    "LayerSummary",
    "SmallInception",
    "SmallResNet",
    "Summary",
    "TransferNet",
    "conv_kernels",
    "initialize_weights",
    "mobilenet_v2",
    "resnet18",
    "summarize",
    "transfer_efficientnet_lite0",
    "transfer_vgg16",
    "weight_decay_parameters",
]
