"""How the cores of a machine are shared among the jobs of a sweep."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Parallelism:
    """So many jobs at once, each with so many threads."""

    jobs: int
    threads: int


def plan_parallelism(
    cores: int, jobs: int, *, device: str = "cpu", n_jobs: int | None = None, threads: int | None = None
) -> Parallelism:
    """Return how many of ``jobs`` run at once and how many threads each has.

    On a CPU as many at once as there are cores: small networks scale badly over threads, and threads of several jobs
    that fight for cores are slower still (two jobs with two threads each on two cores take five times as long a step
    as with one). On a GPU one at a time, for it has one memory. ``n_jobs`` and ``threads`` win where they are given.
    """
    at_once = n_jobs if n_jobs is not None else (cores // (threads or 1) if device == "cpu" else 1)
    at_once = max(1, min(at_once, jobs))
    return Parallelism(at_once, threads if threads is not None else max(1, cores // at_once))


def available_cores() -> int:
    """Return how many cores this process may use: its affinity, and the limit of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_limit()))


def _container_limit() -> int:
    """Return the processor time that the control group grants, in whole cores."""
    try:
        quota, period = CPU_MAX.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no Linux, or no such limit
        return 1_000_000
    return 1_000_000 if quota == "max" else math.ceil(int(quota) / int(period))
