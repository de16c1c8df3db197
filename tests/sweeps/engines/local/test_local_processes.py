"""The local engine with real processes, whose task is a few lines in place of a training."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from played_jobs import STOP, play

from cifar_sweeps.sweeps.engines.local import process
from cifar_sweeps.sweeps.engines.local.engine import LocalEngine
from cifar_sweeps.sweeps.jobs import JobExit, JobSpec, TrainingEnded


@pytest.fixture
def engine(monkeypatch):
    assert process.STOP == STOP
    monkeypatch.setattr(process, "run_job_process", play)
    made = LocalEngine(multiprocessing.get_context("forkserver"), 2)
    yield made
    made.close()


def spec(job, deed, timeout=None, gpu=None):
    return JobSpec(job, Path("/nowhere"), Path("/nowhere/run.log"), deed.encode(), 7, timeout, gpu)


def exits(engine, count=1):
    """The next exits, by job; a job's events come ahead of its exit."""
    found, end = {}, time.monotonic() + 30
    while len(found) < count and time.monotonic() < end:
        for item in engine.wait(0.2):
            assert item.job not in found, "something came after its exit"
            if isinstance(item, JobExit):
                found[item.job] = item
            else:
                assert item == TrainingEnded(item.job)
    return found


def test_jobs_end_in_their_own_ways_and_none_takes_another_with_it(engine):
    for job, deed in enumerate(["return", "raise", "exit", "kill"]):
        engine.start(spec(job, deed, gpu="5"))
    ends = exits(engine, 4)
    assert ends[0] == JobExit(0, "returned", value=7.0, detail="5")
    assert ends[1] == JobExit(1, "lost", detail="ValueError: no")
    assert ends[2] == JobExit(2, "exited", code=3)
    assert (ends[3].cause, ends[3].code) == ("signalled", signal.SIGKILL)


def test_a_job_is_ended_at_its_time_limit(engine):
    engine.start(spec(0, "sleep", timeout=0.5))
    assert exits(engine)[0].cause == "timed_out"


@pytest.mark.parametrize("deed", ["sleep", "late"])
def test_a_job_that_is_asked_to_stop_stops_whether_its_process_is_known_or_not(engine, deed):
    engine.start(spec(0, deed))
    engine.stop(0)
    engine.stop(0)  # asked twice, it is signalled once: a second signal would end it at once
    assert exits(engine) == {0: JobExit(0, "stopped")}
    engine.stop(0)  # nothing runs any more


def test_a_job_is_signalled_once_however_often_it_is_asked_to_stop(engine, monkeypatch):
    sent = []
    monkeypatch.setattr(engine, "_signal", lambda job, number: sent.append((job, number)))
    engine.start(spec(0, "return"))
    for _ in range(3):
        engine.stop(0)
    assert sent == [(0, STOP)]


def test_a_job_that_was_stopped_and_is_started_again_is_not_stopped_again(engine):
    engine.start(spec(0, "sleep"))
    engine.stop(0)
    assert exits(engine)[0].cause == "stopped"
    engine.start(spec(0, "return"))
    assert exits(engine)[0].cause == "returned"


def test_a_job_can_be_killed_at_once(engine):
    engine.start(spec(0, "sleep"))
    end = time.monotonic() + 30
    while not engine._process_ids and time.monotonic() < end:
        engine.wait(0.1)
    engine.stop(0, now=True)
    assert exits(engine)[0].cause == "signalled"


def test_a_job_can_be_started_again_after_its_exit(engine):
    engine.start(spec(0, "kill"))
    assert exits(engine)[0].cause == "signalled"
    engine.start(spec(0, "return"))
    assert exits(engine)[0].cause == "returned"


def test_closing_leaves_no_process_and_no_folder(engine):
    engine.start(spec(0, "sleep"))
    end = time.monotonic() + 30
    while not engine._process_ids and time.monotonic() < end:
        engine.wait(0.1)
    (process_id,) = engine._process_ids.values()
    folder = engine._listener.folder
    engine.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_a_job_that_cannot_be_started_comes_back_as_lost(engine):
    engine._listener.folder.joinpath("job-0").mkdir()  # its payload cannot be written
    engine.start(spec(0, "return"))
    [end] = exits(engine).values()
    assert (end.cause, end.detail.split(":")[0]) == ("lost", "IsADirectoryError")
    engine._pool.stop()
    engine.start(spec(1, "return"))
    assert exits(engine)[1].cause == "lost"
