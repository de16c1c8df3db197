"""The difference of two settings against SciPy's t tests."""

import numpy as np
import pytest
from scipy import stats

from cifar_sweeps.studies.validity.settings_difference import compare_settings

FIRST = [(0, 0.71), (1, 0.74), (2, 0.70), (3, 0.73)]
SECOND = [(0, 0.70), (1, 0.71), (2, 0.69), (3, 0.69)]


def values(pairs):
    return np.array([value for _, value in pairs])


def test_common_seeds_are_paired():
    found = compare_settings(FIRST, SECOND)
    wanted = stats.ttest_rel(values(FIRST), values(SECOND))
    assert found.method == "paired"
    assert found.seeds == (0, 1, 2, 3)
    assert found.p == pytest.approx(wanted.pvalue)
    assert (found.effect.low, found.effect.high) == pytest.approx(wanted.confidence_interval())
    assert found.is_decided == (wanted.pvalue < 0.05)


def test_other_seeds_are_two_samples_of_unequal_variance():
    shifted = [(seed + 10, value) for seed, value in SECOND[:3]]
    found = compare_settings(FIRST, shifted)
    wanted = stats.ttest_ind(values(FIRST), values(shifted), equal_var=False)
    assert found.method == "welch"
    assert found.p == pytest.approx(wanted.pvalue)
    assert (found.effect.low, found.effect.high) == pytest.approx(wanted.confidence_interval())


def test_runs_without_a_partner_are_counted():
    found = compare_settings(FIRST, [(2, 0.69), (3, 0.69), (9, 0.5)])
    wanted = stats.ttest_rel([0.70, 0.73], [0.69, 0.69])
    assert (found.method, found.seeds, found.left_out) == ("paired", (2, 3), 3)
    assert found.p == pytest.approx(wanted.pvalue)


@pytest.mark.parametrize(
    ("second", "method"),
    [([(0, 0.5)], "none"), ([(7, 0.5)], "none"), ([(None, 0.6), (None, 0.7)], "welch"), ([(0, float("nan"))], None)],
    ids=["one common seed", "one run", "unknown seeds", "no value"],
)
def test_what_seeds_cannot_tell_has_no_interval(second, method):
    found = compare_settings(FIRST, second)
    assert (None if found is None else found.method) == method
    if method == "none":
        assert (found.effect.half_width, found.p, found.is_decided) == (None, None, False)


def test_equal_values_differ_by_nothing():
    found = compare_settings([(0, 0.5), (1, 0.5)], [(2, 0.5), (3, 0.5)])
    assert (found.effect.mean, found.p, found.is_decided) == (0.0, 1.0, False)
