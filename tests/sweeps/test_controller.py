"""Every decision of the controller, on an engine without processes."""

import signal
from collections import deque

import pytest
from fake_engine import FOREVER, World, fails, recorded, trains

from cifar_sweeps.sweeps.jobs import MAYBE_OUT_OF_MEMORY, JobExit, ProcessStarted, TrainingEnded, TrainingStarted
from cifar_sweeps.sweeps.previous.launches import PreviousJob


def test_jobs_start_in_their_order_and_return_their_values():
    world = World({number: [trains(number, [0.1 * number])] for number in range(4)}, n_jobs=2)
    results = world.run()
    assert world.engine.started() == [0, 1, 2, 3]
    assert [(result.state, result.value) for result in results] == [("finished", 0.1 * n) for n in range(4)]
    assert world.record.failures == {}
    assert world.engine.closed


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 7])
def test_no_more_jobs_train_at_once_than_may(n_jobs):
    world = World({number: [[TrainingStarted(number, 1), JobExit(number, "returned")]] for number in range(9)})
    world.controller._n_jobs = n_jobs
    world.run()
    assert world.engine.most_at_once == n_jobs


def test_a_job_that_wraps_up_does_not_hold_up_the_next_one():
    world = World({0: [trains(0, wraps_up=50)], 1: [trains(1)]})
    world.run()
    assert world.engine.most_at_once == 2
    assert list(world.display.ends) == [1, 0]


def test_a_job_that_failed_is_retried_after_the_others_and_counts_as_finished():
    world = World({0: [fails(0), trains(0)], 1: [trains(1)], 2: [trains(2)]}, retries=1)
    results = world.run()
    assert world.engine.started() == [0, 1, 2, 0]
    assert [result.state for result in results] == ["finished"] * 3
    assert world.record.failures == {}
    assert world.display.lines == ["job 0 failed and is tried again: ValueError: no"]
    assert world.display.starts == [(0, False), (1, False), (2, False), (0, False)]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_job_is_tried_once_more_often_than_it_may_be_retried(retries):
    world = World({0: [fails(0)] * 9}, retries=retries)
    [result] = world.run()
    assert world.engine.started() == [0] * (retries + 1)
    assert (result.state, result.reason) == ("failed", "ValueError: no")
    assert world.record.failures[0] == ("FAILED", "ValueError: no", False)


@pytest.mark.parametrize("cause", ["node_failed", "preempted"])
def test_a_job_whose_machine_is_gone_starts_again_and_that_is_none_of_its_failures(cause):
    attempts = [fails(0, cause, "node7"), fails(0), fails(0, cause, "node8"), fails(0, cause, "node7"), trains(0)]
    world = World({0: attempts}, retries=1)
    assert [result.state for result in world.run()] == ["finished"]
    assert sum(" is started again elsewhere: " in line for line in world.display.lines) == 3
    assert sum(" failed and is tried again: " in line for line in world.display.lines) == 1


def test_a_job_that_takes_its_machines_along_is_not_started_for_ever():
    world = World({0: [fails(0, "node_failed", "node7")] * 9}, retries=9)
    assert [result.state for result in world.run()] == ["killed"]
    assert world.engine.started() == [0] * 4
    assert "node7" in world.display.ends[0][1]


def test_a_training_that_diverged_is_not_retried():
    world = World({0: [fails(0, detail="DivergedError: loss is nan")] * 9}, retries=5)
    world.run()
    assert world.engine.started() == [0]


OUT_OF_MEMORY = "its process was killed by SIGKILL: out of memory; run fewer jobs at once (hydra.launcher.n_jobs)"


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        (JobExit(0, "raised", detail="ValueError: no"), "failed", "ValueError: no"),
        (JobExit(0, "exited", code=3), "failed", "its process ended with status 3"),
        (JobExit(0, "signalled", code=signal.SIGSEGV), "failed", "its process was killed by SIGSEGV"),
        (JobExit(0, "signalled", code=signal.SIGKILL), "killed", "its process was killed by SIGKILL"),
        (
            JobExit(0, "signalled", detail=MAYBE_OUT_OF_MEMORY, code=signal.SIGKILL),
            "killed",
            "SIGKILL; the system does so",
        ),
        (JobExit(0, "signalled", code=signal.SIGTERM), "killed", "its process was killed by SIGTERM"),
        (JobExit(0, "out_of_memory", code=signal.SIGKILL), "killed", OUT_OF_MEMORY),
        (JobExit(0, "timed_out"), "failed", "it took longer than sweep.timeout=15 seconds"),
        (JobExit(0, "stopped"), "killed", "it was stopped"),
        (JobExit(0, "signalled", code=40), "failed", "its process was killed by signal 40"),
        (JobExit(0, "lost"), "failed", "the engine lost it"),
        (JobExit(0, "lost", detail="BrokenPipeError"), "failed", "BrokenPipeError"),
    ],
    ids=lambda value: value.cause if isinstance(value, JobExit) else "",
)
def test_every_end_has_its_state_and_its_reason(how, state, reason):
    world = World({0: [[how]], 1: [trains(1)]}, timeout=15.0)
    result, other = world.run()
    assert result.state == state
    assert reason in result.reason
    assert world.display.ends[0] == (state, result.reason)
    assert world.record.failures[0] == (state.upper(), result.reason, how.cause in ("timed_out", "out_of_memory"))
    assert other.state == "finished"  # it takes no other with it


@pytest.mark.parametrize("cause", ["raised", "stopped", "exited", "signalled", "out_of_memory", "timed_out", "lost"])
def test_a_run_that_was_closed_as_finished_is_finished_however_its_process_ended(cause):
    run = recorded("FINISHED", **{"final/val_accuracy": 0.7, "best/val_accuracy": 0.8})
    for select, value in (("last", 0.7), ("best", 0.8)):
        world = World({0: [[JobExit(0, cause, code=signal.SIGKILL)]]}, recorded={0: run}, select=select)
        [result] = world.run()
        assert (result.state, result.value) == ("finished", value)
        assert world.record.failures == {}


def test_a_job_that_had_failed_by_itself_when_it_was_stopped_keeps_its_own_reason():
    world = World({0: [[JobExit(0, "stopped")]]}, recorded={0: recorded("FAILED", failure="DataError: gone")})
    [result] = world.run()
    assert (result.state, result.reason) == ("failed", "DataError: gone")


def test_fail_fast_stops_the_others_starts_none_and_says_why_of_each():
    scripts = {0: [fails(0)], 1: [[TrainingStarted(1, 3), FOREVER]], 2: [trains(2)]}
    world = World(scripts, n_jobs=2, fail_fast=True, retries=0)
    results = world.run()
    assert world.engine.started() == [0, 1]
    assert [result.state for result in results] == ["failed", "killed", "waiting"]
    assert results[1].reason == "stopped by sweep.fail_fast when job 0 failed"
    assert results[2].reason == "it was not started: sweep.fail_fast"
    assert world.display.lines == ["job 0 failed, the others are stopped: sweep.fail_fast"]


def test_a_job_that_waits_for_its_retry_when_the_sweep_stops_is_told_with_its_own_reason():
    scripts = {0: [fails(0), trains(0)], 1: [[TrainingStarted(1, 3), FOREVER]]}
    world = World(scripts, retries=1, interrupted_after=1.0)
    world.run()
    assert world.engine.started() == [0, 1]
    assert world.record.failures[0][:2] == ("FAILED", "ValueError: no")


def test_an_interrupt_stops_the_running_jobs_once_and_starts_no_other():
    scripts = {number: [[TrainingStarted(number, 3), FOREVER]] for number in range(4)}
    world = World(scripts, n_jobs=2, interrupted_after=1.0)
    results = world.run()
    assert world.engine.started() == [0, 1]
    assert world.engine.stopped() == [0, 1]
    assert [result.state for result in results] == ["killed", "killed", "waiting", "waiting"]
    assert {number: failure[0] for number, failure in world.record.failures.items()} == {0: "KILLED", 1: "KILLED"}
    assert world.engine.now < 3


def test_a_job_that_is_stopped_with_the_sweep_is_not_retried():
    world = World({0: [[TrainingStarted(0, 3), FOREVER]] * 2}, retries=1, interrupted_after=1.0)
    [result] = world.run()
    assert world.engine.started() == [0]
    assert result.state == "killed"


def test_an_interrupt_while_fail_fast_stops_the_jobs_tells_each_failure_once():
    diverges = fails(2, detail="DivergedError: loss is nan")
    scripts = {0: [fails(0)], 1: [[TrainingStarted(1, 3), FOREVER]], 2: [diverges]}
    world = World(scripts, n_jobs=2, retries=1, fail_fast=True, interrupted_after=1.5, stops=False)
    world.run()
    assert world.engine.started() == [0, 1, 2]  # job 0 waited for its retry when job 2 ended the sweep
    assert sorted(world.record.failures) == [0, 1, 2]
    assert [line.split(":")[0] for line in world.display.lines][-1].startswith("Stopping at a safe point")


def test_jobs_that_do_not_stop_in_time_are_killed_and_say_so():
    world = World({0: [[TrainingStarted(0, 3), FOREVER]]}, interrupted_after=1.0, stops=False)
    [result] = world.run()
    assert 60 < world.engine.now < 63
    assert result.state == "killed"
    assert "did not stop within 60 seconds" in result.reason
    assert world.record.failures[0][0] == "KILLED"
    assert world.engine.closed


@pytest.mark.parametrize("kills", [True, False], ids=["the engine says so", "the engine says nothing"])
def test_a_run_that_was_closed_as_finished_is_finished_also_at_the_deadline(kills):
    run = recorded("FINISHED", **{"final/val_accuracy": 0.7})
    scripts = {0: [[TrainingStarted(0, 3), FOREVER]], 1: [[TrainingStarted(1, 3), FOREVER]]}
    world = World(scripts, n_jobs=2, interrupted_after=1.0, stops=False, kills=kills, recorded={0: run})
    finished, killed = world.run()
    assert (finished.state, finished.value) == ("finished", 0.7)
    assert killed.state == "killed"
    assert list(world.record.failures) == [1]
    assert [what for what, _ in world.engine.log if what == "kill"] == ["kill", "kill"]


def test_a_cluster_s_own_time_limit_has_a_reason_too():
    world = World({0: [[JobExit(0, "timed_out")]]}, timeout=None)
    [result] = world.run()
    assert (result.state, result.reason) == ("failed", "it took longer than its time limit")


def test_the_engine_is_closed_when_something_breaks():
    world = World({0: [trains(0)]})
    world.engine.wait = lambda seconds: 1 / 0
    with pytest.raises(ZeroDivisionError):
        world.run()
    assert world.engine.closed


def previous(number, state, failure=None):
    return PreviousJob(number, None, "", recorded(state, failure, **{"final/val_accuracy": 0.9}))


def test_what_a_previous_launch_finished_is_reused_and_the_rest_resumes():
    earlier = {0: previous(0, "FINISHED"), 1: previous(1, "KILLED")}
    world = World({0: [], 1: [trains(1, [0.4])], 2: [trains(2)]}, previous=earlier)
    results = world.run()
    assert world.engine.started() == [1, 2]
    assert world.display.starts == [(1, True), (2, False)]
    assert world.record.reused == [0]
    assert [result.value for result in results] == [0.9, 0.4, 0.5]


def test_with_rerun_never_a_failed_job_keeps_its_failure():
    world = World({0: [], 1: [trains(1)]}, previous={0: previous(0, "FAILED", "ValueError: no")}, rerun="never")
    failed, finished = world.run()
    assert world.engine.started() == [1]
    assert "ValueError: no (a previous launch; sweep.rerun=never)" in failed.reason
    assert 0 in world.record.failures
    assert finished.state == "finished"


def test_where_nothing_is_left_to_train_nothing_is_started():
    world = World({0: []}, previous={0: previous(0, "FINISHED")})
    assert [result.state for result in world.run()] == ["finished"]
    assert world.engine.log == []
    assert world.engine.closed


def test_jobs_that_run_already_are_adopted_and_not_started_again():
    world = World({0: [trains(0, [0.3])], 1: [trains(1)]}, adopted={0: None})
    results = world.run()
    assert world.engine.started() == [1]
    assert world.display.starts == [(0, True), (1, False)]
    assert results[0].value == 0.3


def test_what_runs_and_is_not_wanted_is_stopped_and_not_waited_for():
    world = World({0: [], 1: [trains(1)]}, adopted={0: None, 7: None}, previous={0: previous(0, "FINISHED")})
    world.engine.scripts |= {0: deque([[FOREVER]]), 7: deque([[FOREVER]])}
    results = world.run()
    assert world.engine.stopped() == [0, 7]
    assert [result.state for result in results] == ["finished", "finished"]
    assert world.record.failures == {}


def test_the_start_of_a_process_is_the_engine_s_own_matter():
    world = World({0: [[ProcessStarted(0, 4711), *trains(0)]]})
    world.run()
    assert [type(event).__name__ for event in world.display.events] == [
        "TrainingStarted",
        "EpochReport",
        "TrainingEnded",
    ]


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "KILLED"])
def test_a_job_that_returned_without_a_finished_record_has_failed(state):
    world = World({0: [[JobExit(0, "returned", 0.5)]]}, recorded={0: recorded(state)})
    [result] = world.run()
    assert result.state == "failed"
    assert "its record does not say that it finished" in result.reason


def test_a_job_that_the_scheduler_queues_again_takes_up_its_slot_again():
    anew = [TrainingStarted(0, 3), TrainingEnded(0), TrainingStarted(0, 3), FOREVER]
    world = World({0: [anew], 1: [trains(1)], 2: [trains(2)]}, interrupted_after=20)
    world.run()
    assert world.engine.started() == [0, 1]  # one while the first seemed to wrap up, and no other beside it
