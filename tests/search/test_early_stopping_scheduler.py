"""Early stopping promotes as ASHA's Algorithm 2 does, judges arms by their seeds, and survives kills."""

import random
from itertools import count, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_sweeps.search.decisions import Decision, DecisionLog
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.rungs import MedianRule, SuccessiveHalving
from cifar_sweeps.search.scheduler import Assignment

EPOCHS = 40


def curves_of(values, epochs=EPOCHS):
    """A curve for each job, straight from its first value to its last."""
    return [
        {epoch: first + (last - first) * (epoch - 1) / (epochs - 1) for epoch in range(1, epochs + 1)}
        for first, last in values
    ]


def go(scheduler, curves, until=None, total=EPOCHS):
    """Train one job at a time; return what was run. until: number of assignments after which it is killed."""
    ran = []
    while (until is None or len(ran) < until) and (assignment := scheduler.ask()) is not None:
        end = assignment.until or total
        ran.append((assignment.job, end))
        curve = {epoch: curves[assignment.job][epoch] for epoch in range(1, end + 1)}
        scheduler.tell(assignment.job, "finished" if end == total else "paused", curve)
    return ran


def one_arm_a_job(number):
    return [Candidate(job, str(job), EPOCHS) for job in range(number)]


def algorithm_2(curves, eta, grace, total=EPOCHS):
    """ASHA's Algorithm 2 for one worker, written from the paper: rungs of lists, promotions first, top down."""
    epochs = [*takewhile(lambda epoch: epoch < total, (grace * eta**k for k in count())), total]
    rungs = [[] for _ in epochs]
    promoted = [set() for _ in epochs]
    fresh, ran = list(range(len(curves))), []
    while True:
        for k in reversed(range(len(epochs) - 1)):
            best = sorted(rungs[k], key=lambda job: (-curves[job][epochs[k]], job))[: len(rungs[k]) // eta]
            candidates = [job for job in best if job not in promoted[k]]
            if candidates:
                job, rung = candidates[0], k + 1
                promoted[k].add(job)
                break
        else:
            if not fresh:
                return ran
            job, rung = fresh.pop(0), 0
        rungs[rung].append(job)
        ran.append((job, epochs[rung]))


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("grace", [1, 4, 5])
def test_it_is_algorithm_2_of_the_paper(eta, grace):
    draw = random.Random(eta * 10 + grace)
    curves = [{epoch: draw.random() for epoch in range(1, EPOCHS + 1)} for _ in range(64)]
    scheduler = EarlyStoppingScheduler(one_arm_a_job(64), SuccessiveHalving(eta, grace), DecisionLog(None))
    expected = algorithm_2(curves, eta, grace)
    ran = go(scheduler, curves)
    assert ran[: len(expected)] == expected
    assert len(ran) == len(expected) or all(end < EPOCHS for _, end in expected)


def test_a_lower_value_is_better_where_the_metric_falls():
    curves = [{epoch: float(job) for epoch in range(1, EPOCHS + 1)} for job in range(8)]
    scheduler = EarlyStoppingScheduler(one_arm_a_job(8), SuccessiveHalving(4, 4), DecisionLog(None), rises=False)
    assert [job for job, end in go(scheduler, curves) if end > 4] == [0, 1, 0]


def test_equal_values_are_promoted_in_the_order_of_the_arms():
    curves = [dict.fromkeys(range(1, EPOCHS + 1), 0.5)] * 8
    scheduler = EarlyStoppingScheduler(one_arm_a_job(8), SuccessiveHalving(4, 4), DecisionLog(None))
    assert [job for job, end in go(scheduler, curves) if end == 16] == [0, 1]


@pytest.mark.parametrize("arms", [1, 2, 3, 5, 12, 16, 17])
def test_a_sweep_always_trains_an_arm_to_its_end_and_it_is_the_best_of_the_highest_rung(arms):
    curves = curves_of([(0.1, 0.9 - job / 100) for job in range(arms)])
    scheduler = EarlyStoppingScheduler(one_arm_a_job(arms), SuccessiveHalving(4, 4), DecisionLog(None))
    ran = go(scheduler, curves)
    assert [job for job, end in ran if end == EPOCHS] == [0]
    assert len({job for job, _ in ran}) == arms


def test_where_the_best_fails_on_its_way_to_the_end_the_next_best_is_promoted():
    scheduler = EarlyStoppingScheduler(one_arm_a_job(3), SuccessiveHalving(4, 4), DecisionLog(None))
    for value in (0.3, 0.2, 0.1):
        scheduler.tell(scheduler.ask().job, "paused", {4: value})
    for best in (0, 1, 2):
        assert scheduler.ask() == Assignment(best, 16)
        scheduler.tell(best, "failed", {4: 0.3 - best / 10, 5: 0.1})
    assert scheduler.ask() is None


def seeded(arms, seeds, order):
    jobs = [(arm, seed) for arm in range(arms) for seed in range(seeds)]
    if order == "seeds outside":
        jobs.sort(key=lambda each: each[1])
    return jobs, [Candidate(number, f"arm {arm}", EPOCHS) for number, (arm, _) in enumerate(jobs)]


@pytest.mark.parametrize("order", ["seeds outside", "seeds inside"])
def test_seeds_of_an_arm_are_judged_by_their_mean_and_promoted_together(order):
    jobs, candidates = seeded(8, 3, order)
    # Arm 7's seeds lie far apart: its best one is the best of all, its mean is not.
    spread = {0: 0.4, 1: 0.0, 2: -0.5}
    curves = curves_of([(0.3, 0.5 + arm / 100 + (spread[seed] if arm == 7 else 0)) for arm, seed in jobs])
    scheduler = EarlyStoppingScheduler(candidates, SuccessiveHalving(4, 4), DecisionLog(None))
    ran = [(*jobs[job], end) for job, end in go(scheduler, curves)]
    assert ran[:6] == [(0, 0, 4), (0, 1, 4), (0, 2, 4), (1, 0, 4), (1, 1, 4), (1, 2, 4)]  # arm by arm
    assert [each for each in ran if each[2] == EPOCHS] == [(6, seed, EPOCHS) for seed in range(3)]


def test_an_arm_is_not_compared_while_a_seed_of_it_is_on_its_way():
    candidates = [Candidate(job, str(job // 2), EPOCHS) for job in range(4)]
    scheduler = EarlyStoppingScheduler(candidates, SuccessiveHalving(2, 4), DecisionLog(None))
    asked = [scheduler.ask() for _ in range(4)]
    assert [each.job for each in asked] == [0, 1, 2, 3]
    for job, value in ((0, 0.9), (1, 0.9), (2, 0.1)):
        scheduler.tell(job, "paused", {4: value})
    assert scheduler.standing()[0] == (4, 1, 0)
    assert scheduler.ask() is None
    scheduler.tell(3, "paused", {4: 0.1})
    assert scheduler.ask() == Assignment(0, 8)


def test_a_seed_that_failed_is_left_out_of_the_mean_and_an_arm_of_failed_seeds_out_of_the_rung():
    candidates = [Candidate(job, str(job // 2), EPOCHS) for job in range(6)]
    log = DecisionLog(None)
    scheduler = EarlyStoppingScheduler(candidates, SuccessiveHalving(2, 4), log)
    endings = {0: 0.3, 1: None, 2: None, 3: None, 4: 0.2, 5: 0.1}
    for _ in range(6):
        job = scheduler.ask().job
        scheduler.tell(job, "failed" if endings[job] is None else "paused", {4: endings[job]} if endings[job] else {})
    assert scheduler.ask().job == 0
    assert log.decisions[-1].values == {"0": 0.3, "2": pytest.approx(0.15)}
    assert log.decisions[-1].seeds == {"0": 1, "2": 2}


def test_nobody_waits_for_a_job_that_was_killed_and_the_next_launch_resumes_it(tmp_path):
    path = tmp_path / "decisions.jsonl"
    scheduler = EarlyStoppingScheduler(one_arm_a_job(3), SuccessiveHalving(4, 4), DecisionLog(path))
    for job, ending in ((0, "paused"), (1, "killed"), (2, "paused")):
        assert scheduler.ask() == Assignment(job, 4)
        scheduler.tell(job, ending, {4: 0.5 - job / 10} if ending == "paused" else {1: 0.9})
    assert scheduler.ask() == Assignment(0, 16)  # the best of those that have come
    again = [
        Candidate(0, "0", EPOCHS, "paused", {4: 0.5}),
        Candidate(1, "1", EPOCHS, "killed", {1: 0.9}),
        Candidate(2, "2", EPOCHS, "paused", {4: 0.3}),
    ]
    resumed = EarlyStoppingScheduler(again, SuccessiveHalving(4, 4), DecisionLog(path))
    assert [resumed.ask(), resumed.ask()] == [Assignment(1, 4), Assignment(0, 16)]


def test_a_run_that_ended_by_itself_stands_at_the_later_rungs_with_its_last_value():
    candidates = one_arm_a_job(4)
    scheduler = EarlyStoppingScheduler(candidates, SuccessiveHalving(2, 4), DecisionLog(None))
    for _ in range(2):
        scheduler.ask()
    scheduler.tell(0, "finished", dict.fromkeys(range(1, 4), 0.9))  # stopped by its own patience, before the rung
    scheduler.tell(1, "paused", dict.fromkeys(range(1, 5), 0.2))
    assert [(rung, there) for rung, there, _ in scheduler.standing()] == [(4, 2), (8, 1), (16, 1), (32, 1)]
    assert scheduler.ask().job == 2  # 0 takes the only place, and needs no promotion


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.floats(0, 1)), min_size=1, max_size=14),
    kills=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([None, 0, 0.5, 1])), max_size=5),
    seeds=st.integers(1, 3),
    median=st.booleans(),
)
def test_a_sweep_that_is_killed_and_resumed_takes_the_same_decisions(tmp_path_factory, values, kills, seeds, median):
    """Killed between jobs, or in a job: before its first epoch, in the middle, or after its last, before it paused."""
    curves = curves_of(values)
    ladder = MedianRule(3) if median else SuccessiveHalving(3, 2)
    arms = {job: str(job // seeds) for job in range(len(values))}

    def candidates(reached):
        return [
            Candidate(
                job,
                arms[job],
                EPOCHS,
                endings.get(job),
                {epoch: curves[job][epoch] for epoch in range(1, reached.get(job, 0) + 1)},
            )
            for job in arms
        ]

    endings = {}
    undisturbed_log = DecisionLog(None)
    undisturbed = go(EarlyStoppingScheduler(candidates({}), ladder, undisturbed_log), curves)
    path = tmp_path_factory.mktemp("sweep") / "decisions.jsonl"
    reached, ran = {}, []
    for steps, cut in [*kills, (None, None)]:
        scheduler = EarlyStoppingScheduler(candidates(reached), ladder, DecisionLog(path))
        new = go(scheduler, curves, steps)
        ran += new
        reached |= dict(new)
        endings |= {job: "finished" if end == EPOCHS else "paused" for job, end in new}
        if cut is not None and (killed := scheduler.ask()) is not None:
            start, end = reached.get(killed.job, 0), killed.until or EPOCHS
            reached[killed.job] = start + int(cut * (end - start))
            endings[killed.job] = "killed"
            if path.exists():
                path.write_bytes(path.read_bytes() + b'{"torn')
    assert ran == undisturbed
    assert DecisionLog(path).decisions == [
        each.__class__(**{**each.__dict__, "jobs": tuple(each.jobs)}) for each in undisturbed_log.decisions
    ]


def test_what_was_asked_for_by_a_person_is_trained_to_its_end(tmp_path):
    curves = curves_of([(0.1, 0.9 - job / 100) for job in range(8)])
    path = tmp_path / "decisions.jsonl"
    reached = dict(go(EarlyStoppingScheduler(one_arm_a_job(8), SuccessiveHalving(4, 4), DecisionLog(path)), curves))
    DecisionLog(path).append(Decision("asked", (7,), None, rung=4))
    again = [
        Candidate(
            job,
            str(job),
            EPOCHS,
            "finished" if end == EPOCHS else "paused",
            {epoch: curves[job][epoch] for epoch in range(1, end + 1)},
        )
        for job, end in reached.items()
    ]
    scheduler = EarlyStoppingScheduler(again, SuccessiveHalving(4, 4), DecisionLog(path))
    assert go(scheduler, curves) == [(7, EPOCHS)]  # and nothing else, though it stands at no later rung
    assert [(rung, there) for rung, there, _ in scheduler.standing()] == [(4, 8), (16, 2)]


@pytest.mark.parametrize(
    ("values", "places"),
    [([3.0, 2.0, 1.0], 3), ([4.0, 3.0, 2.0, 1.0], 2), ([5.0, 4.0, 3.0, 2.0, 1.0], 3), ([2.0, 1.0, 1.0, 1.0, 0.0], 4)],
)
def test_the_median_lets_those_go_on_that_are_not_below_it(values, places):
    assert MedianRule(2).places(values) == places


@pytest.mark.parametrize(("epochs", "rungs"), [(40, (4, 16)), (16, (4,)), (4, ()), (65, (4, 16, 64))])
def test_rungs_lie_before_the_last_epoch(epochs, rungs):
    assert SuccessiveHalving(4, 4).rungs(epochs) == rungs


def test_what_is_left_as_it_is_is_compared_and_not_trained():
    candidates = [
        Candidate(0, "0", EPOCHS, "paused", {4: 0.9}, is_left=True),
        Candidate(1, "1", EPOCHS, "paused", {4: 0.8}),
        Candidate(2, "2", EPOCHS, "paused", {4: 0.1}),
        Candidate(3, "3", EPOCHS),
    ]
    scheduler = EarlyStoppingScheduler(candidates, SuccessiveHalving(2, 4), DecisionLog(None))
    assert scheduler.ask() == Assignment(3, 4)  # 0 has the only place of three
    scheduler.tell(3, "paused", {4: 0.2})
    assert scheduler.ask() == Assignment(1, 8)  # the second of four
