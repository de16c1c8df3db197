"""What the controller makes of a scheduler's decisions, on an engine without processes."""

import pytest
from fake_engine import World, fails, trains

from cifar_sweeps.sweeps.jobs import EpochReport, JobExit, TrainingStarted


class PauseOnce:
    """Pauses job 0 after its first epoch, runs job 1, then promotes job 0; stops job 2 for good."""

    def __init__(self):
        self.to_ask, self.reports, self.told = [0, 1, 2], [], []

    def ask(self):
        return self.to_ask.pop(0) if self.to_ask else None

    def report(self, job, epoch, value):
        self.reports.append((job, epoch, value))
        if job == 0 and not self.told:
            return "pause"
        return "stop" if job == 2 else "continue"

    def tell(self, job, state, value):
        self.told.append((job, state, value))
        if state == "paused":
            self.to_ask.append(job)


def test_a_scheduler_pauses_promotes_and_stops_jobs():
    scheduler = PauseOnce()
    scripts = {0: [trains(0, [0.3, 0.4]), trains(0, [0.4, 0.6])], 1: [trains(1)], 2: [trains(2, [0.2, 0.3, 0.4])]}
    world = World(scripts, scheduler=scheduler)
    results = world.run()
    assert world.engine.started() == [0, 1, 2, 0]
    assert world.engine.stopped() == [0, 2]
    assert scheduler.told == [(0, "paused", 0.3), (1, "finished", 0.5), (2, "finished", 0.2), (0, "finished", 0.6)]
    assert [(result.state, result.value) for result in results] == [
        ("finished", 0.6),
        ("finished", 0.5),
        ("finished", 0.2),
    ]
    assert world.record.failures == {}


def test_a_paused_job_that_nobody_promotes_stays_paused_and_is_no_failure():
    scheduler = PauseOnce()
    scheduler.tell = lambda *_: None
    world = World({0: [trains(0, [0.3, 0.4])], 1: [trains(1)], 2: [trains(2)]}, scheduler=scheduler)
    results = world.run()
    assert (results[0].state, results[0].value) == ("paused", 0.3)
    assert world.record.early == [0, 2]
    assert world.record.failures == {}


def test_a_scheduler_hears_of_validated_epochs_alone():
    scheduler = PauseOnce()
    scheduler.report = lambda job, epoch, value: scheduler.reports.append((epoch, value)) or "continue"
    events = [EpochReport(0, 1, 1.0, None), EpochReport(0, 2, 1.0, 0.5), JobExit(0, "returned", value=0.5)]
    scheduler.to_ask = [0]
    World({0: [events]}, scheduler=scheduler).run()
    assert scheduler.reports == [(2, 0.5)]


@pytest.mark.parametrize("cause", ["stopped", "signalled", "timed_out", "exited", "lost"])
def test_a_job_that_the_scheduler_stops_is_no_failure_however_its_process_ends(cause):
    scheduler = PauseOnce()
    scheduler.to_ask = [2]
    events = [TrainingStarted(2, 3), EpochReport(2, 1, 1.0, 0.2), JobExit(2, cause, code=9)]
    world = World({2: [events]}, scheduler=scheduler, stops=False, retries=1, fail_fast=True)
    [result] = world.run()
    assert (result.state, result.value) == ("finished", 0.2)
    assert world.engine.started() == [2]
    assert world.record.failures == {}


def test_a_job_that_raises_while_the_scheduler_stops_it_has_failed():
    scheduler = PauseOnce()
    scheduler.to_ask = [2]
    events = [EpochReport(2, 1, 1.0, 0.2), JobExit(2, "raised", detail="ValueError: no")]
    [result] = World({2: [events]}, scheduler=scheduler, stops=False).run()
    assert (result.state, result.reason) == ("failed", "ValueError: no")


def test_a_pause_is_no_failure_and_uses_up_no_retry():
    scheduler = PauseOnce()
    scheduler.to_ask = [0, 1]
    scripts = {0: [trains(0, [0.3, 0.4]), fails(0), trains(0, [0.5])], 1: [trains(1)]}
    world = World(scripts, scheduler=scheduler, retries=1)
    results = world.run()
    assert world.engine.started() == [0, 1, 0, 0]
    assert (results[0].state, results[0].value) == ("finished", 0.5)


@pytest.mark.parametrize("asked", [0, 5])
def test_a_scheduler_that_asks_for_a_job_that_runs_or_is_unknown_is_a_clear_error(asked):
    scheduler = PauseOnce()
    scheduler.to_ask = [0, asked]
    world = World({0: [trains(0)]}, scheduler=scheduler, n_jobs=2)
    with pytest.raises(RuntimeError, match=f"asks for job {asked}, which is"):
        world.run()
    assert world.engine.closed


def test_a_job_that_waits_for_its_retry_is_started_once_though_the_scheduler_asks_for_it_too():
    scheduler = PauseOnce()
    scheduler.to_ask = [1, 3, 1]
    world = World({1: [fails(1), trains(1)], 3: [trains(3, [0.5] * 4)]}, scheduler=scheduler, n_jobs=2, retries=1)
    results = world.run()
    assert world.engine.started() == [1, 3, 1]
    assert [result.state for result in results] == ["finished", "finished"]
