import ctypes
import subprocess
import sys

import pytest

TAKEN_ANEW = """
import resource, torch
from cifar_sweeps.training.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
def take():
    maps = [torch.ones(2**22)]
    for _ in range(4):
        maps.append(maps[-1] * 2)
for _ in range(5):
    take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_taken_anew(*, kept: bool) -> int:
    ended = subprocess.run([sys.executable, "-c", TAKEN_ANEW.format(kept=kept)], capture_output=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_what_is_freed_is_not_taken_from_the_system_anew():
    assert pages_taken_anew(kept=True) < pages_taken_anew(kept=False) / 5
