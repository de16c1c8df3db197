"""The clock by which rivals' rules are told the published curves is the one of the replay."""

import random

import pytest
from benchmarks.peers.arrivals import run_rule

from cifar_sweeps.search.scheduler import GridScheduler
from cifar_sweeps.search.simulation import WholeRun, simulate


class StopAfter:
    """Lets each trial train a number of epochs that is drawn when it arrives."""

    def __init__(self, lengths):
        self.lengths, self.told, self.started = lengths, [], []

    def start(self, trial):
        self.started.append(trial)

    def goes_on(self, trial, epoch, value, is_last):
        self.told.append((trial, epoch, value, is_last))
        return epoch < self.lengths[trial]


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_trials_that_end_when_their_rule_says_so_take_what_runs_of_that_length_take(workers):
    draw = random.Random(workers)
    seconds, order = [draw.uniform(1, 9) for _ in range(12)], draw.sample(range(12), 12)
    curves = [[draw.random() for _ in range(5)] for _ in range(12)]
    lengths = [draw.randint(1, 5) for _ in range(12)]  # by trial, in the order of arrival
    rule = StopAfter(lengths)
    found = run_rule(rule, order, curves, seconds, workers)
    runs = [WholeRun(str(arm), 5, {}, [seconds[arm]] * length) for arm, length in zip(order, lengths, strict=True)]
    expected = simulate(runs, lambda _: GridScheduler(range(12)), workers)
    assert [found["epochs"][arm] for arm in order] == list(expected.epochs) == lengths
    assert found["wall_clock"] == pytest.approx(expected.wall_clock)
    assert rule.started == list(range(12))
    told = {(trial, epoch): (value, is_last) for trial, epoch, value, is_last in rule.told}
    assert len(told) == len(rule.told) == sum(lengths)
    assert all(
        (value, is_last) == (curves[order[trial]][epoch - 1], epoch == 5)
        for (trial, epoch), (value, is_last) in told.items()
    )
