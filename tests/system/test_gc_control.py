import contextlib
import gc
import subprocess
import sys

import pytest

from cifar_sweeps.system.gc_control import imports_without_gc

LAST_OF_ALL = """
import atexit, gc
atexit.register(lambda: print("kept from the last look:", gc.get_freeze_count() > 1000))
from cifar_sweeps.garbage import end_at_once
end_at_once()
atexit.register(lambda: print("ahead of it:", gc.get_freeze_count()))
"""


@pytest.fixture(autouse=True)
def _thaw():
    yield
    gc.unfreeze()
    gc.enable()


def test_imports_are_not_looked_through_again():
    sys.modules.pop("this", None)
    with imports_without_gc(), contextlib.redirect_stdout(None):
        assert not gc.isenabled()
        import this  # noqa: F401
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_what_was_imported_before_is_looked_through():
    kept = gc.get_freeze_count()
    with imports_without_gc():
        import sys  # noqa: F401
    assert gc.get_freeze_count() == kept


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    with pytest.raises(ImportError), imports_without_gc():
        raise ImportError
    assert not gc.isenabled()


def test_a_command_s_end_comes_after_all_that_others_have_to_do():
    ended = subprocess.run([sys.executable, "-c", LAST_OF_ALL], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["ahead of it: 0", "kept from the last look: True"]
