import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageColor

from cifar_sweeps.analysis import figures
from cifar_sweeps.analysis.calibration import calibration
from cifar_sweeps.analysis.confusion_picture import cell_texts, confusion_heatmap
from cifar_sweeps.analysis.matplotlib_setup import BLUE, GREEN, VERMILLION
from cifar_sweeps.analysis.picture_text import TextWriter
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


def names_of(panel):
    return [part.name for part in panel.parts]


def test_learning_curves_hold_the_history_and_mark_the_earliest_best_epoch():
    loss, accuracy = figures.curve_panels(history(5))

    training, validation, best = loss.parts
    assert list(training.y) == [2 / epoch for epoch in range(1, 6)]
    assert list(validation.y) == [2.5 / epoch for epoch in range(1, 6)]
    assert best.x == 3
    assert "epoch 3, accuracy 0.7000" in best.name
    assert list(accuracy.parts[1].y) == list(ACCURACIES)


def test_objective_is_dashed_and_only_drawn_with_a_penalty():
    plain, penalised = (figures.curve_panels(history(3, objective=on))[0] for on in (False, True))

    assert not any("penalty" in name for name in names_of(plain))
    assert [part.dash for part in penalised.parts if "penalty" in part.name] == ["dashed"]


def test_without_validation_there_is_neither_its_curve_nor_a_best_epoch():
    loss, accuracy = figures.curve_panels(history(3, validation=False))

    assert names_of(loss) == names_of(accuracy) == ["training"]


def test_single_epoch_is_visible_at_a_whole_number():
    loss = figures.curve_panels(history(1))[0]

    assert all(part.marker for part in loss.parts[:2])
    assert loss.x_ticks() == [1]


def test_history_without_an_epoch_is_refused():
    with pytest.raises(DataError, match="no epoch"):
        figures.learning_curves([])


def test_cells_of_a_confusion_matrix_print_counts_and_fractions_of_the_row():
    confusion = np.array([[90, 10], [0, 0]])

    texts = [text for _, text, _ in cell_texts(confusion, np.array([[0.9, 0.1], [0, 0]]))]
    assert texts == ["90\n90.0%", "10\n10.0%", "0", "0"]


def test_cells_of_a_confusion_matrix_are_the_darker_the_larger_their_fraction_of_the_row():
    image = confusion_heatmap(np.array([[90, 10], [30, 70]]), ("cat", "dog")).image
    pixels = np.asarray(image).astype(int).sum(axis=-1)
    # Places within the cells, each 200 pixels wide, where there is no text.
    left, right, top, bottom = image.width - 380, image.width - 40, 40, 380
    dark = [pixels[y, x] for y in (top, bottom) for x in (left, right)]
    assert dark[0] < dark[3] < dark[2] < dark[1]


def written(monkeypatch):
    """The texts that are written on pictures from now on."""
    texts = []
    write = TextWriter.write

    def noting(self, place, text, size, **settings):
        texts.append(text)
        write(self, place, text, size, **settings)

    monkeypatch.setattr(TextWriter, "write", noting)
    return texts


def test_heatmap_of_a_hundred_classes_names_each_and_prints_no_count(monkeypatch):
    texts = written(monkeypatch)
    confusion_heatmap(np.eye(100, dtype=np.int64), [f"class {n}" for n in range(100)])

    assert all(texts.count(f"class {number}") == 2 for number in range(100))
    assert not [text for text in texts if "%" in text]


def test_long_names_with_a_common_beginning_stay_distinct(monkeypatch):
    texts = written(monkeypatch)
    confusion_heatmap(np.eye(2, dtype=np.int64), ["ring over diagonal stripes", "ring over diagonal checkers"])

    names = {text for text in texts if text.startswith("ring")}
    assert len(names) == 2
    assert all(len(name) <= 18 for name in names)


def test_reliability_diagram_draws_each_filled_bin_at_its_accuracy(monkeypatch):
    probabilities = np.array([[0.95, 0.05], [0.9, 0.1], [0.45, 0.55]], dtype=np.float32)
    measured = calibration(Predictions(np.arange(3), np.array([0, 1, 1]), probabilities, ("a", "b")), bins=10)
    above, below = figures.reliability_panels(measured)

    bars = above.parts[0]
    assert [(round(x, 2), height) for x, height in zip(bars.x, bars.heights, strict=True)] == [
        (0.55, 1.0),
        (0.85, 0.0),
        (0.95, 1.0),
    ]
    assert below.parts[0].heights == [0, 0, 0, 0, 0, 1, 0, 0, 1, 1]
    texts = written(monkeypatch)
    figures.reliability_diagram(measured, "a run")
    assert any(f"{measured.ece:.3f}" in text for text in texts)


def test_class_figures_put_the_lowest_f1_at_the_bottom():
    by_class = {
        "cat": {"precision": 0.5, "recall": 0.4, "f1-score": 0.44},
        "ship": {"precision": 0.9, "recall": 0.8, "f1-score": 0.85},
        "dog": {"precision": 0.6, "recall": 0.7, "f1-score": 0.65},
    }
    panel = figures.class_panel(by_class)

    assert panel.y_names == ["cat", "dog", "ship"]
    assert {part.name: part.x for part in panel.parts} == {
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


def test_a_saved_chart_keeps_the_colours_of_paper_and_lines(tmp_path):
    sheet = figures.learning_curves(history(4), "a run")
    figures.save(sheet, tmp_path / "chart.png")

    with Image.open(tmp_path / "chart.png") as image:
        saved, drawn = (np.asarray(each.convert("RGB")).astype(int) for each in (image, sheet.image))
    for colour in ("#ffffff", BLUE, VERMILLION, GREEN):
        places = (drawn == ImageColor.getrgb(colour)).all(axis=-1)
        assert places.any()
        assert (saved[places] == ImageColor.getrgb(colour)).all()
    assert abs(saved - drawn).max() < 20


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
def test_any_name_is_drawn(tmp_path, name):
    missing = figures.save(confusion_heatmap(np.eye(2, dtype=np.int64), (name, "other"), name), tmp_path / "x")
    assert missing <= set(name)
    missing = figures.save(figures.learning_curves(history(2), name), tmp_path / "x")
    assert missing <= set(name)
