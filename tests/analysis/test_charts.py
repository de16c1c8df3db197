"""Charts: round ticks, curves where their values are, a legend that hides nothing."""

import numpy as np
import pytest
from PIL import ImageColor

from cifar_sweeps.analysis.charts import Bars, Line, Panel, VerticalLine, draw_chart, ticks

RED = "#ff0000"


def pixels_of(sheet, colour=RED):
    return np.argwhere((np.asarray(sheet.image) == ImageColor.getrgb(colour)).all(axis=-1))


@pytest.mark.parametrize(
    ("low", "high", "whole", "wanted"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.93, 1.57, False, [1, 1.1, 1.2, 1.3, 1.4, 1.5]),
        (0.7, 12.3, True, [2, 4, 6, 8, 10, 12]),
        (0, 2, True, [0, 1, 2]),
        (0.6, 250.4, True, [50, 100, 150, 200, 250]),
        (0, 10_500, False, [0, 2000, 4000, 6000, 8000, 10_000]),
        (-3e-7, 2e-7, False, [-3e-7, -2e-7, -1e-7, 0, 1e-7, 2e-7]),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(low, high, whole, wanted):
    assert ticks(low, high, 7, whole) == pytest.approx(wanted, abs=1e-12)


def test_a_curve_rises_where_its_values_do():
    sheet = draw_chart([[Panel([Line((0, 1), (0, 1), RED)])]], (300, 200))
    places = pixels_of(sheet)
    first, last = places[places[:, 1].argmin()], places[places[:, 1].argmax()]
    assert last[1] - first[1] > 150  # from left to right …
    assert first[0] - last[0] > 100  # … and from below upwards


def test_gaps_in_a_curve_s_values_are_left_out():
    def columns(y):
        places = pixels_of(draw_chart([[Panel([Line((1, 2, 3, 4, 5), y, RED)], x_limits=(1, 5))]], (300, 200)))
        return set(places[:, 1].tolist())

    whole = columns((1.0, 2.0, 3.0, 2.0, 1.0))
    for missing in (float("nan"), float("inf")):
        left = columns((1.0, 2.0, missing, 2.0, 1.0))  # of four stretches the two in the middle are not drawn
        middle = (min(whole) + max(whole)) / 2
        assert min(left) < middle < max(left)
        assert not {each for each in left if abs(each - middle) < (max(whole) - min(whole)) / 5}


def test_dashes_leave_gaps_and_markers_alone_no_line():
    counts = {
        dash: len(pixels_of(draw_chart([[Panel([Line((0, 1), (0, 1), RED, dash=dash)])]], (300, 200))))
        for dash in ("solid", "dashed", "dotted", "none")
    }
    assert counts["solid"] > counts["dashed"] > counts["dotted"] > counts["none"] == 0


def test_bars_stand_on_zero():
    sheet = draw_chart([[Panel([Bars((0.25, 0.75), (10, 5), 0.2, RED)], x_limits=(0, 1))]], (300, 200))
    places = pixels_of(sheet)
    left, right = (places[(places[:, 1] < 165) == side] for side in (True, False))
    assert left[:, 0].max() == right[:, 0].max()
    assert np.ptp(left[:, 0]) == pytest.approx(2 * np.ptp(right[:, 0]), rel=0.05)


@pytest.mark.parametrize("y", [(0, 1), (1, 0), (0, 0), (1, 1)], ids=str)
def test_the_legend_hides_no_curve(y):
    parts = [Line((0, 1), y, RED), VerticalLine(0.5, "#00aa00", "a mark")]
    bare, named = (draw_chart([[Panel(parts, has_legend=shown)]], (500, 300)) for shown in (False, True))
    assert len(pixels_of(named)) == len(pixels_of(bare))


def test_panels_in_a_column_begin_at_the_same_place():
    rows = [[Panel([Bars((0.5,), (height,), 1, RED)], x_limits=(0, 1))] for height in (1, 100_000)]
    places = pixels_of(draw_chart(rows, (300, 400), heights=(1, 1)))
    upper, lower = places[places[:, 0] < 190], places[places[:, 0] > 210]
    assert upper[:, 1].min() == lower[:, 1].min()
