"""Device and floating-point format of training."""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from cifar_sweeps.errors import ConfigError

CPU_FLAGS = Path("/proc/cpuinfo")

# On a CPU without one of these, bf16 is emulated and slower than fp32 (pytorch issue 118499).
_BF16_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True)
class Precision:
    """Format of convolutions and matrix products. Weights, losses and optimizer states are always float32."""

    name: str
    dtype: torch.dtype | None
    """What autocast casts to; None means plain float32."""

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return a context for forward passes. Reuse it, as creating it costs more than entering it."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)


FP32 = Precision("fp32", None)
BF16 = Precision("bf16", torch.bfloat16)


_assumed: str | None = None


def assume_device(device: str | None) -> None:
    """From now on plan for machines with this device, whatever this one has; None: for this machine."""
    global _assumed
    _assumed = device


def resolve_device(device: str) -> torch.device:
    """Return the device with this name: ``cpu``, ``cuda``, ``mps``, or ``auto`` (CUDA, else MPS, else CPU).

    Raises ConfigError for another name, and for a device that this machine (see `assume_device`) does not have.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if _assumed is not None:
        available = {"cuda": _assumed == "cuda", "mps": _assumed == "mps", "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, present in available.items() if present))
    if device not in available:
        raise ConfigError(f"trainer.device={device}: unknown; use auto, cpu, cuda or mps")
    if not available[device]:
        present = ", ".join(name for name in available if available[name])
        what = "this machine has" if _assumed is None else "the jobs' machines are said to have"
        raise ConfigError(f"trainer.device={device}: {what} only {present}; use trainer.device=auto")
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision with this name: ``fp32``, ``bf16``, or ``auto`` (bf16 where it is native).

    ``bf16`` is allowed on any device, fast or not. Raises ConfigError for another name.
    """
    if precision == "auto":
        return BF16 if _has_native_bf16(device) else FP32
    by_name = {each.name: each for each in (FP32, BF16)}
    if precision not in by_name:
        raise ConfigError(f"trainer.precision={precision}: unknown; use auto, fp32 or bf16")
    return by_name[precision]


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        if not torch.cuda.is_available():  # the jobs' machines have it: every one of the last years has bf16
            return True
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and not _BF16_INSTRUCTIONS.isdisjoint(_cpu_flags())


def _cpu_flags() -> frozenset[str]:
    # torch asks the CPU through private functions that differ by version. The kernel's list is public, and holds
    # only what the kernel allows. macOS has no such file, and no CPU with these instructions.
    try:
        lines = CPU_FLAGS.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
