"""Each kind of claim on made runs whose right verdict is known."""

import pytest
from made_runs import make_run

from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.published import Comparison, Published, compare_with_published, published_values
from cifar_sweeps.studies.ranking import rank_arms
from cifar_sweeps.studies.reports.claims_table import claim_records, claims_table
from cifar_sweeps.studies.reports.report_tables import published_tables, ranking_table
from cifar_sweeps.studies.validity.comparability import Departure
from cifar_sweeps.studies.validity.expected_effects import judge_effect, p_of_effect
from cifar_sweeps.studies.validity.significance import holm, p_value, prediction_half_width, sampling_error
from cifar_sweeps.studies.verdicts import evaluate_claims

ORIGINAL = {"data": "CIFAR-10"}


def judged(claim, runs, departures=None, histories=None):
    plain = {"says": "A beats B", "where": "document 1", "metric": "val/accuracy", "arm": "A", "expects": "higher"}
    against = {} if "than" in claim else {"against": "B"}
    (result,) = evaluate_claims(read_claims([{**plain, **against, **claim}]), runs, histories or {}, departures)
    return result


@pytest.fixture
def pair():
    def make(tags=ORIGINAL, difference=0.1, **more):
        return [
            make_run(arm, seed, {"experiment": arm}, tags, val__accuracy=0.6 + shift + seed / 1000, **more)
            for arm, shift in (("A", difference), ("B", 0))
            for seed in (0, 1, 2)
        ]

    return make


@pytest.mark.parametrize(
    ("claim", "difference", "verdict"),
    [
        ({}, 0.1, "agrees"),
        ({"strength": "hedged"}, 0.1, "supports"),
        ({"strength": "hedged"}, -0.1, "does not support"),
        (
            {"own_document": "dog .61 < cat .69"},
            0.1,
            "agrees (the document's own figures say otherwise: dog .61 < cat .69)",
        ),
    ],
)
def test_what_a_document_only_thinks_likely_is_never_contradicted(pair, claim, difference, verdict):
    runs = pair(difference=difference)
    for run in runs:  # no noise: the verdict is that of the difference
        assert run.seed in (0, 1, 2)
    assert judged(claim, runs).verdict == verdict


@pytest.mark.parametrize("where", ["document 1", "our question"])
def test_a_document_s_claim_is_not_judged_of_another_training(pair, where):
    other = {"A": [Departure("trainer.batch_size", 256, 10)]}
    verdict = judged({"where": where}, pair(), other).verdict
    assert verdict == (
        "agrees" if where == "our question" else "not decided: trained otherwise (batch size 10 instead of 256)"
    )


def test_a_key_that_the_claim_itself_compares_is_no_departure(pair):
    claim = {"arm": {"experiment": "A", "optimizer": "sgd"}, "against": {"experiment": "B"}}
    runs = [*pair()]
    runs[:3] = [type(run)(**{**vars(run), "swept": {**run.swept, "optimizer": "sgd"}}) for run in runs[:3]]
    assert judged(claim, runs, {"A": [Departure("optimizer", "Adam", "SGD")]}).verdict == "agrees"


def test_a_test_figure_against_a_validation_figure():
    runs = [
        make_run("A", seed, {"experiment": "A"}, ORIGINAL, test__accuracy=0.70 + seed / 1000, val__accuracy=0.705)
        for seed in (0, 1, 2)
    ]
    claim = {"metric": "test/accuracy", "against": "A", "against_metric": "val/accuracy", "expects": "same"}
    assert judged(claim, runs).verdict == "agrees"


def test_a_figure_of_a_class():
    runs = [
        make_run("A", seed, {"experiment": "A"}, ORIGINAL, test__recall__ship=0.92 + seed / 1000) for seed in (0, 1)
    ]
    assert judged({"metric": "test/recall/ship", "than": 0.9}, runs).verdict == "agrees"


@pytest.mark.parametrize(
    ("data", "accuracy", "claim", "verdict"),
    [
        ("CIFAR-10", 0.73, {}, "contradicts"),
        ("a copy", 0.73, {}, "contradicts"),
        ("a copy", 0.73, {"needs_original_images": True}, "not decided: needs CIFAR-10's own images, not a copy"),
        ("a copy", 0.73, {"copy_allowance": 0.04}, "not decided: within 0.04, the allowance for a copy of the images"),
        ("a copy", 0.60, {"copy_allowance": 0.04}, "contradicts"),
        ("CIFAR-10", 0.73, {"copy_allowance": 0.04}, "contradicts"),
        ("a copy", 0.78, {"copy_allowance": 0.04}, "agrees"),
    ],
)
def test_a_level_on_a_copy_of_the_images_has_an_allowance(data, accuracy, claim, verdict):
    runs = [
        make_run("A", seed, {"experiment": "A"}, {"data": data}, val__accuracy=accuracy + seed / 1000)
        for seed in (0, 1, 2)
    ]
    assert judged({"than": 0.75, **claim}, runs).verdict == verdict


def test_seconds_of_a_sweep_decide_nothing(pair):
    runs = [type(run)(**{**vars(run), "metrics": {"seconds_an_epoch": run.metrics["val/accuracy"]}}) for run in pair()]
    assert judged({"metric": "seconds_an_epoch"}, runs).verdict.startswith("not decided: seconds of a sweep")


def decided_alone(*accuracies):
    """Return runs of arms with these accuracies by seed, and claims that each is higher than an arm of 0.5."""
    runs = [
        make_run(f"{letter}{n}", seed, {"experiment": f"{letter}{n}"}, ORIGINAL, val__accuracy=0.5 + more)
        for n, values in enumerate(accuracies)
        for letter, added in (("A", values), ("B", [0.0] * len(values)))
        for seed, more in enumerate(added)
    ]
    plain = {"where": "d", "metric": "val/accuracy", "expects": "higher"}
    claims = [{**plain, "says": str(n), "arm": f"A{n}", "against": f"B{n}"} for n in range(len(accuracies))]
    return read_claims(claims), runs


def test_claims_that_do_not_stand_together_say_so_beside_the_verdict_alone():
    # Of each claim alone p is .035; of two, the smaller one has to be below .025.
    claims, runs = decided_alone((0.02, 0.03, 0.04), (0.02, 0.03, 0.04))
    (alone,) = evaluate_claims(claims[:1], runs, {})
    assert (alone.verdict, alone.together, alone.p_together) == ("agrees", "agrees", alone.p)
    for result in evaluate_claims(claims, runs, {}):
        assert (result.verdict, result.together) == ("agrees", "not decided")
        assert result.p_together == pytest.approx(2 * 0.03509, abs=1e-4)


def test_what_is_judged_counts_even_undecided_and_what_cannot_be_judged_does_not():
    # p = .035 of the first, 1 of the second; the third has one seed, the fourth no runs.
    claims, runs = decided_alone((0.02, 0.03, 0.04), (-0.01, 0, 0.01), (0.5,))
    claims += read_claims([{"says": "4", "metric": "val/accuracy", "arm": "C", "against": "A0", "expects": "higher"}])
    first, second, third, fourth = evaluate_claims(claims, runs, {})
    assert (first.verdict, first.together, first.p_together) == ("agrees", "not decided", pytest.approx(2 * first.p))
    assert (second.verdict, second.together) == ("not decided by this much data", "not decided")
    assert (third.p, third.together, fourth.p, fourth.together) == (None, "", None, "")
    table = claims_table([first, second, third, fourth])
    assert "2 claims are judged here, decided or not. 2 more cannot be judged, and do not count." in table.note
    titles = [column.title for column in table.columns]
    assert [row[titles.index("together")] for row in table.rows] == ["not decided", "not decided", "–", "–"]
    assert table.rows[0][titles.index("p")] == "0.0351"
    assert table.rows[0][titles.index("p together")] == "0.0702"
    records = claim_records([first, second, third, fourth])
    assert [record["judged"] for record in records] == [2] * 4
    assert records[0]["verdict_together"] == "not decided"
    assert records[3]["effect"] is None


def test_a_table_of_one_claim_speaks_of_no_others():
    claims, runs = decided_alone((0.02, 0.03, 0.04))
    table = claims_table(evaluate_claims(claims, runs, {}))
    assert "together" not in [column.title for column in table.columns]
    assert "judged" not in table.note


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [  # of statsmodels 0.15, multipletests(p, method="holm")
        ([0.04, 0.0001], [0.04, 0.0002]),
        ([0.04, 0.03], [0.06, 0.06]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205], [0.008, 0.056, *[0.234] * 6]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([], []),
    ],
    ids=["both", "neither", "one of three", "eight", "at most one", "none"],
)
def test_adjusted_p_values_are_those_of_statsmodels(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted)


@pytest.mark.parametrize("expects", ["higher", "lower", "same", "not_higher", "not_lower"])
@pytest.mark.parametrize("mean", [-0.06, -0.03, -0.011, -0.004, 0.0, 0.004, 0.011, 0.03, 0.06])
@pytest.mark.parametrize("half", [0.003, 0.008, 0.02, 0.04])
def test_p_is_at_most_five_percent_where_the_verdict_is_decided(expects, mean, half):
    effect = Estimate(mean, half, 4)
    decided = judge_effect(effect, expects, 0.01) in ("agrees", "contradicts")
    assert (p_of_effect(effect, expects, 0.01) <= 0.05) == decided


def test_p_of_two_values_that_are_the_same_is_that_of_two_one_sided_tests():
    values = [0.001, 0.004, -0.002, 0.003]
    effect = estimate(values)
    # scipy 1.17: the larger p of ttest_1samp(values, 0.01, alternative="less") and (values, -0.01, "greater")
    assert p_of_effect(effect, "same", 0.01) == pytest.approx(2 * 0.003820419471073747, rel=1e-6)


def test_an_allowance_for_a_copy_counts_in_p_as_in_the_verdict():
    effect = estimate([-0.05, -0.06, -0.055])
    assert p_of_effect(effect, "higher", 0.01) < 0.05
    assert p_of_effect(effect, "higher", 0.01, allowance=0.06) > 0.05
    assert p_of_effect(effect, "higher", 0.01, allowance=0.02) < 0.05


@pytest.mark.parametrize(
    ("expects", "mean", "p"),
    [("higher", 0.0, 1.0), ("higher", 0.01, 0.0), ("not_higher", 0.01, 0.0), ("same", 0.01, 0.0)],
)
def test_values_without_any_spread_are_decided_or_not(expects, mean, p):
    assert p_of_effect(Estimate(mean, 0.0, 3), expects, 0.01) == p


def test_p_and_the_noise_of_one_more_run_are_students():
    effect = estimate([0.02, 0.03, 0.04])  # t = .03 / (.01 / √3) = 5.196; two-sided, two degrees of freedom
    assert p_value(effect) == pytest.approx(0.03509, abs=1e-4)
    assert p_value(effect, 0.03) == pytest.approx(1.0)
    assert prediction_half_width(effect) == pytest.approx(4.302653 * 0.01 * (1 + 1 / 3) ** 0.5, rel=1e-6)
    assert p_value(estimate([0.5])) is None
    assert sampling_error(0.78, 10_000) == pytest.approx(0.00812, abs=1e-5)


def test_published_figures_of_another_training_stand_apart():
    runs = [make_run("A", seed, tags=ORIGINAL, val__accuracy=0.7 + seed / 100) for seed in (0, 1, 2)]
    configs = {"A": {"published": [{"metric": "val/accuracy", "value": 0.73, "where": "figure 1"}]}}
    (same,) = published_tables(compare_with_published(runs, {}, configs))
    assert same.rows[0][2:6] == ("0.7300", "0.7100 ± 0.0248", "3", "-0.0200")
    assert same.rows[0][6] == "possible"
    together, apart = published_tables(
        compare_with_published(runs, {}, configs, {"A": [Departure("trainer.batch_size", 256, 10)]})
    )
    assert together.rows == ()
    assert apart.title == "Not the same training as published"
    assert apart.rows[0][:2] == ("A", "batch size 10 instead of 256")


def test_extremes_classes_and_curves_from_a_later_epoch():
    entries = [
        {"metric": "val/accuracy", "value": 0.8, "extreme": "max", "first_epoch": 2, "epoch": 3, "where": "w"},
        {"metric": "test/recall", "by_class": {"cat": 0.5, "dog": 0.6}, "where": "w"},
        {"metric": "val/loss", "values": [1.0, 0.9], "first_epoch": 4, "where": "w"},
    ]
    assert published_values(entries, 5) == [
        Published("val/accuracy", 0.8, "w", 3, None, 2, "max"),
        Published("test/recall/cat", 0.5, "w"),
        Published("test/recall/dog", 0.6, "w"),
        Published("val/loss", 0.9, "w", 5, 5),
    ]
    assert [each.metric for each in published_values(entries, 3)][-1] == "test/recall/dog"  # its curve begins later


def test_an_extreme_is_measured_over_its_epochs():
    history = {"train/loss": {1: 1.0, 2: 0.9, 3: 0.8, 4: 0.7}, "val/accuracy": {1: 0.9, 2: 0.3, 3: 0.5, 4: 0.8}}
    configs = {
        "A": {
            "published": [
                {"metric": "val/accuracy", "value": 0.5, "extreme": "max", "first_epoch": 2, "epoch": 3, "where": "w"}
            ]
        }
    }
    (found,) = compare_with_published([make_run("A", val__accuracy=0.8)], {"A-0": history}, configs)
    assert isinstance(found, Comparison)
    assert found.measured.mean == 0.5


def test_a_test_accuracy_says_how_much_of_it_is_its_images():
    runs = [
        make_run("A", seed, tags={"test_images": "10000"}, test__accuracy=0.78, val__accuracy=0.8) for seed in (0, 1)
    ]
    table = ranking_table(rank_arms(runs))
    (row,) = table.rows
    assert row[[column.title for column in table.columns].index("± drawn")] == "0.0081"
    assert "which images the test set has" in table.note
    unknown = ranking_table(rank_arms([make_run("A", val__accuracy=0.8)]))
    assert "± drawn" not in [column.title for column in unknown.columns]
