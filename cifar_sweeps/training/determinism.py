"""Make training repeatable bit for bit: seeds, deterministic kernels and the number of threads."""

import os
import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices), so that a model gets the same weights.

    seed: in [0, 2**63). Numpy takes 32 bits of it.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def make_deterministic() -> None:
    """Use deterministic kernels in the rest of this process; operations without one warn.

    On a CPU, runs are then equal if they use the same number of threads, as sums are split by thread.
    """
    # cuBLAS reads it when it first runs, and is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # use_deterministic_algorithms(True, warn_only=True) does the same after importing the compiler, for 1.7 seconds.
    torch.set_deterministic_debug_mode("warn")
    # Filling each new tensor costs time and only helps to find bugs.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False  # picks kernels by timing them, which can vary


def set_threads(threads: int) -> None:
    """Set the number of threads (at least 1) that torch uses inside an operation. A run's results depend on it."""
    torch.set_num_threads(threads)
