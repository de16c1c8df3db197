import ctypes
import subprocess
import sys

import pytest

COUNT_PAGE_FAULTS = """
import resource, torch
from cifar_sweeps.system.malloc import retain_freed_memory
if {retain}:
    retain_freed_memory()
def allocate():
    maps = [torch.ones(2**22)]
    for _ in range(4):
        maps.append(maps[-1] * 2)
for _ in range(5):
    allocate()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    allocate()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_page_faults(*, retain: bool) -> int:
    process = subprocess.run(
        [sys.executable, "-c", COUNT_PAGE_FAULTS.format(retain=retain)], capture_output=True, check=True
    )
    return int(process.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_reused_without_page_faults():
    assert count_page_faults(retain=True) < count_page_faults(retain=False) / 5
