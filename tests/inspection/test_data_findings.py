"""What a run would train on, of made pictures whose right answer is known, and of other kinds of data."""

import numpy as np
import pytest
from made_pictures import write_classes, write_pictures

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.inspection import data_findings, data_tables
from cifar_sweeps.inspection.data_findings import look_at_data

SETTINGS = ("trainer.threads=1", "trainer.batch_size=4")


def look(*overrides, progress=None):
    return look_at_data(compose([*SETTINGS, *overrides]), progress)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "pets")


@pytest.fixture
def found(pictures, outputs):
    return look("data=image_folder", f"data.root={pictures}", "data.image_size=24", "data.val_fraction=0")


def rows(table):
    return {row[0]: row[1:] for row in table.rows}


def test_splits_are_counted_by_class_with_grey_and_plain_images(found):
    assert rows(data_tables.splits_table(found)) == {
        "training": ("23", "11 to 12", "1", "1"),
        "test": ("8", "4", "0", "0"),
    }
    assert rows(data_tables.classes_table(found, 10)) == {"cat": ("11", "4"), "dog": ("12", "4"), "all": ("23", "8")}


def test_duplicates_are_those_that_were_made(found):
    table = rows(data_tables.overlaps_table(found))
    assert table["test in training"] == ("1", "1", "25.00%", "0")
    assert table["within training"] == ("2", "2", "17.39%", "2")
    assert table["within test"] == ("0", "0", "0.00%", "0")
    pairs = set()
    for pair in found.duplicates.all_pairs():
        names = [
            f"{split.name}/{found.data.classes[split.images.labels[index]]}/{found.file(split.side, index)}"
            for split, index in map(found.at, (pair.first, pair.second))
        ]
        pairs.add((frozenset(names), pair.exact))
    assert pairs == {
        (frozenset({"training/cat/0.png", "training/dog/again.png"}), True),
        (frozenset({"training/cat/1.png", "training/cat/close.png"}), False),
        (frozenset({"test/cat/leak.png", "training/cat/2.png"}), True),
        (frozenset({"test/dog/close.png", "training/dog/3.png"}), False),
    }
    leak, torn = data_tables.leak_lines(found)
    assert leak.startswith("2 of 8 test images (25.0%) have a duplicate among the training images, 1 equal in every")
    assert torn == "2 training images have a duplicate under another label"


def test_what_the_loader_did_is_listed_with_the_files(found):
    table = rows(data_tables.files_table(found))
    assert table == {
        "transparent, laid on white": ("1", "train/cat/transparent.png"),
        "resized to 24×24": ("2", "train/cat/turned.jpg, train/dog/large.png"),
        "turned by EXIF": ("1", "train/cat/turned.jpg"),
        "grey, the same in all three channels": ("1", "train/dog/grey.png"),
    }
    line = data_tables.sizes_line(found)
    assert line.startswith("The smallest file has 24×24 pixels")
    assert line.endswith("the largest 48×48 (train/dog/large.png).")
    assert any("1 turned by EXIF" in note for note in found.notes)


def test_the_overrides_to_paste_standardise_the_training_images(found):
    pixels = found.data.train.images.numpy().astype(float) / 255
    pasted = data_tables.standardisation_overrides(found).replace("'", "").split()
    again = compose([*SETTINGS, *pasted])
    assert again.data.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=5e-5)
    assert again.data.std == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=5e-5)


@pytest.mark.parametrize(
    ("overrides", "columns"),
    [
        (["data.train_size=100", "data.val_size=20"], {"training": 100, "validation": 20, "test": 60, "not used": 80}),
        (["trainer.parts=2"], {"training": 150, "validation": 50, "test": 60, "part 1": 75, "part 2": 75}),
        (["data.split=test"], {"training": 200, "validation": 60, "test": 60}),
        (["data.val_fraction=0"], {"training": 200, "test": 60}),
    ],
    ids=["a part is used", "parts", "validated on the test images", "no validation"],
)
def test_the_table_of_classes_adds_up(overrides, columns):
    found = look("data.source.train_images=200", "data.source.test_images=60", *overrides)
    table = data_tables.classes_table(found, 100)
    assert [column.title for column in table.columns[1:]] == list(columns)
    assert rows(table)["all"] == tuple(str(count) for count in columns.values())
    counts = np.array([[int(cell) for cell in row[1:]] for row in table.rows])
    assert (counts[:-1].sum(axis=0) == counts[-1]).all()


def test_validation_on_the_test_images_is_no_duplicate_of_them():
    found = look("data.source.train_images=100", "data.source.test_images=60", "data.split=test")
    assert [split.name for split in found.joined] == ["test", "training"]
    assert "validation (the test images)" in rows(data_tables.splits_table(found))
    assert any("validated on the test set" in note for note in found.notes)


def test_beyond_the_limit_near_duplicates_are_not_searched_and_a_line_says_so(pictures, monkeypatch):
    monkeypatch.setattr(data_findings, "NEAR_LIMIT", 10)
    found = look("data=image_folder", f"data.root={pictures}", "data.image_size=24", "data.val_fraction=0")
    assert "searched among the first 10 of 31 images" in found.left_out[0]
    overlap = rows(data_tables.overlaps_table(found))
    assert overlap["test in training"][0] == "1"  # equal ones are found all the same
    assert overlap["within training"][:2] == ("2", "0")


def test_progress_is_told_of_the_distinct_images_and_of_all_files(pictures):
    told = []
    progress = lambda what, done, total: told.append((what, done, total))  # noqa: E731
    look("data=image_folder", f"data.root={pictures}", "data.image_size=24", progress=progress)
    assert ("comparing 29 images with each other", 29, 29) in told
    assert ("reading the headers of 31 files", 31, 31) in told


def test_what_the_run_would_refuse_is_refused():
    with pytest.raises(ConfigError, match=r"data\.train_size=5000: must be 1 to 150"):
        look("data.train_size=5000", "data.source.train_images=200", "data.source.test_images=60")
    with pytest.raises(ConfigError, match="model"):
        look("model.blocks=[]")


@pytest.mark.parametrize("classes", [100, 2])
def test_any_number_of_classes_with_one_image_each(tmp_path, classes):
    root = write_classes(tmp_path / "many", classes, 1, 1, (8, 12))
    found = look("data=image_folder", f"data.root={root}", "data.image_size=[8,12]", "data.val_fraction=0")
    assert found.counts.tolist() == [[1] * classes] * 2
    assert rows(data_tables.classes_table(found, 10))["all"] == (str(classes), str(classes))
    assert len(data_tables.classes_table(found, 10).rows) == min(classes, 10) + 1
