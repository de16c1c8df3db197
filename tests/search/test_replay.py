"""Replay of early stopping over runs that are known whole, held against sweeps worked out by hand."""

import random
from functools import partial

import pytest
from decision_audit import is_justified

from cifar_sweeps.search import replay as replaying
from cifar_sweeps.search.decisions import DecisionLog, read_decisions
from cifar_sweeps.search.replay import draw_orders, early_stopping, final_values, replay, summarize
from cifar_sweeps.search.rungs import MedianRule, SuccessiveHalving
from cifar_sweeps.search.simulation import WholeRun, simulate

LADDER = SuccessiveHalving(eta=2, grace=1)  # of 4 epochs: rungs 1 and 2
CURVES = {
    "A": (0.1, 0.2, 0.3, 0.9),  # the best at the end, the last at the first rung
    "B": (0.4, 0.5, 0.6, 0.7),
    "C": (0.3, 0.6, 0.7, 0.8),
    "D": (0.2, 0.2, 0.2, 0.2),
}


def whole(arm, values, *, epochs=None, seconds=1.0, failed=False):
    curve = dict(enumerate(values, start=1))
    return WholeRun(arm, epochs or len(values), curve, [seconds] * len(values), failed)


RUNS = [whole(arm, values) for arm, values in CURVES.items()]


@pytest.mark.parametrize(
    ("workers", "wall_clock"),
    [
        # A1 B1, B to 2, C1 D1, C to 2, C to 4: eight epochs one after the other, of sixteen.
        (1, 8 / 16),
        # Until 1 s: A1 | B1. Until 2 s: C1 | B to 2. Until 3 s: D1 alone. Until 4 s: C to 2 alone. Until 6 s: C to 4.
        (2, 6 / 8),
        # Until 1 s: A1 | B1 | C1 | D1. Until 2 s: B to 2 | C to 2. Until 4 s: C to 4.
        (4, 4 / 4),
    ],
)
def test_a_sweep_by_hand(workers, wall_clock):
    found = replay(RUNS, LADDER, "ABCD", workers, rises=True)
    assert (found.epochs, found.seconds, found.wall_clock) == (8 / 16, 8 / 16, wall_clock)
    assert found.picked == "C"
    assert found.regret == pytest.approx(0.1)


def test_seconds_are_those_of_each_epoch():
    slow = [*RUNS[:3], WholeRun("D", 4, RUNS[3].curve, [5.0, 1.0, 1.0, 1.0])]
    one = replay(slow, LADDER, "ABCD", 1, rises=True)
    assert (one.epochs, one.seconds) == (8 / 16, 12 / 20)
    # D1 lasts from 2 s to 7 s, C to 2 until 8 s, C to 4 until 10 s. Whole: A, C until 8 s | B, D until 12 s.
    assert replay(slow, LADDER, "ABCD", 2, rises=True).wall_clock == 10 / 12


def test_the_order_of_arrival_decides_what_is_trained():
    # B1 A1, B to 2, C1 D1, C to 2, C to 4.
    assert replay(RUNS, LADDER, "BACD", 1, rises=True).epochs == 8 / 16
    # D1 C1, C to 2, B1, B to 2 as the best of three, C to 4 as the better of two, A1.
    assert replay(RUNS, LADDER, "DCBA", 1, rises=True).epochs == 8 / 16
    # D1 A1, D to 2 as the better of two, C1, C to 2, C to 4, B1, B to 2.
    assert replay(RUNS, LADDER, "DACB", 1, rises=True).epochs == 9 / 16


def test_where_the_metric_falls_the_lowest_is_the_best():
    falling = [WholeRun(run.arm, 4, {at: 1 - value for at, value in run.curve.items()}, run.seconds) for run in RUNS]
    found = replay(falling, LADDER, "ABCD", 2, rises=False)
    assert (found.picked, found.epochs, found.wall_clock) == ("C", 8 / 16, 6 / 8)
    assert found.regret == pytest.approx(0.1)


def test_an_arm_is_picked_by_the_mean_of_its_seeds_and_its_seeds_arrive_together():
    runs = [
        whole("lucky", (0.1, 0.9)),
        whole("steady", (0.5, 0.6)),
        whole("lucky", (0.1, 0.1)),
        whole("steady", (0.5, 0.7)),
    ]
    assert final_values(runs) == {"lucky": 0.5, "steady": pytest.approx(0.65)}
    assert replaying.in_order(runs, ["steady", "lucky"]) == [1, 3, 0, 2]
    found = replay(runs, LADDER, ["lucky", "steady"], 1, rises=True)
    assert (found.picked, found.regret) == ("steady", 0)
    assert found.epochs == (2 + 4) / 8


def test_a_run_that_ended_by_itself_is_as_long_as_it_was():
    """C stopped after epoch 2 of 4: it is finished where it was to pause, and stands at no later epoch."""
    runs = [*RUNS[:2], whole("C", CURVES["C"][:2], epochs=4), RUNS[3]]
    found = replay(runs, LADDER, "ABCD", 1, rises=True)
    assert found.epochs == (1 + 2 + 2 + 1) / 14
    assert found.picked == "C"
    assert found.regret == pytest.approx(0.9 - 0.6)


def test_a_run_that_failed_fails_again_once_it_is_promoted():
    """C failed in epoch 2: it is promoted, fails, and keeps its place; B is then the best to be finished."""
    runs = [*RUNS[:2], whole("C", CURVES["C"][:1], epochs=4, failed=True), RUNS[3]]
    found = replay(runs, LADDER, "ABCD", 1, rises=True)
    assert found.epochs == (1 + 4 + 1 + 1) / 13
    assert (found.picked, found.regret) == ("B", pytest.approx(0.9 - 0.7))


def test_runs_of_other_lengths_have_rungs_of_their_own():
    """The short ones pause after epoch 1 alone, and one that is promoted trains to its end."""
    runs = [whole("A", (0.1, 0.2)), whole("B", (0.4, 0.5)), *RUNS[2:]]
    stopped = simulate(runs, early_stopping(runs, LADDER, "ABCD", rises=True), 1)
    assert stopped.epochs == (1, 2, 2, 1)


def test_orders_are_drawn_anew_and_the_same_each_time():
    orders = draw_orders(RUNS, 5, seed=3)
    assert orders == draw_orders(RUNS, 5, seed=3) != draw_orders(RUNS, 5, seed=4)
    assert all(sorted(order) == list("ABCD") for order in orders)
    assert len(set(map(tuple, orders))) > 1


def test_outcomes_are_summed_up_over_the_orders():
    regrets = [0.0] * 6 + [0.1, 0.2, 0.3, 0.4]
    outcomes = [replaying.Outcome(0.2, 0.3, number / 10, "A", regret, 60.0) for number, regret in enumerate(regrets)]
    found = summarize(outcomes)
    assert (found.orders, found.epochs, found.seconds) == (10, pytest.approx(0.2), pytest.approx(0.3))
    assert found.wall_clock == pytest.approx(0.45)
    assert (found.regret, found.regret_90, found.regret_worst) == (0.0, 0.3, 0.4)
    assert (found.best_picked, found.whole_wall_clock) == (0.6, 60.0)


def drawn_runs(seed, arms=12, seeds=2, epochs=20):
    draw = random.Random(seed)
    levels = {arm: draw.random() for arm in range(arms)}
    return [
        WholeRun(
            f"arm {arm}",
            epochs,
            {epoch: levels[arm] * epoch / epochs + draw.gauss(0, 0.05) for epoch in range(1, epochs + 1)},
            [draw.uniform(0.5, 2.0)] * epochs,
        )
        for arm in range(arms)
        for _ in range(seeds)
    ]


@pytest.mark.parametrize("ladder", [SuccessiveHalving(3, 2), MedianRule(4)], ids=["asha", "median"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_sweep_killed_at_random_moments_goes_on_from_its_decisions_and_curves(tmp_path, ladder, workers):
    runs, draw = drawn_runs(workers), random.Random(0)
    for number, order in enumerate(draw_orders(runs, 2)):
        undisturbed, path = DecisionLog(None), tmp_path / str(number)
        make = partial(early_stopping, runs, ladder, order, rises=True)
        whole = simulate(runs, make(open_log=lambda log=undisturbed: log), workers)
        kills = [draw.uniform(0, whole.wall_clock) for _ in range(6)]
        found = simulate(runs, make(open_log=partial(DecisionLog, path)), workers, kills)
        decisions = read_decisions(path)
        assert all(is_justified(decision, runs, ladder) for decision in decisions)
        assert len({(decision.jobs, decision.until) for decision in decisions}) == len(decisions)  # none taken twice
        kept = sum(sum(run.seconds[:epochs]) for run, epochs in zip(runs, found.epochs, strict=True))
        assert kept < found.seconds <= kept + 6 * workers * 2.0  # a kill costs each worker an epoch at most
        if workers == 1:
            assert decisions == undisturbed.decisions
            assert found.epochs == whole.epochs
