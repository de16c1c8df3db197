"""Which GPU the controller gives each job, on an engine without processes."""

from collections import Counter

import pytest
from fake_engine import World, fails, trains


def gpus_of(world):
    return [spec.gpu for spec in world.engine.specs]


def test_each_gpu_trains_one_job_and_the_next_job_gets_the_one_that_is_free():
    scripts = {0: [trains(0, [0.5] * 9)], 1: [trains(1)], 2: [trains(2, [0.5] * 3)], 3: [trains(3)], 4: [trains(4)]}
    world = World(scripts, n_jobs=2, gpus=["0", "1"])
    world.run()
    assert gpus_of(world) == ["0", "1", "1", "1", "0"]


@pytest.mark.parametrize(("gpus", "per_gpu"), [(1, 1), (1, 3), (2, 1), (2, 2), (8, 1), (8, 2)])
def test_the_jobs_are_spread_evenly(gpus, per_gpu):
    names = [str(index) for index in range(gpus)]
    world = World({n: [trains(n, [0.5] * 4)] for n in range(gpus * per_gpu * 3)}, n_jobs=gpus * per_gpu, gpus=names)
    world.run()
    first = gpus_of(world)[: gpus * per_gpu]
    assert first == names * per_gpu  # in turn
    assert set(Counter(gpus_of(world)).values()) == {per_gpu * 3}


def test_a_gpu_on_which_a_job_wraps_up_is_taken_after_one_that_is_idle():
    world = World({0: [trains(0, wraps_up=99)], 1: [trains(1)]}, n_jobs=1, gpus=["0", "1"])
    world.run()
    assert world.engine.most_at_once == 2
    assert gpus_of(world) == ["0", "1"]


def test_gpus_keep_the_names_that_cuda_visible_devices_gave_them():
    world = World({0: [trains(0)], 1: [trains(1)]}, n_jobs=2, gpus=["GPU-4f", "3"])
    world.run()
    assert gpus_of(world) == ["GPU-4f", "3"]


def test_a_retry_takes_whichever_gpu_is_free():
    world = World({0: [fails(0), trains(0)], 1: [trains(1, [0.5] * 9)]}, n_jobs=2, gpus=["0", "1"], retries=1)
    world.run()
    assert gpus_of(world) == ["0", "1", "0"]


def test_without_gpus_none_is_assigned():
    world = World({0: [trains(0)]})
    world.run()
    assert gpus_of(world) == [None]


def test_an_adopted_job_keeps_its_gpu_and_the_next_job_gets_another():
    world = World({0: [trains(0, [0.3] * 5)], 1: [trains(1)]}, n_jobs=2, gpus=["0", "1"], adopted={0: "0"})
    world.run()
    assert gpus_of(world) == ["1"]
