"""Decide how the jobs of a sweep share the cores of a machine."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Parallelism:
    """Number of jobs that run at once, and number of threads of each."""

    jobs: int
    threads: int


def plan_parallelism(
    cores: int,
    jobs: int,
    *,
    device: str = "cpu",
    gpus: int = 1,
    jobs_per_gpu: int = 1,
    n_jobs: int | None = None,
    threads: int | None = None,
) -> Parallelism:
    """Return how many of ``jobs`` train at once and how many threads each has.

    On a CPU as many at once as there are cores: small networks scale badly over threads, and threads of several jobs
    that compete for cores are slower still (two jobs with two threads each on two cores take five times as long a step
    as with one). Otherwise ``jobs_per_gpu`` for each of the ``gpus``, which share the cores. ``n_jobs`` and ``threads``
    win where they are given.
    """
    on_device = cores // (threads or 1) if device == "cpu" else gpus * jobs_per_gpu
    at_once = max(1, min(n_jobs if n_jobs is not None else on_device, jobs))
    return Parallelism(at_once, threads if threads is not None else max(1, cores // at_once))


def available_cores() -> int:
    """Return how many cores this process may use, given its CPU affinity and its container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _cgroup_core_limit()))


def _cgroup_core_limit() -> int:
    """Return the CPU quota of the control group, rounded up to whole cores; a million if there is no quota."""
    try:
        quota, period = CPU_MAX.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # not Linux, or no cgroup limit
        return 1_000_000
    return 1_000_000 if quota == "max" else math.ceil(int(quota) / int(period))
