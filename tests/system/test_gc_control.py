import contextlib
import gc
import subprocess
import sys

import pytest

from cifar_sweeps.system.gc_control import imports_without_gc

EXIT_HANDLERS = """
import atexit, gc
atexit.register(lambda: print("frozen at the last handler:", gc.get_freeze_count() > 1000))
from cifar_sweeps.system.gc_control import skip_final_gc
skip_final_gc()
atexit.register(lambda: print("frozen before:", gc.get_freeze_count()))
"""


@pytest.fixture(autouse=True)
def _thaw():
    yield
    gc.unfreeze()
    gc.enable()


def test_imported_objects_are_frozen():
    sys.modules.pop("this", None)
    with imports_without_gc(), contextlib.redirect_stdout(None):
        assert not gc.isenabled()
        import this  # noqa: F401
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_nothing_is_frozen_if_all_was_imported_before():
    frozen = gc.get_freeze_count()
    with imports_without_gc():
        import sys  # noqa: F401
    assert gc.get_freeze_count() == frozen


def test_a_disabled_collector_stays_disabled():
    gc.disable()
    with pytest.raises(ImportError), imports_without_gc():
        raise ImportError
    assert not gc.isenabled()


def test_the_final_freeze_runs_after_all_other_exit_handlers():
    process = subprocess.run([sys.executable, "-c", EXIT_HANDLERS], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == ["frozen before: 0", "frozen at the last handler: True"]
