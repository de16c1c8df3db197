"""What makes a training the same each time, bit for bit: seeds, deterministic kernels and the number of threads."""

import os
import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices), so that a model is built with equal weights.

    seed: in [0, 2**63). Numpy takes 32 bits of it.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def make_deterministic() -> None:
    """Choose deterministic kernels, in this process and for good; a kernel that has no such form warns.

    On a CPU a run is then equal to another with the same number of threads: sums are split by thread.
    """
    # cuBLAS reads it when it first runs, and is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # use_deterministic_algorithms(True, warn_only=True) does the same after importing the compiler, for 1.7 seconds.
    torch.set_deterministic_debug_mode("warn")
    # It fills each new tensor, only to hunt bugs.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False  # picks kernels by a race, whose winner can change


def set_threads(threads: int) -> None:
    """Let torch use so many threads (at least 1) inside an operation. They are part of what a run depends on."""
    torch.set_num_threads(threads)
