"""The filters of a network's first convolution, as far as they can be shown as colours."""

from torch import Tensor, nn


def first_filters(net: nn.Module, first_convolution: str, *, is_bgr: bool = False) -> Tensor | None:
    """Return the weights (filters, 3, h, w) of a convolution of red, green and blue; None if it takes something else.

    is_bgr: whether the network turns the order of the channels before, as nets trained with Caffe's do.
    """
    module = dict(net.named_modules())[first_convolution]
    if not isinstance(module, nn.Conv2d) or module.in_channels != 3 or module.groups != 1:
        return None
    weights = module.weight.detach().clone()
    return weights.flip(1) if is_bgr else weights
