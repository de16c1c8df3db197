"""McNemar's test and the paired interval against enumeration, SciPy and a numerical maximum likelihood."""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from cifar_sweeps.analysis.comparison.mcnemar import PairedCounts, count_pairs
from cifar_sweeps.errors import DataError


@pytest.mark.parametrize("discordant", range(11))
def test_the_exact_p_is_the_share_of_all_outcomes_that_are_no_likelier(discordant):
    outcomes = [sum(tosses) for tosses in itertools.product((0, 1), repeat=discordant)]
    for observed in range(discordant + 1):
        extreme = abs(2 * observed - discordant)
        share = sum(abs(2 * heads - discordant) >= extreme for heads in outcomes) / len(outcomes)
        assert PairedCounts(5, observed, discordant - observed, 3).p_exact == pytest.approx(share, abs=1e-12)
        equal = sum(abs(2 * heads - discordant) == extreme for heads in outcomes) / len(outcomes)
        mid = 1.0 if discordant == 0 else share - equal / 2
        assert PairedCounts(5, observed, discordant - observed, 3).p_mid == pytest.approx(mid, abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 14), (250, 250), (611, 523), (0, 4000)])
def test_the_exact_p_is_scipys(first, second):
    found = PairedCounts(4000, first, second, 1000).p_exact
    assert found == pytest.approx(stats.binomtest(first, first + second, 0.5).pvalue, rel=1e-9, abs=1e-300)


def _score_at(counts, difference):
    """The score statistic, its nuisance probability by a numerical search instead of the closed form."""
    n, first, second = counts.images, counts.only_first, counts.only_second

    def surprise(only_second):
        cells = (only_second + difference, only_second, 1 - 2 * only_second - difference)
        numbers = (first, second, n - first - second)
        return -sum(k * math.log(max(p, 1e-300)) for k, p in zip(numbers, cells, strict=True) if k)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    likeliest = optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    return (first - second - n * difference) / math.sqrt(n * (2 * likeliest + difference - difference**2))


@pytest.mark.parametrize(
    "counts",
    [PairedCounts(12, 1, 7, 1), PairedCounts(70, 12, 9, 9), PairedCounts(7000, 611, 523, 1866)],
    ids=["21 images", "100 images", "10,000 images"],
)
def test_the_limits_are_where_the_score_test_just_does_not_reject(counts):
    low, high = counts.interval
    assert low < counts.difference < high
    assert _score_at(counts, low) == pytest.approx(stats.norm.ppf(0.975), abs=1e-4)
    assert _score_at(counts, high) == pytest.approx(-stats.norm.ppf(0.975), abs=1e-4)


@pytest.mark.parametrize(("only_first", "only_second"), [(0.1, 0.1), (0.25, 0.05), (0.02, 0.1)])
def test_the_interval_holds_the_truth_as_often_as_it_says(only_first, only_second):
    n, covered = 40, 0.0
    for first in range(n + 1):
        for second in range(n + 1 - first):
            weight = stats.multinomial.pmf(
                [first, second, n - first - second], n, [only_first, only_second, 1 - only_first - only_second]
            )
            if weight > 1e-7:
                low, high = PairedCounts(n - first - second, first, second, 0).interval
                covered += weight * (low <= only_first - only_second <= high)
    assert 0.93 < covered < 0.99


@pytest.mark.parametrize(
    ("counts", "within"),
    [
        (PairedCounts(50, 0, 0, 0), (-0.08, 0.08)),
        (PairedCounts(0, 5, 0, 0), (0.0, 1.0)),
        (PairedCounts(0, 0, 1, 0), (-1.0, 1.0)),
    ],
    ids=["all alike", "all discordant", "one image"],
)
def test_the_interval_is_sane_at_the_edges(counts, within):
    low, high = counts.interval
    assert within[0] <= low <= counts.difference <= high <= within[1]
    assert low < high


def test_pairs_are_counted():
    first = np.array([True, True, False, False, True])
    second = np.array([True, False, True, False, False])
    counts = count_pairs(first, second)
    assert counts == PairedCounts(1, 2, 1, 1)
    assert (counts.images, counts.discordant, counts.difference) == (5, 3, pytest.approx(0.2))


@pytest.mark.parametrize(
    ("first", "second"), [(np.ones(3, bool), np.ones(4, bool)), (np.ones(0, bool),) * 2], ids=["others", "none"]
)
def test_predictions_of_other_images_are_not_paired(first, second):
    with pytest.raises(DataError, match="not of the same images"):
        count_pairs(first, second)
