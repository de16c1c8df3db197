"""A folder of images in any format becomes one tensor, or one error that names what is wrong."""

import os
import random
import struct
import subprocess
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_sweeps.data import cache, load_image_folder
from cifar_sweeps.data.image_folder import list_image_files
from cifar_sweeps.data.picture_files import Treatment, UnreadableError, read_picture
from cifar_sweeps.errors import ConfigError, DataError

RED, GREY = (255, 0, 0), (90, 90, 90)


def write(path, colour=RED, size=(32, 32), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes with an image each on both sides."""
    folder = tmp_path / "animals"
    for side in ("train", "test"):
        write(folder / side / "cow" / "1.png", (10, 20, 30))
        write(folder / side / "ant" / "1.png", (40, 50, 60))
    return folder


@pytest.fixture
def load(root, tmp_path):
    def load(**options):
        return load_image_folder(**{"root": root, "cache": tmp_path / "cache", **options})

    return load


def test_classes_are_sorted_and_images_keep_their_labels(load):
    data = load()
    assert data.classes == ("ant", "cow")
    assert data.name == "animals"
    assert data.original_order is False
    for side in (data.train, data.test):
        assert side.images.shape == (2, 3, 32, 32)
        assert side.images.dtype == torch.uint8
        assert side.labels.tolist() == [0, 1]
        assert side.images[:, :, 0, 0].tolist() == [[40, 50, 60], [10, 20, 30]]


def test_many_images_stay_in_order(root, load):
    for number in range(600):  # more than one thread takes at once
        write(root / "train" / "cow" / f"{number:04}.png", (number % 256, number // 256, 7), size=(8, 8))
    pixels = load(image_size=8).train.images[1:-1, :, 0, 0]  # but the ant and cow/1.png, which sorts last
    assert pixels.tolist() == [[number % 256, number // 256, 7] for number in range(600)]


@pytest.mark.parametrize(
    ("name", "mode", "colour", "near"),
    [
        ("x.png", "RGB", RED, 0),
        ("x.bmp", "RGB", RED, 0),
        ("x.jpg", "RGB", RED, 3),
        ("x.webp", "RGB", RED, 6),
        ("x.gif", "P", RED, 3),
        ("x.png", "P", RED, 0),
        ("x.png", "L", GREY, 0),
        ("x.png", "LA", GREY, 0),
        ("x.png", "RGBA", RED, 0),
        ("x.png", "1", (255, 255, 255), 0),
        ("x.jpg", "CMYK", RED, 3),
        ("x.tif", "RGB", RED, 0),
    ],
)
def test_formats_become_rgb(root, load, name, mode, colour, near):
    write(root / "train" / "ant" / name, colour, mode=mode)
    read = load().train.images[1].permute(1, 2, 0).int()
    assert (read - torch.tensor(colour)).abs().max() <= near


@pytest.mark.parametrize("split", ["stratified", "folder"])
def test_files_are_listed_in_the_order_of_the_images(root, load, split):
    for number, side in enumerate(("train", "train", "val", "val")):
        for label in ("ant", "cow"):
            write(root / side / label / f"{number}.png", (number, len(label), 5))
    data, listed = load(split=split), list_image_files(root, split)
    sides = {"train": data.train, "test": data.test, **({"val": data.val} if split == "folder" else {})}
    assert list(listed) == list(sides)
    for side, images in sides.items():
        assert [file.label for file in listed[side]] == images.labels.tolist()
        colours = [Image.open(file.path).getpixel((0, 0)) for file in listed[side]]
        assert [tuple(pixels) for pixels in images.images[:, :, 0, 0].tolist()] == colours


def test_listing_files_of_a_damaged_layout_is_an_error(root):
    (root / "train" / "ant" / "more").mkdir()
    with pytest.raises(DataError, match="more: is a folder"):
        list_image_files(root, "stratified")


def test_other_sizes_are_resized(root, load):
    ramp = np.tile(np.arange(128, dtype=np.uint8)[:, None, None] * 2, (1, 96, 3))
    Image.fromarray(ramp).save(root / "train" / "ant" / "x.png")
    image = load().train.images[1]
    # The mean of four rows, not one of them: the resizing is antialiased.
    assert image[0, 1:-1, 0].tolist() == pytest.approx([8 * row + 3 for row in range(1, 31)], abs=1)
    assert load(image_size=16).train.images.shape == (3, 3, 16, 16)


def test_images_of_the_size_are_not_touched(root, load):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "train" / "ant" / "x.png")
    assert np.array_equal(load().train.images[1].permute(1, 2, 0).numpy(), noise)


def test_hidden_files_and_folders_are_ignored(root, load):
    (root / "train" / "ant" / ".DS_Store").write_text("no image")
    (root / "train" / "ant" / ".checkpoints").mkdir()
    (root / "train" / ".cache").mkdir()
    (root / ".complete").touch()
    (root / "train" / "README.txt").write_text("beside the classes")
    data = load()
    assert data.classes == ("ant", "cow")
    assert len(data.train) == 2


def touch_later(path):
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write(root / "train" / "ant" / "2.png"),
        lambda root: write(root / "test" / "ant" / "1.png", size=(8, 8)),
        lambda root: touch_later(root / "test" / "cow" / "1.png"),
        lambda root: (root / "train" / "ant" / "1.png").rename(root / "train" / "ant" / "0.png"),
    ],
    ids=["added", "another size", "touched", "renamed"],
)
def test_a_change_makes_a_new_cache(root, load, tmp_path, change):
    load()
    load()
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 1
    change(root)
    load()
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 2


def test_a_changed_image_is_seen(root, load):
    before = load()
    write(root / "train" / "ant" / "1.png", (1, 2, 3))
    after = load()
    assert after.train.images[0, :, 0, 0].tolist() == [1, 2, 3]
    assert after.fingerprint != before.fingerprint


def test_a_replaced_file_with_the_same_time_is_seen(root, load):
    path = root / "train" / "ant" / "1.png"
    load()
    before = path.stat()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy that keeps times
    assert np.array_equal(load().train.images[0].permute(1, 2, 0).numpy(), noise)


def test_a_change_within_a_second_is_seen(root, load):
    path = root / "train" / "ant" / "1.png"
    start = path.stat().st_mtime_ns // 10**9 * 10**9
    os.utime(path, ns=(start, start))
    load()
    size = path.stat().st_size
    write(path, (41, 51, 61))
    assert path.stat().st_size == size  # else that would show the change
    os.utime(path, ns=(start, start + 1000))
    assert load().train.images[0, :, 0, 0].tolist() == [41, 51, 61]


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove, r"animals: there is no such folder; expected FOLDER/train/CLASS"),
        (lambda root: remove(root / "train"), r"animals: has no folder 'train'; expected FOLDER/train/CLASS"),
        (lambda root: remove(root / "test"), r"animals: has no folder 'test'"),
        (lambda root: [remove(root / "train" / name) for name in ("ant", "cow")], r"train: has no class folders"),
        (lambda root: remove(root / "test" / "cow"), r"cow is not in both train and test"),
        (lambda root: write(root / "train" / "dog" / "1.png"), r"dog is not in both train and test"),
        (lambda root: (root / "test" / "cow" / "1.png").unlink(), r"test/cow: has no images"),
        (lambda root: write(root / "train" / "ant" / "more" / "1.png"), r"ant/more: is a folder"),
        (lambda root: (root / "train" / "ant" / "2.png").symlink_to("lost.png"), r"ant/2\.png: .*broken link"),
        (lambda root: (root / "train" / "ant" / "2.png").write_text("?"), r"ant/2\.png: is not an image"),
        (lambda root: (root / "train" / "ant" / "2.png").touch(), r"ant/2\.png: is not an image"),
    ],
    ids=[
        "no root",
        "no train",
        "no test",
        "no classes",
        "class only in train",
        "class only in train too",
        "empty class",
        "nested class",
        "lost link",
        "text",
        "empty file",
    ],
)
def test_another_layout_is_an_error(root, load, tmp_path, spoil, message):
    spoil(root)
    with pytest.raises(DataError, match=message):
        load()
    assert list(tmp_path.glob("cache/*.pt")) == []


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_truncated_image_is_named(root, load, extension):
    path = root / "test" / "cow" / f"2.{extension}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match=rf"cow/2\.{extension}: is not an image that Pillow can read"):
        load()


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n(was_run) (w) file closefile\n%%EOF\n"


def test_a_program_in_place_of_an_image_is_not_run(root, load, monkeypatch):
    (root / "train" / "ant" / "2.png").write_bytes(POSTSCRIPT)  # Pillow would hand it to Ghostscript
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("runs a program"))
    with pytest.raises(DataError, match=r"ant/2\.png: is not an image that Pillow can read as PNG"):
        load()


def test_a_bomb_is_refused_by_its_header(root, load):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)
    (root / "train" / "ant" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b""))
    with pytest.raises(DataError, match=r"ant/2\.png: is too large an image"):
        load()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it found damaged
@pytest.mark.parametrize("extension", ["png", "jpg", "gif", "tif", "webp", "bmp", "ppm", "tga"])
def test_whatever_is_damaged_is_an_image_or_a_data_error(tmp_path, extension):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    path = tmp_path / f"x.{extension}"
    Image.fromarray(noise).save(path)
    sound, draw = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(draw.randint(1, 5)):
            damaged[draw.randrange(min(len(sound), 200))] = draw.randrange(256)
        path.write_bytes(damaged[: draw.choice([len(sound), draw.randrange(len(sound))])])
        try:
            picture = read_picture(str(path), Treatment(32, 32, "squash", (255, 255, 255)))
            assert picture.pixels.shape == (32, 32, 3)
        except UnreadableError:
            refused += 1
    assert refused > 5


@pytest.mark.parametrize("times", [1.5, 3], ids=["Pillow warns", "Pillow refuses"])
def test_a_bomb_is_refused_by_name(root, load, monkeypatch, times):
    write(root / "train" / "ant" / "big.png", size=(200, 200))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(200 * 200 / times))
    with pytest.raises(DataError, match=r"ant/big\.png: is too large an image"):
        load()


def test_no_root_says_what_to_set(load):
    with pytest.raises(ConfigError, match=r"data\.root=null: .* data\.root=FOLDER with FOLDER/train/CLASS"):
        load(root=None)


def test_a_relative_root_has_its_folders_name(root, load, monkeypatch):
    monkeypatch.chdir(root / "train")
    assert load(root="..").name == "animals"


def test_files_that_another_process_verified_are_not_checked_again(root, load, tmp_path, monkeypatch):
    seen = load()
    monkeypatch.setattr(cache, "_imported", cache.export_verified())
    (root / "test").rename(tmp_path / "gone")
    assert load().fingerprint == seen.fingerprint
    for file in tmp_path.rglob("*.pt"):
        file.unlink()
    with pytest.raises(DataError, match="has no folder 'test'"):  # without the cache the files count
        load()


def test_files_that_another_process_verified_count_only_for_its_image_size(load, monkeypatch):
    load(image_size=16)
    monkeypatch.setattr(cache, "_imported", cache.export_verified())
    assert load(image_size=8).train.images.shape[-1] == 8
