"""Omega squared and its intervals: by hand, against the noncentral F distribution, and over drawn grids."""

import numpy as np
import pytest
from scipy.special import chndtrinc, ncfdtr, ncfdtrinc

from cifar_sweeps.analysis.importance.shares import noncentrality, variance_shares
from cifar_sweeps.analysis.importance.variance import Effect, VarianceAnalysis, analyse_variance


def of_one_key(between, within, levels, seeds):
    effect, residual = Effect(("a",), levels - 1, between), Effect((), levels * (seeds - 1), within)
    return VarianceAnalysis((effect,), residual, between + within, levels * seeds, levels, levels, True, True)


def test_omega_squared_by_hand():
    means = {("0", "x"): 10, ("0", "y"): 20, ("0", "z"): 30, ("1", "x"): 20, ("1", "y"): 30, ("1", "z"): 70}
    rows = [(a, b, mean + noise) for (a, b), mean in means.items() for noise in (-1, 0, 1)]
    factors = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    found = variance_shares(analyse_variance(factors, [row[2] for row in rows]))
    # (SS − df · MS of the residual) / (total + MS): squares 1800, 3900, 900, of 6612 in all; MS 1.
    assert found.measure == "omega squared"
    assert [share.value for share in found.effects] == pytest.approx([1799 / 6613, 3898 / 6613, 898 / 6613])
    assert found.rest.value == pytest.approx(18 / 6613)
    assert sum(share.value for share in (*found.effects, found.rest)) == pytest.approx(1)
    assert [share.f for share in found.effects] == pytest.approx([1800, 1950, 450])
    assert found.effects[0].p < 1e-12


def test_the_f_test_is_that_of_the_textbook():
    # ToothGrowth's supplement: F(1, 54) = 15.572, p = .0002312 (R, aov)
    analysis = VarianceAnalysis(
        (Effect(("supplement",), 1, 205.35),), Effect((), 54, 712.106), 3452.209, 60, 6, 6, True, True
    )
    (share,) = variance_shares(analysis).effects
    assert (share.f, share.p) == (pytest.approx(15.571979, rel=1e-6), pytest.approx(2.311828e-04, rel=1e-5))


@pytest.mark.parametrize(("between", "levels", "seeds"), [(2.0, 3, 5), (40.0, 3, 5), (400.0, 4, 3), (12.0, 2, 2)])
def test_the_interval_of_a_single_key_is_that_of_the_noncentral_f(between, levels, seeds):
    analysis = of_one_key(between, 8.0, levels, seeds)
    (share,) = variance_shares(analysis).effects
    freedom = levels - 1, levels * (seeds - 1)
    # The noncentralities at which so large an F, or a larger one, has a probability of 2.5%, and of 97.5%
    low, high = (float(ncfdtrinc(*freedom, level, share.f)) for level in (0.975, 0.025))
    low = 0.0 if ncfdtr(*freedom, 0.0, share.f) < 0.975 else low
    runs = levels * seeds
    assert share.low == pytest.approx(low / (low + runs), abs=0.015)
    assert share.high == pytest.approx(high / (high + runs), abs=0.015)


def test_the_interval_holds_the_true_share():
    alpha, beta = np.array([-1.0, 1.0]), np.array([0.7, -0.2, -0.5])
    means, noise, seeds = alpha[:, None] + beta[None], 0.5, 3
    parts = np.array([1.0, (beta**2).mean(), 0.0, noise**2])
    true = parts / parts.sum()
    factors = {
        "a": [str(i) for i in range(2) for _ in range(3) for _ in range(seeds)],
        "b": [str(j) for _ in range(2) for j in range(3) for _ in range(seeds)],
    }
    draw, drawn = np.random.default_rng(3), 25
    hits, values = np.zeros(4), np.zeros(4)
    for _ in range(drawn):
        found = variance_shares(
            analyse_variance(factors, (means[:, :, None] + draw.normal(0, noise, (2, 3, 3))).ravel())
        )
        shares = (*found.effects, found.rest)
        hits += [share.low <= wanted <= share.high for share, wanted in zip(shares, true, strict=True)]
        values += [share.value for share in shares]
    assert (hits >= 21).all()  # of 25, at 95% each; the draws are always the same
    assert values / drawn == pytest.approx(true, abs=0.04)


def test_a_key_that_does_nothing_has_an_interval_from_zero():
    (share,) = variance_shares(of_one_key(1.0, 8.0, 3, 5)).effects
    assert share.value < 0
    assert share.low == 0.0
    assert 0 < share.high < 0.5


def test_single_runs_have_eta_squared_and_no_interval():
    found = variance_shares(analyse_variance({"a": list("0011"), "b": list("xyxy")}, [1.0, 2.0, 3.0, 6.0]))
    assert found.measure == "eta squared"
    assert [share.value for share in found.effects] == pytest.approx([9 / 14, 4 / 14])
    assert [(share.low, share.high) for share in found.effects] == [(None, None)] * 2
    assert found.rest.value == pytest.approx(1 / 14)


def test_seeds_that_change_nothing_leave_nothing_open():
    found = variance_shares(analyse_variance({"a": list("0011")}, [1.0, 1.0, 2.0, 2.0]))
    (share,) = found.effects
    assert (share.value, share.low, share.high) == pytest.approx((1.0, 1.0, 1.0))
    assert share.f is None
    assert (found.rest.value, found.rest.low, found.rest.high) == (0.0, 0.0, 0.0)


def test_the_same_runs_have_the_same_interval():
    first, second = (variance_shares(of_one_key(40.0, 8.0, 3, 5)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("freedom", [1, 3, 10])
def test_a_large_noncentrality_is_that_of_scipy(freedom):
    probability = np.array([0.025, 0.5, 0.975])
    value = np.full(3, 2500.0)  # beyond the limit from which on it is computed otherwise
    wanted = chndtrinc(value, freedom, probability)
    assert noncentrality(value, freedom, probability) == pytest.approx(wanted, rel=2e-4)
    assert noncentrality(np.array([1.0]), freedom, np.array([0.9999])) == [0.0]
