"""Derive the seed of each source of randomness from the run's seed and the epoch.

Epoch 7 of a run is then the same whether or not epochs 1 to 6 ran in this process, so resuming and reproducing a run
need no saved generator state.
"""

import hashlib


def derive_seed(seed: int, stream: str, epoch: int) -> int:
    """Return the seed of one stream of randomness (such as ``"order"`` or ``"dropout"``) in one epoch.

    The result lies in [0, 2**63): what ``torch.manual_seed`` and ``Generator.manual_seed`` take. It depends on the
    three arguments alone, not on the process, the platform or ``PYTHONHASHSEED``.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
