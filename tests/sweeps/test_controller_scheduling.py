"""What the controller makes of a scheduler's assignments, on an engine without processes."""

import pytest
from fake_engine import World, fails, paused, recorded, trains

from cifar_sweeps.search.scheduler import Assignment
from cifar_sweeps.sweeps.jobs import JobExit, TrainingStarted


class PauseOnce:
    """Lets job 0 pause after its first epoch, runs job 1, then promotes job 0."""

    waits_for_results = True

    def __init__(self, *to_ask):
        self.to_ask = list(to_ask) or [Assignment(0, until=1), Assignment(1)]
        self.told = []

    def ask(self):
        return self.to_ask.pop(0) if self.to_ask else None

    def tell(self, job, ending, curve):
        self.told.append((job, ending, dict(curve)))
        if ending == "paused":
            self.to_ask.append(Assignment(job))


def test_a_job_pauses_where_the_scheduler_says_and_is_promoted():
    scheduler = PauseOnce()
    scripts = {0: [trains(0, [0.3]), trains(0, [0.4, 0.6])], 1: [trains(1)]}
    runs = {0: [paused(1, 0.3), recorded("FINISHED")], 1: recorded("FINISHED")}
    world = World(scripts, scheduler=scheduler, recorded=runs)
    results = world.run()
    assert [(spec.number, spec.until) for spec in world.engine.specs] == [(0, 1), (1, None), (0, None)]
    assert [(job, ending) for job, ending, _ in scheduler.told] == [(0, "paused"), (1, "finished"), (0, "finished")]
    assert scheduler.told[0][2] == {1: 0.3}
    assert [(result.state, result.value) for result in results] == [("finished", 0.6), ("finished", 0.5)]
    assert world.display.starts == [(0, False), (1, False), (0, True)]
    assert world.record.failures == {}


@pytest.mark.parametrize(("waits", "started"), [(True, 1), (False, 2)])
def test_a_scheduler_that_decides_by_results_is_asked_when_a_job_has_been_told_of(waits, started):
    """A job that wraps up holds up the next one only there."""
    scheduler = PauseOnce(Assignment(0), Assignment(1))
    scheduler.waits_for_results = waits
    world = World({0: [trains(0, wraps_up=5)], 1: [trains(1)]}, scheduler=scheduler)
    tell, seen = scheduler.tell, []
    scheduler.tell = lambda *told: (seen.append(len(world.engine.started())), tell(*told))
    world.run()
    assert seen[0] == started


def test_a_paused_job_that_nobody_promotes_stays_paused_and_is_no_failure():
    scheduler = PauseOnce()
    scheduler.tell = lambda *_: None
    runs = {0: paused(1, 0.3), 1: recorded("FINISHED")}
    world = World({0: [trains(0, [0.3])], 1: [trains(1)]}, scheduler=scheduler, recorded=runs)
    results = world.run()
    assert (results[0].state, results[0].value) == ("paused", 0.3)
    assert world.display.ends[0] == ("paused", "paused at epoch 1 of 3")
    assert world.record.failures == {}


@pytest.mark.parametrize("cause", ["returned", "stopped", "signalled", "timed_out", "exited", "lost", "raised"])
def test_a_job_that_has_paused_is_paused_however_its_process_ends(cause):
    """Its journal was closed, with the checkpoint on disk before; what came after costs nothing."""
    events = [TrainingStarted(0, 3), JobExit(0, cause, code=9)]
    scheduler = PauseOnce(Assignment(0, until=1))
    scheduler.tell = lambda *_: None
    world = World({0: [events]}, scheduler=scheduler, recorded={0: paused(1)}, retries=1, fail_fast=True)
    [result] = world.run()
    assert result.state == "paused"
    assert world.engine.started() == [0]
    assert world.record.failures == {}


@pytest.mark.parametrize("until", [2, None])
@pytest.mark.parametrize("cause", ["returned", "exited"])
def test_a_promoted_job_that_ends_before_its_journal_goes_on_has_failed(until, cause):
    """Its journal still says that it is paused, where it was paused before."""
    events = [JobExit(0, cause, code=9)]
    world = World({0: [events]}, scheduler=PauseOnce(Assignment(0, until=until)), recorded={0: paused(1)})
    [result] = world.run()
    assert result.state == "failed"
    assert 0 in world.record.failures


def test_a_pause_uses_up_no_retry_and_a_retry_pauses_at_the_same_epoch():
    scheduler = PauseOnce(Assignment(0, until=2), Assignment(1))
    scripts = {0: [fails(0), trains(0, [0.3, 0.4]), fails(0), trains(0, [0.5])], 1: [trains(1)]}
    runs = {0: [None, paused(2), paused(2), recorded("FINISHED")], 1: recorded("FINISHED")}
    world = World(scripts, scheduler=scheduler, recorded=runs, retries=2)
    results = world.run()
    assert [(spec.number, spec.until) for spec in world.engine.specs] == [
        (0, 2),
        (1, None),
        (0, 2),
        (0, None),
        (0, None),
    ]
    assert (results[0].state, results[0].value) == ("finished", 0.5)


@pytest.mark.parametrize("asked", [0, 5])
def test_a_scheduler_that_asks_for_a_job_that_runs_or_is_unknown_is_a_clear_error(asked):
    world = World({0: [trains(0)]}, scheduler=PauseOnce(Assignment(0), Assignment(asked)), n_jobs=2)
    with pytest.raises(RuntimeError, match=f"asks for job {asked}, which is"):
        world.run()
    assert world.engine.closed


def test_a_job_that_waits_for_its_retry_is_started_once_though_the_scheduler_asks_for_it_too():
    scheduler = PauseOnce(Assignment(1), Assignment(3), Assignment(1))
    world = World({1: [fails(1), trains(1)], 3: [trains(3, [0.5] * 4)]}, scheduler=scheduler, n_jobs=2, retries=1)
    results = world.run()
    assert world.engine.started() == [1, 3, 1]
    assert [result.state for result in results] == ["finished", "finished"]
