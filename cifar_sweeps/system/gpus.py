"""The GPUs of this machine that a process may use, by the names that CUDA_VISIBLE_DEVICES takes."""

import os

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Return the CUDA devices that this process sees; empty where there is none.

    Their names are the entries of CUDA_VISIBLE_DEVICES where that is set (indices or UUIDs), else their indices, so
    that a name given to another process means the same device there.
    """
    import torch  # the package `system` does without it otherwise

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(index) for index in range(count)]
