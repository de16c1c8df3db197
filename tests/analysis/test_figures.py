import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from cifar_sweeps.analysis import figures
from cifar_sweeps.analysis.calibration import calibration
from cifar_sweeps.analysis.predictions import Predictions
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

    assert [text.get_text() for text in axes.texts] == ["90\n90.0%", "10\n10.0%", "0", "0"]
    assert axes.images[0].get_array().tolist() == [[0.9, 0.1], [0, 0]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "predicted\ncounts, and their fractions of the actual class",
        "actual",
    )


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


def test_reliability_diagram_draws_each_filled_bin_at_its_accuracy():
    probabilities = np.array([[0.95, 0.05], [0.9, 0.1], [0.45, 0.55]], dtype=np.float32)
    measured = calibration(Predictions(np.arange(3), np.array([0, 1, 1]), probabilities, ("a", "b")), bins=10)
    above, below = figures.reliability_diagram(measured, "a run").axes

    assert [(round(bar.get_x() + bar.get_width() / 2, 2), bar.get_height()) for bar in above.patches] == [
        (0.55, 1.0),
        (0.85, 0.0),
        (0.95, 1.0),
    ]
    assert [bar.get_height() for bar in below.patches] == [0, 0, 0, 0, 0, 1, 0, 0, 1, 1]
    assert f"{measured.ece:.3f}" in above.figure.get_suptitle()


def test_class_figures_put_the_lowest_f1_at_the_bottom():
    by_class = {
        "cat": {"precision": 0.5, "recall": 0.4, "f1-score": 0.44},
        "ship": {"precision": 0.9, "recall": 0.8, "f1-score": 0.85},
        "dog": {"precision": 0.6, "recall": 0.7, "f1-score": 0.65},
    }
    axes = figures.class_figures(by_class).axes[0]

    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "ship"]
    assert {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()} == {
        "precision": [0.5, 0.6, 0.9],
        "recall": [0.4, 0.7, 0.8],
        "F1": [0.44, 0.65, 0.85],
    }


def test_saved_figure_is_a_png_and_pyplot_is_not_imported(tmp_path):
    figures.save(figures.learning_curves(history(2)), tmp_path / "grid.png")

    with Image.open(tmp_path / "grid.png") as image:
        assert image.format == "PNG"
        assert image.width > 300
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]
    code = (
        "import sys; from cifar_sweeps.analysis import figures, image_sheets; print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_figure_that_cannot_be_saved_leaves_the_old_file(tmp_path, monkeypatch):
    path, figure = tmp_path / "grid.png", figures.learning_curves(history(2))
    path.write_bytes(b"old")

    def broken(_image, file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", broken)
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
