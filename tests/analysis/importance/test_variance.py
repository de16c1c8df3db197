"""Sums of squares against hand-made, textbook and statsmodels' numbers: full, unbalanced, incomplete, nested grids."""

import itertools

import pytest

from cifar_sweeps.analysis.importance.variance import analyse_variance
from cifar_sweeps.errors import DataError

# Crampton 1947, the guinea pigs' teeth of R's ToothGrowth: supplement, dose, ten animals each.
TEETH = {
    ("VC", "0.5"): "4.2 11.5 7.3 5.8 6.4 10 11.2 11.2 5.2 7",
    ("VC", "1"): "16.5 16.5 15.2 17.3 22.5 17.3 13.6 14.5 18.8 15.5",
    ("VC", "2"): "23.6 18.5 33.9 25.5 26.4 32.5 26.7 21.5 23.3 29.5",
    ("OJ", "0.5"): "15.2 21.5 17.6 9.7 14.5 10 8.2 9.4 16.5 9.7",
    ("OJ", "1"): "19.7 23.3 23.6 26.4 20 25.2 25.8 21.2 14.5 27.3",
    ("OJ", "2"): "25.5 26.4 22.4 24.5 24.8 30.9 26.4 27.3 29.4 23",
}

UNBALANCED = (
    -0.0132, -0.0025, 0.0142, 0.0214, 0.0111, 0.0245, 0.0563, 0.0427, 0.0277, 0.0004, 0.026, 0.012, 0.0027, 0.0192,
    0.0084, 0.0437, 0.0451, 0.0655, 0.0594, 0.0541, 0.0841, 0.0883, 0.0636, 0.1074, 0.1002, 0.1083, 0.0871, 0.0996,
    0.107, 0.0995, 0.106,
)  # fmt: skip
"""Values of a 2×3×2 grid with three seeds a cell, in the order of the cells, without the runs of `MISSING`."""
MISSING = (0, 7, 8, 20, 31)


def grid(values, *names):
    """Return factors and values. values: by cell, a tuple of levels, those of its seeds."""
    rows = [(cell, value) for cell, of_cell in values.items() for value in of_cell]
    factors = {name: [cell[i] for cell, _ in rows] for i, name in enumerate(names)}
    return factors, [value for _, value in rows]


def squares(found):
    return {effect.keys: (effect.freedom, effect.sum_of_squares) for effect in found.effects}


def assert_squares(found, wanted, rel=1e-6):
    """Compare the effects' degrees of freedom and sums of squares with those wanted."""
    assert {keys: freedom for keys, (freedom, _) in squares(found).items()} == {k: v[0] for k, v in wanted.items()}
    assert {keys: ss for keys, (_, ss) in squares(found).items()} == pytest.approx(
        {k: v[1] for k, v in wanted.items()}, rel=rel
    )


def unbalanced(without=()):
    cells = [cell for cell in itertools.product("ab", "xyz", "12") for _ in range(3)]
    rows = [cell for i, cell in enumerate(cells) if i not in MISSING]
    kept = [(cell, value) for cell, value in zip(rows, UNBALANCED, strict=True) if cell not in without]
    return {name: [cell[i] for cell, _ in kept] for i, name in enumerate("abc")}, [value for _, value in kept]


def test_a_grid_of_two_keys_by_hand():
    means = {("0", "x"): 10, ("0", "y"): 20, ("0", "z"): 30, ("1", "x"): 20, ("1", "y"): 30, ("1", "z"): 70}
    found = analyse_variance(*grid({cell: [mean - 1, mean, mean + 1] for cell, mean in means.items()}, "a", "b"))
    # Mean 30; of a 20 and 40, nine runs each; of b 15, 25 and 50, six runs each; 3 · Σ(cell − 30)² = 6600.
    assert_squares(found, {("a",): (1, 1800), ("b",): (2, 3900), ("a", "b"): (2, 900)})
    assert (found.residual.freedom, found.residual.sum_of_squares) == (12, pytest.approx(12))
    assert found.total == pytest.approx(6612)
    assert (found.runs, found.cells, found.possible, found.is_balanced, found.is_replicated) == (18, 6, 6, True, True)


def test_the_teeth_of_the_textbook():
    found = analyse_variance(
        *grid({cell: [float(text) for text in texts.split()] for cell, texts in TEETH.items()}, "supplement", "dose")
    )
    assert_squares(
        found, {("supplement",): (1, 205.35), ("dose",): (2, 2426.434333), ("supplement", "dose"): (2, 108.319)}
    )
    assert (found.residual.freedom, found.residual.sum_of_squares) == (54, pytest.approx(712.106))


def test_an_unbalanced_grid_has_the_type_ii_squares_of_statsmodels():
    found = analyse_variance(*unbalanced())
    # statsmodels 0.15: anova_lm(ols("y ~ C(a)+C(b)+C(c)+C(a):C(b)+C(a):C(c)+C(b):C(c)"), typ=2), and the residual of
    # C(a)*C(b)*C(c)
    assert_squares(
        found,
        {
            ("a",): (1, 0.03241063332),
            ("b",): (2, 0.006315903102),
            ("c",): (1, 0.001604620408),
            ("a", "b"): (2, 0.002288108998),
            ("a", "c"): (1, 4.158336548e-05),
            ("b", "c"): (2, 0.0005231716402),
            (): (2, 0.00015967531970649974),
        },
        rel=1e-8,
    )
    assert (found.residual.freedom, found.residual.sum_of_squares) == (19, pytest.approx(0.0015576033333333328))
    assert not found.is_balanced
    assert (found.cells, found.possible) == (12, 12)


def test_a_grid_that_lacks_a_cell_has_the_type_ii_squares_of_statsmodels():
    found = analyse_variance(*unbalanced(without=[("b", "z", "1")]))
    higher = squares(found)[()]
    assert_squares(
        found,
        {
            ("a",): (1, 0.0249292521),
            ("b",): (2, 0.006165244658),
            ("c",): (1, 0.00148669665),
            ("a", "b"): (2, 0.001830993016),
            ("a", "c"): (1, 1.76e-07),
            ("b", "c"): (2, 0.0005072938929),
            (): (1, higher[1]),
        },
        rel=1e-6,
    )
    # Cell means of the whole model less those of the one above, as statsmodels gives its residual
    assert higher[1] + found.residual.sum_of_squares == pytest.approx(0.0015587608333333333)
    assert (found.cells, found.possible, found.is_balanced) == (11, 12, False)


def test_a_key_within_another_by_hand():
    # Momentum 0 or 0.9 with sgd alone; two seeds. Means: sgd 2 and 6, adam 10.
    values = {("sgd", "0"): [1, 3], ("sgd", "0.9"): [5, 7], ("adam", ""): [9, 11]}
    found = analyse_variance(*grid(values, "optimizer", "momentum"), within={"momentum": "optimizer"})
    # optimizer: sgd's four runs have mean 4, adam's two 10, all 6: 4 · 4 + 2 · 16. momentum: 2 · (4 + 4).
    assert_squares(found, {("optimizer",): (1, 48), ("momentum",): (1, 16)})
    assert (found.residual.freedom, found.residual.sum_of_squares) == (3, pytest.approx(6))
    assert (found.cells, found.possible, found.is_balanced) == (3, 3, True)


def test_a_key_within_another_is_crossed_with_a_third():
    cells = {
        (optimizer, momentum, model): [base + (model == "b") * step, base + (model == "b") * step + 0.1]
        for (optimizer, momentum, base, step) in (("sgd", "0", 1, 1), ("sgd", "0.9", 2, 3), ("adam", "", 4, 1))
        for model in "ab"
    }
    found = analyse_variance(*grid(cells, "optimizer", "momentum", "model"), within={"momentum": "optimizer"})
    names = {effect.keys: effect.freedom for effect in found.effects}
    assert names == {
        ("optimizer",): 1, ("momentum",): 1, ("model",): 1, ("optimizer", "model"): 1, ("momentum", "model"): 1,
    }  # fmt: skip
    # momentum × model within sgd: steps 1 and 3; 2 runs a cell: 4 cells of ±0.5
    assert squares(found)["momentum", "model"][1] == pytest.approx(8 * 0.25)


def test_single_runs_leave_interactions_to_the_rest():
    found = analyse_variance({"a": list("0011"), "b": list("xyxy")}, [1.0, 2.0, 3.0, 6.0])
    assert_squares(found, {("a",): (1, 9), ("b",): (1, 4)})
    assert (found.residual.freedom, found.residual.sum_of_squares) == (1, pytest.approx(1))
    assert not found.is_replicated
    three = {
        name: list(levels)
        for name, levels in zip("abc", zip(*itertools.product("01", repeat=3), strict=True), strict=True)
    }
    found = analyse_variance(three, [1, 2, 3, 4, 5, 6, 7, 9])
    assert len(found.effects) == 6
    assert found.residual.freedom == 1


def test_effects_that_the_runs_cannot_tell_apart_are_named():
    factors = {"a": list("001122"), "b": list("xxyyyy"), "c": list("010101")}
    found = analyse_variance({key: texts * 2 for key, texts in factors.items()}, [float(i % 7) for i in range(12)])
    assert ("a", "b") in found.aliased
    assert all(effect.freedom > 0 for effect in found.effects)


@pytest.mark.parametrize(
    ("factors", "values", "message"),
    [
        ({"a": list("0011")}, [0.1] * 4, "same value"),
        ({"a": list("0011")}, [0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2], "same value"),
        ({"a": list("0123")}, [1, 2, 3, 4], "cannot be told from what the seed does"),
    ],
    ids=["equal values", "equal but for rounding", "one key and one seed"],
)
def test_where_there_is_nothing_to_divide_it_says_so(factors, values, message):
    with pytest.raises(DataError, match=message):
        analyse_variance(factors, values)
