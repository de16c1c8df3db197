"""The best so far over the epochs of all runs, and means over the values of two keys."""

import math

import numpy as np
import pytest

from cifar_sweeps.analysis.importance.best_so_far import BestSoFar, TrainedEpoch, best_so_far
from cifar_sweeps.analysis.importance.cell_means import cell_means
from cifar_sweeps.analysis.importance.plots import Bar, plot_best_so_far, plot_cell_means, plot_shares
from cifar_sweeps.errors import DataError


def test_epochs_of_runs_that_train_at_once_count_in_the_order_of_their_ends():
    # Two jobs: one ends epochs at 10 and 20, the other at 15; one epoch has no validation.
    trained = [
        TrainedEpoch(20.0, 9.0, 0.4),
        TrainedEpoch(10.0, 9.0, 0.5),
        TrainedEpoch(15.0, 14.0, 0.7),
        TrainedEpoch(5.0, 4.0, None),
    ]
    found = best_so_far(trained, is_lower_better=False)
    assert found.epochs == (1, 2, 3, 4)
    assert found.seconds == (4.0, 13.0, 27.0, 36.0)
    assert math.isnan(found.best[0])
    assert found.best[1:] == (0.5, 0.7, 0.7)
    assert best_so_far(trained, is_lower_better=True).best[1:] == (0.5, 0.5, 0.4)
    assert best_so_far([], is_lower_better=True).epochs == ()


def test_a_loss_that_is_not_finite_is_never_the_best():
    trained = [TrainedEpoch(1.0, 1.0, math.nan), TrainedEpoch(2.0, 1.0, 0.3), TrainedEpoch(3.0, 1.0, -math.inf)]
    assert best_so_far(trained, is_lower_better=True).best[1:] == (0.3, 0.3)


def test_the_mean_of_a_cell_weighs_arms_alike_and_says_how_many_runs_it_has():
    rows = ["0.1", "0.1", "0.1", "0.02", "0.02"]
    columns = ["lenet", "lenet", "lenet", "lenet", "plain"]
    arms = ["dropout", "dropout", "none", "none", "none"]
    found = cell_means("lr", "model", rows, columns, arms, [0.2, 0.4, 0.6, 0.8, 0.9])
    assert (found.rows, found.columns) == (("0.02", "0.1"), ("lenet", "plain"))
    # lr 0.1, lenet: (0.3 + 0.6) / 2
    np.testing.assert_allclose(found.means, [[0.8, 0.9], [0.45, np.nan]])
    assert found.runs.tolist() == [[1, 1], [3, 0]]


def test_a_heat_map_shows_means_counts_and_missing_cells():
    cells = cell_means("lr", "model", ["1", "1", "2"], ["a", "b", "a"], ["x"] * 3, [0.5, 0.25, 0.75])
    (axes, *_) = plot_cell_means(cells, "val/accuracy", "{:.3f}".format).axes
    assert [text.get_text() for text in axes.texts] == ["0.500\nn=1", "0.250\nn=1", "0.750\nn=1"]
    (hatched,) = axes.patches
    assert (hatched.get_xy(), hatched.get_hatch()) == ((0.5, 0.5), "///")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("model", "lr")


def test_bars_show_shares_in_percent_with_their_intervals():
    bars = [Bar("model", 0.6, 0.4, 0.7), Bar("$lr$", -0.01, 0.0, 0.1), Bar("seeds", 0.3, None, None, is_rest=True)]
    (axes,) = plot_shares(bars, "share (%)").axes
    assert [patch.get_width() for patch in axes.patches] == pytest.approx([60, 0, 30])
    assert [list(line.get_xdata()) for line in axes.lines] == [pytest.approx([40, 70]), pytest.approx([0, 10])]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["model", "\\$lr\\$", "seeds"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first at the top


@pytest.mark.parametrize(
    ("seconds", "unit", "last"), [(10.0, "seconds", 30.0), (600.0, "minutes", 30.0), (36_000.0, "hours", 30.0)]
)
def test_the_best_so_far_is_drawn_in_a_unit_that_can_be_read(seconds, unit, last):
    curve = best_so_far([TrainedEpoch(i, seconds, 0.1 * i) for i in range(1, 4)], is_lower_better=False)
    (axes,) = plot_best_so_far(curve, "val/accuracy", "seconds", "{:.4f}".format).axes
    assert axes.get_xlabel().startswith(f"{unit} of training, summed over all runs")
    assert max(axes.lines[0].get_xdata()) == pytest.approx(last)
    assert [text.get_text() for text in axes.texts] == ["0.3000 after 100%"]
    (axes,) = plot_best_so_far(curve, "val/accuracy", "epochs", str).axes
    assert list(axes.lines[0].get_xdata()) == [1, 2, 3]


def test_epochs_without_a_value_cannot_be_drawn():
    curve = best_so_far([TrainedEpoch(1.0, 1.0, None)], is_lower_better=False)
    with pytest.raises(DataError, match="no epoch has a value"):
        plot_best_so_far(curve, "val/accuracy", "epochs", str)


@pytest.mark.parametrize("best", [(0.3, 0.55, 0.66, 0.67, 0.7), (2.3, 1.4, 1.2, 1.19, 1.1)], ids=["rising", "falling"])
@pytest.mark.parametrize("reached", [5, 37, 60])
def test_the_label_of_the_best_value_stands_beside_the_line(best, reached):
    epochs = tuple(range(1, 61))
    steps = [1, reached // 3, reached // 2, reached - 2, reached]
    values = tuple(
        best[max((place for place, step in enumerate(steps) if epoch >= step), default=0)] for epoch in epochs
    )
    curve = BestSoFar(epochs, tuple(map(float, epochs)), values)
    figure = plot_best_so_far(curve, "val", "epochs", "{:.4f}".format)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (label,) = axes.texts
    box = label.get_window_extent()
    line = axes.lines[0].get_path().transformed(axes.lines[0].get_transform())
    assert not line.intersects_bbox(box, filled=False)
    assert axes.get_window_extent().y0 < box.y0
    assert box.y1 < axes.get_window_extent().y1
