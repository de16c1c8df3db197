"""How a job ended, by what is known of its process."""

import concurrent.futures
import signal
from types import SimpleNamespace

import pytest
from pebble import ProcessExpired

from cifar_sweeps.sweeps.engines.local import engine as module
from cifar_sweeps.sweeps.engines.local.engine import MemoryKills, job_end


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
    assert job_end(None, over(KeyboardInterrupt()), None).outcome == "killed"


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """What the system says of its kills, as a file."""
    monkeypatch.setattr(module, "_COUNTERS", tmp_path / "vmstat")
    return tmp_path / "vmstat"


def killed(memory, number=0):
    end = job_end(SimpleNamespace(number=number), died(-signal.SIGKILL), memory)
    assert end.outcome == "killed"
    return end.value


BY_THE_SYSTEM = (
    "its process was killed by SIGKILL: out of memory; run fewer jobs at once (hydra.launcher.n_jobs), "
    "or take smaller batches"
)


def test_each_kill_of_the_system_explains_the_death_of_one_job(counters):
    counters.write_text("nr_dirty 1\noom_kill 3\n")
    memory = MemoryKills()
    for job in range(3):
        memory.job_starts(job)
    counters.write_text("nr_dirty 1\noom_kill 5\n")
    assert [killed(memory, job) for job in range(3)] == [BY_THE_SYSTEM] * 2 + ["its process was killed by SIGKILL"]


def test_a_kill_of_the_system_before_the_job_began_explains_nothing(counters):
    counters.write_text("oom_kill 3\n")
    memory = MemoryKills()
    counters.write_text("oom_kill 4\n")
    memory.job_starts(0)
    assert killed(memory) == "its process was killed by SIGKILL"


def test_where_the_system_does_not_tell_memory_is_a_guess(counters):
    memory = MemoryKills()
    memory.job_starts(0)
    assert killed(memory) == "its process was killed by SIGKILL; the system does so when memory runs out"


def test_other_ends_of_a_process(counters):
    memory = MemoryKills()
    assert (
        job_end(SimpleNamespace(number=0), died(-signal.SIGSEGV), memory).value == "its process was killed by SIGSEGV"
    )
    assert job_end(SimpleNamespace(number=0), died(-signal.SIGSEGV), memory).outcome == "failed"
    assert job_end(SimpleNamespace(number=0), died(3), memory).value == "its process ended with status 3"
