"""Dropout with a faster random mask on CPUs."""

import torch
from torch import Tensor, nn

_INT_DTYPES = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
"""The integer dtype as wide as each float dtype."""


class Dropout(nn.Dropout):
    """torch's Dropout, several times faster on a CPU, where torch draws 64 random bits for every element.

    Here each element uses as many random bits as its dtype is wide, from torch's global generator: the same seed gives
    the same mask, whatever the number of threads. The rate is exact to 2⁻¹⁵ in bf16 and to 2⁻³¹ in float32. Other
    devices generate random numbers fast, and use torch's Dropout.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``maps`` (any shape), each element 0 or multiplied by 1 / (1 - rate); in evaluation unchanged."""
        if not self.training or self.p == 0:
            return maps
        if maps.device.type != "cpu" or maps.dtype not in _INT_DTYPES or self.p == 1 or self.inplace:
            return super().forward(maps)
        return maps * _scaled_mask(maps, self.p)


def _scaled_mask(like: Tensor, rate: float) -> Tensor:
    """Return 0 with probability ``rate``, else 1 / (1 - rate), in the shape, layout and dtype of ``like``."""
    int_dtype = _INT_DTYPES[like.dtype]
    width, count = torch.iinfo(int_dtype).bits, like.numel()
    bits = torch.empty(-(-count * width // 64), dtype=torch.int64)
    # The whole range: without arguments random_ leaves the sign 0, and with it that of every fourth 16-bit value.
    values = bits.random_(-(2**63), None).view(int_dtype)[:count]
    # Halved, so that the difference cannot overflow; its sign, spread over all bits, is 1 for "keep".
    half = 2 ** (width - 2)
    keep = values.bitwise_right_shift_(1).sub_(round((1 - rate) * 2 * half) - half).bitwise_right_shift_(width - 1)
    scale = torch.tensor(1 / (1 - rate), dtype=like.dtype).view(int_dtype).item()
    # All bits of the scale, or none, make the mask: one multiplication forward, and one backward.
    strides = torch.empty_like(like).stride()  # those of ``like``, unless its memory has gaps
    return keep.bitwise_and_(scale).view(like.dtype).as_strided(like.shape, strides)
