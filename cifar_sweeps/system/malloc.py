"""Memory that a training frees and takes again at each step."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_MOST_KEPT = 2**30
"""Bytes at the heap's end: more than a step of these nets frees."""
_LARGEST_KEPT = 32 * 2**20
"""Bytes of one block: the most that glibc accepts; larger ones always go back to the system."""


def retain_freed_memory() -> None:
    """Let the whole process keep what it frees, from now on.

    glibc hands large blocks back to the system, which fills each page with zeros when it is taken anew: batches of 250
    images were answered a third slower. Other systems' libraries know no such setting, and nothing changes there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
