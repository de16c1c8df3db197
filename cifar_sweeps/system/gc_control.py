"""Collect garbage rarely, and not during imports and at exit, which saves seconds."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_without_gc() -> Iterator[None]:
    """Disable garbage collection in the block, then exempt all objects that exist at its end from later collections.

    torch and MLflow create a million objects: scanning them again and again takes a tenth of their import time. A
    process that is forked afterwards would copy the memory of all of them at its first collection. If the block
    imported no new module, nothing is exempted: what exists then may be garbage.
    """
    was_enabled, modules_before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules_before:
            gc.freeze()
        if was_enabled:
            gc.enable()


def skip_final_gc() -> None:
    """Skip the garbage collection at exit, which takes two seconds after torch and MLflow."""
    atexit.register(gc.freeze)  # registered first, so called last


def collect_rarely() -> None:
    """Let garbage collection wait for hundreds of times more objects: for a command that reads or composes very many.

    The records of a thousand runs are a million objects, none of them garbage; looking at them again and again as they
    grow takes as long as reading them.
    """
    gc.set_threshold(200_000, 20, 5)
