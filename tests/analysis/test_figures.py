import sys
import xml.etree.ElementTree

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from cifar_sweeps.analysis import figures
from cifar_sweeps.errors import DataError

ACCURACIES = (0.4, 0.6, 0.7, 0.7, 0.65)


def history(epochs, *, validation=True, objective=False):
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "train/loss": 2 / epoch, "train/accuracy": 1 - 1 / (epoch + 1)}
        row["val/loss"] = 2.5 / epoch if validation else None
        row["val/accuracy"] = ACCURACIES[(epoch - 1) % 5] if validation else None
        if objective:
            row["train/objective"] = row["train/loss"] + 0.5
        rows.append(row)
    return rows


def labels_of(axes):
    return [line.get_label() for line in axes.get_lines()]


def grid(**arguments):
    images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 3, 8, 8)
    labels, predicted = torch.zeros(40, dtype=torch.int64), torch.zeros(40, dtype=torch.int64)
    predicted[::2] = 1
    return figures.prediction_grid(images, labels, predicted, torch.full((40,), 0.75), ("cat", "dog"), **arguments)


def shown(figure):
    """The grey value of each image in the grid, which is its index among the forty."""
    return [int(axes.images[0].get_array()[0, 0, 0]) for axes in figure.axes if axes.images]


def test_learning_curves_hold_the_history_and_mark_the_earliest_best_epoch():
    loss, accuracy = figures.learning_curves(history(5)).axes

    training, validation, best = loss.get_lines()
    assert list(training.get_ydata()) == [2 / epoch for epoch in range(1, 6)]
    assert list(validation.get_ydata()) == [2.5 / epoch for epoch in range(1, 6)]
    assert list(best.get_xdata()) == [3, 3]
    assert "epoch 3, accuracy 0.7000" in best.get_label()
    assert list(accuracy.get_lines()[1].get_ydata()) == list(ACCURACIES)


def test_objective_is_dashed_and_only_drawn_with_a_penalty():
    plain, penalised = (figures.learning_curves(history(3, objective=on)).axes[0] for on in (False, True))

    assert not any("penalty" in name for name in labels_of(plain))
    dashed = [line for line in penalised.get_lines() if "penalty" in line.get_label()]
    assert [line.get_linestyle() for line in dashed] == ["--"]


def test_without_validation_there_is_neither_its_curve_nor_a_best_epoch():
    loss, accuracy = figures.learning_curves(history(3, validation=False)).axes

    assert labels_of(loss) == labels_of(accuracy) == ["training"]


def test_single_epoch_is_visible_at_a_whole_number():
    loss = figures.learning_curves(history(1)).axes[0]

    low, high = loss.get_xlim()
    assert all(line.get_marker() != "None" for line in loss.get_lines()[:2])
    assert [tick for tick in loss.get_xticks() if low <= tick <= high] == [1]


def test_history_without_an_epoch_is_refused():
    with pytest.raises(DataError, match="no epoch"):
        figures.learning_curves([])


def test_heatmap_prints_counts_and_colours_fractions_of_the_row():
    confusion = np.array([[90, 10], [0, 0]])

    axes = figures.confusion_heatmap(confusion, ("cat", "dog")).axes[0]

    assert [text.get_text() for text in axes.texts] == ["90", "10", "0", "0"]
    assert axes.images[0].get_array().tolist() == [[0.9, 0.1], [0, 0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "actual")


def test_heatmap_of_a_hundred_classes_names_each_and_prints_no_count():
    axes = figures.confusion_heatmap(np.eye(100, dtype=np.int64), [f"class {n}" for n in range(100)]).axes[0]

    assert not axes.texts
    assert len(axes.get_xticklabels()) == len(axes.get_yticklabels()) == 100


def test_long_names_with_a_common_beginning_stay_distinct():
    names = ["ring over diagonal stripes", "ring over diagonal checkers"]

    axes = figures.confusion_heatmap(np.eye(2, dtype=np.int64), names).axes[0]

    drawn = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(drawn)) == 2
    assert all(len(name) <= 18 for name in drawn)


def test_grid_marks_errors_by_sign_and_by_colour():
    figure = grid()

    for axes, n in zip(figure.axes, shown(figure), strict=True):
        wrong = n % 2 == 0
        assert axes.get_title() == ("cat\n✗ dog 0.75" if wrong else "cat\n✓ cat 0.75")
        assert to_hex(axes.spines["top"].get_edgecolor()) == (figures.VERMILLION if wrong else figures.BLUE).lower()


def test_grid_samples_all_images_by_seed():
    first, again, other = shown(grid()), shown(grid()), shown(grid(seed=1))

    assert len(set(first)) == 25
    assert first == again != other
    assert max(first) >= 30  # not the first 25, which would all be of one class in data sorted by class


@pytest.mark.parametrize(("count", "drawn"), [(3, 3), (7, 7), (100, 40)], ids=["one row", "open row", "all there are"])
def test_grid_has_the_requested_number_of_images(count, drawn):
    assert len(shown(grid(count=count))) == drawn


def test_grid_without_images_is_refused():
    with pytest.raises(DataError, match="no image"):
        figures.prediction_grid(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), *torch.zeros(3, 0), ("cat", "dog"))


def test_saved_figure_is_a_png_and_pyplot_is_not_imported(tmp_path):
    figures.save(grid(count=3), tmp_path / "grid.png")

    with Image.open(tmp_path / "grid.png") as image:
        assert image.format == "PNG"
        assert image.width > 300
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]
    assert "matplotlib.pyplot" not in sys.modules


def test_figure_that_cannot_be_saved_leaves_the_old_file(tmp_path, monkeypatch):
    path, figure = tmp_path / "grid.png", grid(count=1)
    path.write_bytes(b"old")

    def broken(file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        figures.save(figure, path)

    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    "name", ["$\\frac{a$", "a$b$c", "a\x1b[2J", "x" * 300, "ب ت\u202e", "a\nb"], ids=lambda name: ascii(name)[:20]
)
def test_a_name_is_drawn_literally(tmp_path, name):
    figure = figures.confusion_heatmap(np.eye(2, dtype=np.int64), (name, "other"), "")
    figure.savefig(tmp_path / "x.svg")
    xml.etree.ElementTree.parse(tmp_path / "x.svg")
