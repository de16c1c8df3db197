"""How the local engine reports the end of a process, by what is known of it."""

import concurrent.futures
import multiprocessing
import signal
import time

import pytest
from pebble import ProcessExpired

from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.engines.local import oom_kills
from cifar_sweeps.sweeps.engines.local.engine import LocalEngine
from cifar_sweeps.sweeps.engines.local.event_socket import EventListener, EventReporter
from cifar_sweeps.sweeps.engines.local.oom_kills import OomKillCounter
from cifar_sweeps.sweeps.jobs import (
    MAYBE_OUT_OF_MEMORY,
    EpochReport,
    JobExit,
    ProcessStarted,
    StepReport,
    TrainingEnded,
    TrainingStarted,
    WorkStarted,
)
from cifar_sweeps.training.metrics import EpochMetrics, StepProgress


@pytest.fixture
def engine():
    made = LocalEngine(multiprocessing.get_context("spawn"), 1)
    yield made
    made.close()


def exit_of(engine, error=None, result=None):
    """What the engine reports of a job whose process ended so."""
    future = concurrent.futures.Future()
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
    return engine._exit(0, future)


def died(exit_code):
    error = ProcessExpired("it died")
    error.exitcode = exit_code
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (died(3), JobExit(0, "exited", code=3)),
        (died(-signal.SIGSEGV), JobExit(0, "signalled", code=signal.SIGSEGV)),
        (concurrent.futures.TimeoutError(), JobExit(0, "timed_out")),
        (KeyboardInterrupt(), JobExit(0, "stopped")),  # SIGTERM met the job while it was being set up
        (OSError("no pipe"), JobExit(0, "lost", detail="OSError: no pipe")),
    ],
    ids=repr,
)
def test_the_end_of_a_process(engine, error, expected):
    assert exit_of(engine, error) == expected


def test_an_outcome_is_passed_on(engine):
    assert exit_of(engine, result=("returned", 0.5, "")) == JobExit(0, "returned", value=0.5)
    assert exit_of(engine, result=("raised", None, "ValueError: no")) == JobExit(0, "raised", detail="ValueError: no")


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """The kernel's count of its kills, as a file."""
    monkeypatch.setattr(oom_kills, "_COUNTERS", tmp_path / "vmstat")
    return tmp_path / "vmstat"


def test_each_kill_of_the_kernel_explains_the_death_of_one_job(counters):
    counters.write_text("nr_dirty 1\noom_kill 3\n")
    kills = OomKillCounter()
    for job in range(3):
        kills.job_starts(job)
    counters.write_text("nr_dirty 1\noom_kill 5\n")
    assert [kills.was_oom_killed(job) for job in range(3)] == [True, True, False]


def test_a_kill_before_the_job_started_explains_nothing(counters):
    counters.write_text("oom_kill 3\n")
    kills = OomKillCounter()
    counters.write_text("oom_kill 4\n")
    kills.job_starts(0)
    assert kills.was_oom_killed(0) is False


def test_where_the_kernel_does_not_count_memory_is_a_guess(counters, engine):
    assert OomKillCounter().was_oom_killed(0) is None
    assert exit_of(engine, died(-signal.SIGKILL)).detail == MAYBE_OUT_OF_MEMORY


def test_a_job_that_the_kernel_killed_is_out_of_memory(counters):
    counters.write_text("oom_kill 3\n")
    engine = LocalEngine(multiprocessing.get_context("spawn"), 1)
    engine._oom_kills.job_starts(0)
    counters.write_text("oom_kill 4\n")
    assert exit_of(engine, died(-signal.SIGKILL)).cause == "out_of_memory"
    engine.close()
    engine.close()  # twice does no harm


def test_what_a_run_reports_arrives_as_events_in_order():
    channel = EventChannel()
    listener = EventListener(channel)
    reporter = EventReporter(listener.address, 7)
    reporter.send_process_id(4711)
    reporter.on_start(type("Description", (), {"epochs": 3}))
    reporter.on_step(StepProgress(2, 5, 10, 1.5, 0.4, 100.0))
    reporter.on_epoch(EpochMetrics(2, 1.25, 0.5, 1.5, 0.625, None, None, 0.1, 1.0, 100.0))
    reporter.on_work("testing")
    reporter.on_end("over")
    reporter.on_work("pictures")
    listener.close()
    assert channel.drain(0) == [
        ProcessStarted(7, 4711),
        TrainingStarted(7, 3),
        StepReport(7, 1.5, 1.5),
        EpochReport(7, 2, 1.25, 0.625),
        WorkStarted(7, "testing"),
        TrainingEnded(7),
        WorkStarted(7, "pictures"),
    ]
    reporter.on_end("nobody listens any more")  # and the run continues


def test_waiting_ends_in_time_and_at_the_first_event(engine):
    began = time.monotonic()
    assert engine.wait(0.05) == []
    assert time.monotonic() - began >= 0.05
    engine._running.add(0)
    EventReporter(engine._listener.address, 0).on_end("")
    assert engine.wait(30) == [TrainingEnded(0)]


def test_events_of_a_job_that_has_ended_are_dropped(engine):
    EventReporter(engine._listener.address, 0).on_end("")
    assert engine.wait(0.5) == []


def test_a_cancelled_job_counts_as_killed(engine):
    future = concurrent.futures.Future()
    future.cancel()
    assert engine._exit(0, future) == JobExit(0, "signalled", code=signal.SIGKILL)


def test_the_temporary_files_go_also_where_nothing_is_closed(engine):
    assert engine._listener.folder.is_dir()
    engine.remove_files()
    assert not engine._listener.folder.exists()
