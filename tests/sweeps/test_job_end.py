"""How a job ended, by what is known of its process."""

import concurrent.futures
import signal

import pytest
from pebble import ProcessExpired

from cifar_sweeps.sweeps import job_end as module
from cifar_sweeps.sweeps.job_end import job_end, memory_kills


def over(error):
    future = concurrent.futures.Future()
    future.set_exception(error)
    return future


def died(exit_code):
    error = ProcessExpired("it died")
    error.exitcode = exit_code
    return over(error)


def test_an_interrupt_of_a_job_is_not_taken_for_one_of_the_sweep():
    # SIGTERM met the job while it was being set up.
    assert job_end(None, over(KeyboardInterrupt()), 0).outcome == "killed"


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """What the system says of its kills, as a file."""
    monkeypatch.setattr(module, "_COUNTERS", tmp_path / "vmstat")
    return tmp_path / "vmstat"


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (3, "nr_dirty 1\noom_kill 4\n", "killed by SIGKILL: out of memory; run fewer jobs at once"),
        (3, "oom_kill 3\n", "killed by SIGKILL"),
        (None, "nr_dirty 1\n", "killed by SIGKILL; the system does so when memory runs out"),
    ],
    ids=["for want of memory", "by somebody", "nobody knows"],
)
def test_a_kill_for_want_of_memory_is_told_from_others(counters, before, now, words):
    counters.write_text(now)
    end = job_end(None, died(-signal.SIGKILL), before)
    assert end.outcome == "killed"
    assert str(end.value).startswith(f"its process was {words}")
    assert ("memory" in str(end.value)) == ("memory" in words)


def test_other_ends_of_a_process(counters):
    counters.write_text("oom_kill 9\n")
    assert job_end(None, died(-signal.SIGSEGV), 0).value == "its process was killed by SIGSEGV"
    assert job_end(None, died(-signal.SIGSEGV), 0).outcome == "failed"
    assert job_end(None, died(3), 0).value == "its process ended with status 3"


def test_a_system_that_tells_of_no_kills_is_none(counters):
    assert memory_kills() is None
