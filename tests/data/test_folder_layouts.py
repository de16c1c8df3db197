"""Folders as users have them: roots, names of the sides, names in any bytes; found, or named in the error."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_sweeps.data import load_image_folder
from cifar_sweeps.errors import DataError


def write(folder, label="ant", name="0.png", seed=0):
    (folder / label).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([seed, *os.fsencode(f"{folder.name}{label}{name}")]).integers(
        0, 255, (8, 8, 3), np.uint8
    )
    file = Path(os.fsdecode(os.fsencode(folder / label / name)))
    with file.open("wb") as opened:
        Image.fromarray(noise).save(opened, "PNG")
    return file


def write_sides(root, *sides, labels=("ant", "bee")):
    for side in sides or ("train", "test"):
        for label in labels:
            write(root / side, label)


@pytest.fixture
def load(tmp_path):
    def load(root="imgs", **options):
        return load_image_folder(**{"root": tmp_path / root, "cache": tmp_path / "cache", "image_size": 8, **options})

    return load


FOUND = {
    "itself": (("imgs",), ("train", "test"), "imgs"),
    "training and testing": (("imgs",), ("training", "testing"), "imgs"),
    "capitals": (("imgs",), ("Train", "TEST"), "imgs"),
    "one inner folder": (("x",), ("train", "test"), "."),
    "two inner folders": (("x", "y"), ("train", "test"), "."),
    "train itself": (("imgs",), ("train", "test"), "imgs/train"),
    "test itself": (("imgs",), ("Train", "Test"), "imgs/Test"),
}


@pytest.mark.parametrize(("inner", "sides", "root"), FOUND.values(), ids=FOUND)
def test_a_root_one_level_off_is_found_and_said(tmp_path, load, inner, sides, root):
    folder = tmp_path.joinpath(*inner)
    write_sides(folder, *sides)
    (tmp_path / "__MACOSX" / "train" / "ant").mkdir(parents=True)  # as unpacked archives of Macs have it
    data = load(root)
    assert data.classes == ("ant", "bee")
    assert (len(data.train), len(data.test)) == (2, 2)
    said = f"the images of {folder} are used" if "parent" not in " ".join(data.notes) else f"its parent {folder}"
    assert (data.notes == ()) if root == "imgs" else (said in data.notes[0])


NOT_FOUND = {
    "no such folder": (lambda root: shutil.rmtree(root), "there is no such folder"),
    "another spelling": (lambda root: root.rename(root.with_name("Imgs")), r"did you mean .*Imgs"),
    "only classes": (
        lambda root: [(root / "train").rename(root / "cats"), (root / "test").rename(root / "dogs")],
        "only cats, dogs",
    ),
    "val for test": (lambda root: (root / "test").rename(root / "val"), "but 'val': rename it to test"),
    "an archive": (
        lambda root: [
            shutil.make_archive(str(root), "zip", root),
            shutil.rmtree(root),
            root.with_suffix(".zip").rename(root),
        ],
        "is a file",
    ),
    "two data sets": (
        lambda root: [
            shutil.copytree(root, root / "one"),
            shutil.copytree(root / "one", root / "two"),
            shutil.rmtree(root / "train"),
        ],
        r"several folders in it have train and test; set data\.root to .*one, .*two",
    ),
    "case": (lambda root: (root / "test" / "ant").rename(root / "test" / "Ant"), "are spelt differently; rename one"),
    "Unicode forms": (
        lambda root: [write(root / "train", "caf\u00e9"), write(root / "test", "cafe\u0301")],
        "are spelt differently; rename one",
    ),
    "a class of train alone": (lambda root: write(root / "train", "cow"), "cow is not in both train and test"),
    "a class without images": (lambda root: (root / "test" / "ant" / "0.png").unlink(), "test/ant: has no images"),
    "only litter in a class": (
        lambda root: (root / "test" / "ant" / "0.png").rename(root / "test" / "ant" / "Thumbs.db"),
        "test/ant: has no images",
    ),
    "a nested folder": (
        lambda root: write(root / "train" / "ant", "more"),
        "train/ant/more: is a folder; move its images up",
    ),
    "a pipe": (lambda root: os.mkfifo(root / "train" / "ant" / "pipe"), "train/ant/pipe: is no regular file"),
    "a link in a circle": (
        lambda root: (root / "train" / "ant" / "o").symlink_to("o"),
        "train/ant/o: is a broken link",
    ),
}


@pytest.mark.parametrize(("change", "why"), NOT_FOUND.values(), ids=NOT_FOUND)
def test_what_is_not_a_data_set_is_named(tmp_path, load, change, why):
    write_sides(tmp_path / "imgs")
    change(tmp_path / "imgs")
    with pytest.raises(DataError, match=why):
        load()


NAMES = [
    b"\xe9t\xe9.png",
    b"two\nlines.png",
    "日本.png".encode(),
    b" spaces and, commas = [x].png",
    b"UPPER.PNG",
    b"-m.png",
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_have_any_bytes(tmp_path, load, name):
    write_sides(tmp_path / "imgs")
    write(tmp_path / "imgs" / "train", "ant", os.fsdecode(name))
    label = name.removesuffix(b".png")
    for side in ("train", "test"):
        write(tmp_path / "imgs" / side, os.fsdecode(label))
    data = load()
    assert len(data.train) == 4
    assert all(name.isprintable() and name.encode() for name in data.classes)
    assert load().fingerprint == data.fingerprint
    (tmp_path / "imgs" / "train" / "ant" / os.fsdecode(name)).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load()
    assert str(caught.value).isprintable()


def test_links_to_images_are_read(tmp_path, load):
    write_sides(tmp_path / "imgs")
    (tmp_path / "imgs" / "train" / "ant" / "1.png").symlink_to(tmp_path / "imgs" / "train" / "bee" / "0.png")
    assert len(load().train) == 3


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_a_validation_folder_is_used_or_said(tmp_path, load, name):
    write_sides(tmp_path / "imgs", "train", "test", name)
    without, with_it = load(), load(split="folder")
    assert without.val is None
    assert without.notes == (f"{tmp_path / 'imgs' / name} is not used; data.split=folder validates on its images",)
    assert (len(with_it.val), with_it.notes) == (2, ())
    assert with_it.fingerprint != without.fingerprint
    write(tmp_path / "imgs" / name, "ant", seed=1)
    assert load().fingerprint == without.fingerprint
    assert load(split="folder").fingerprint != with_it.fingerprint


def test_a_validation_folder_that_is_not_there_is_an_error(tmp_path, load):
    write_sides(tmp_path / "imgs")
    with pytest.raises(DataError, match=r"data\.split=folder: .*imgs has no folder val, valid or validation"):
        load(split="folder")


def swap(one, other):
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)


def test_swapped_classes_of_equal_files_are_other_data(tmp_path, load):
    """As an archive unpacks them: BMPs of one size and one time."""
    write_sides(tmp_path / "imgs")
    for path in (tmp_path / "imgs").rglob("*.png"):
        Image.open(path).save(path, "BMP")
        os.utime(path, (1e9, 1e9))
    before = load()
    swap(tmp_path / "imgs" / "train" / "ant", tmp_path / "imgs" / "train" / "bee")
    assert load().fingerprint != before.fingerprint
    path = tmp_path / "imgs" / "train" / "bee" / "0.png"
    after = load().fingerprint
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    os.utime(path, (1e9, 1e9))  # a changed pixel under the same name, size and time
    assert load().fingerprint != after


def test_hidden_and_system_files_are_left_out_and_counted(tmp_path, load):
    write_sides(tmp_path / "imgs")
    for name in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini"):
        (tmp_path / "imgs" / "train" / "ant" / name).write_bytes(b"?")
    (tmp_path / "imgs" / "train" / "@eaDir").mkdir()
    data = load()
    assert (len(data.train), data.classes) == (2, ("ant", "bee"))
    assert data.notes == ("images: 4 hidden or system files left out",)


def test_classes_that_differ_in_capitals_alone_are_told(tmp_path, load):
    write_sides(tmp_path / "imgs", labels=("ant", "Ant"))
    assert "classes Ant and ant differ in capital letters or spaces alone" in load().notes[0]
