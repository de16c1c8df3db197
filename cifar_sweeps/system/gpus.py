"""The GPUs of this machine that a process may use, by the names that CUDA_VISIBLE_DEVICES takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

CUDA_VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Return the CUDA devices that this process sees; empty where there is none.

    Their names are the entries of CUDA_VISIBLE_DEVICES where that is set (indices or UUIDs), else their indices, so
    that a name given to another process means the same device there.
    """
    import torch  # the package `system` does without it otherwise

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(CUDA_VISIBLE_DEVICES, "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(index) for index in range(count)]


@contextmanager
def without_cuda() -> Iterator[None]:
    """Let torch see no CUDA within the block, so that it does not initialize the driver.

    A process that has done so can fork no process that uses CUDA. torch.export asks for CUDA even for a model on the
    CPU (``FakeTensorMode``), and where NVML is missing the question alone initializes the driver.
    """
    import torch

    is_available = torch.cuda.is_available
    torch.cuda.is_available = lambda: False
    try:
        yield
    finally:
        torch.cuda.is_available = is_available
