"""Keep freed memory in the process, as training allocates it again at each step."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_TRIM_THRESHOLD = 2**30
"""Bytes at the heap's end: more than a step of these nets frees."""
_MMAP_THRESHOLD = 32 * 2**20
"""Bytes of one block: the most that glibc accepts; larger ones always go back to the system."""


def retain_freed_memory() -> None:
    """Make malloc keep what this process frees, from now on.

    glibc returns large blocks to the system, which zeroes each page when it is allocated again: inference on batches of
    250 images was a third slower. Other C libraries have no such setting; there nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
