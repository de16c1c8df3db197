import itertools
import math

import numpy as np
import pytest

from cifar_sweeps.search.pareto import pareto_front


@pytest.mark.parametrize(
    ("points", "rises", "front"),
    [
        ([], (True, False), []),
        ([(0.5, 3.0)], (True, False), [0]),
        ([(0.5, 3.0), (0.6, 2.0)], (True, False), [1]),
        ([(0.5, 3.0), (0.6, 4.0)], (True, False), [0, 1]),
        ([(0.5, 3.0), (0.6, 4.0)], (True, True), [1]),
        ([(0.5, 3.0), (0.5, 3.0), (0.4, 3.0)], (True, False), [0, 1]),
        ([(0.5, 3.0), (0.5, 2.0)], (True, False), [1]),
        ([(math.nan, 1.0), (0.1, 2.0)], (True, False), [1]),
        ([(0.1,), (0.3,), (0.3,)], (True,), [1, 2]),
    ],
    ids=["none", "one", "better in both", "a trade", "both rise", "equal", "better in one", "no number", "single"],
)
def test_what_no_other_point_surpasses(points, rises, front):
    assert pareto_front(points, rises) == front


def test_random_points_against_optunas_own_front():
    optuna = pytest.importorskip("optuna")
    points = np.random.default_rng(0).integers(0, 6, (60, 3)).astype(float)
    study = optuna.create_study(directions=["maximize", "minimize", "maximize"])
    for point in points:
        study.add_trial(optuna.create_trial(values=[*point]))
    expected = sorted(trial.number for trial in study.best_trials)
    assert pareto_front(points.tolist(), (True, False, True)) == expected


def test_points_that_are_not_on_the_front_are_surpassed_by_one_that_is():
    points = [*itertools.product((1.0, 2.0, 3.0), repeat=2)]
    front = pareto_front(points, (False, False))
    assert [points[place] for place in front] == [(1.0, 1.0)]
