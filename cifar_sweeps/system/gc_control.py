"""The garbage collector, kept from what is not garbage: modules, which stay for as long as the process does."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_without_gc() -> Iterator[None]:
    """Within, import without looking for garbage, and count what is there at the end as staying for good.

    torch and MLflow make a million objects: looking through them again and again takes a tenth of their imports. A
    process that is forked afterwards would copy the memory of all of them at its first look. Where all was imported
    before, nothing is counted so: what is there then may be garbage.
    """
    was_enabled, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if was_enabled:
            gc.enable()


def skip_final_gc() -> None:
    """Let the process end without a last look for garbage, which takes two seconds after torch and MLflow."""
    atexit.register(gc.freeze)  # the first to be registered is the last to be called
