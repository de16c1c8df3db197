"""The page of a run's data and the files beside it."""

import csv

import numpy as np
import pytest
from made_pictures import write_classes, write_pictures
from PIL import Image

from cifar_sweeps.config.compose import compose
from cifar_sweeps.inspection.data_findings import look_at_data
from cifar_sweeps.inspection.data_page import default_page, write_data_page

SETTINGS = ("trainer.threads=1", "trainer.batch_size=4")
SYNTHETIC = ("data.source.train_images=200", "data.source.test_images=60")


def write(*overrides, out=None):
    return write_data_page(look_at_data(compose([*SETTINGS, *overrides])), ["cifar-sweeps", "data", *overrides], out)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "pets")


def test_a_page_its_pictures_and_its_pairs_are_written(pictures, outputs):
    written = write(
        "data=image_folder", f"data.root={pictures}", "data.image_size=24", "augmentation=flip_crop", "data.val_size=1"
    )
    assert written.page.parent == outputs / "reports"
    assert written.page.name.startswith("data-pets-")
    files = {path.name for path in written.folder.iterdir()}
    assert files >= {
        "samples_by_class.png",
        "samples_at_random.png",
        "augmented_images.png",
        "duplicates_test_in_training.png",
        "duplicates.csv",
        "one_colour.png",
        "grey.png",
        "darkest.png",
    }
    html = written.page.read_text()
    assert "FlipCrop (padding=4, flip=True)" in html
    assert "turned by EXIF" in html
    assert html.count("data:image/png;base64") == len([name for name in files if name.endswith(".png")])
    pairs = list(csv.DictReader((written.folder / "duplicates.csv").open()))
    leak = next(row for row in pairs if "leak.png" in row["image_1"])
    assert (leak["kind"], leak["split_1"], leak["image_1"]) == ("equal", "test", "test/cat/leak.png")
    assert (leak["label_2"], leak["image_2"]) == ("cat", "train/cat/2.png")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Synthetic images, and their page."""
    found = look_at_data(compose([*SETTINGS, *SYNTHETIC]))
    return found, write_data_page(found, ["cifar-sweeps", "data"], tmp_path_factory.mktemp("pages") / "data.html")


def test_other_splits_seeds_and_augmentations_are_other_pages(synthetic):
    found, _ = synthetic
    pages = [default_page(found)]
    for more in ((), ("seed=1",), ("augmentation=shift_flip",), ("data.val_size=9",)):
        pages.append(default_page(look_at_data(compose([*SETTINGS, *SYNTHETIC, *more]))))
    names = [page.name for page in pages]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def test_pictures_of_an_earlier_look_are_removed(tmp_path):
    out = tmp_path / "look"
    (tmp_path / "look_files").mkdir()
    (tmp_path / "look_files" / "grey.png").touch()
    written = write(*SYNTHETIC, out=out)
    assert written.page == tmp_path / "look.html"
    assert not (written.folder / "grey.png").exists()


def test_no_augmentation_is_said(synthetic):
    _, written = synthetic
    assert "No augmentation is chosen (augmentation=none)" in written.page.read_text()
    assert not (written.folder / "augmented_images.png").exists()


def test_the_sheet_of_samples_shows_images_of_the_training_split(synthetic):
    found, written = synthetic
    sheet = np.asarray(Image.open(written.folder / "samples_by_class.png"))
    training = {image.tobytes() for image in found.data.train.images[found.training.indices].numpy()}
    side, left = 96, 8 + 3  # three times 32; behind the gap and the frame
    crops = (sheet[top : top + side : 3, left : left + side : 3] for top in range(len(sheet) - side))
    shown = sum(np.ascontiguousarray(crop.transpose(2, 0, 1)).tobytes() in training for crop in crops)
    assert shown == 3 * len(found.data.classes)  # the first of each row, at three places within its enlarged pixels


@pytest.mark.parametrize(
    ("classes", "line"),
    [
        (120, "one image of each of the first 100 of 120 classes is drawn"),
        (2, "Up to 10 images of each class"),
    ],
)
def test_many_classes_limit_what_is_drawn(tmp_path, classes, line):
    root = write_classes(tmp_path / "many", classes, 2, 1, (8, 12))
    html = write("data=image_folder", f"data.root={root}", "data.image_size=[8,12]", "data.val_fraction=0")
    html = html.page.read_text()
    assert line in html
    assert ("The first 100 of 120 classes." in html) == (classes == 120)


def test_an_uneven_set_has_bars(tmp_path):
    root = write_classes(tmp_path / "uneven", 2, 3, 1)
    for number in range(3, 12):
        (root / "train" / "class 001" / f"{number}.png").write_bytes(
            (root / "train" / "class 001" / "0.png").read_bytes()
        )
    written = write("data=image_folder", f"data.root={root}", "data.image_size=8", "data.val_fraction=0")
    assert "The largest class has 4.0 times as many training images as the smallest." in written.page.read_text()
    assert (written.folder / "images_by_class.png").exists()
