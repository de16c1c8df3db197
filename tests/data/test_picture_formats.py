"""Pictures as a viewer shows them: a table of formats and what is done with each; and one line that says what was."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from cifar_sweeps.data import cache, load_image_folder
from cifar_sweeps.data.picture_files import Treatment, read_header, read_picture
from cifar_sweeps.errors import ConfigError, DataError

TOP, BOTTOM = (200, 40, 40), (20, 30, 120)  # of a picture that has an upper and a lower half
WHITE = (255, 255, 255)
UPRIGHT = np.concatenate([np.full((4, 8, 3), TOP, np.uint8), np.full((4, 8, 3), BOTTOM, np.uint8)])
# What must be stored so that a viewer, which turns it by the orientation, shows it upright.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


def encoded(image, extension, **options):
    file = io.BytesIO()
    kind = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(extension, extension.upper())
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation, extension):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if extension == "webp" else {"quality": 95} if extension == "jpg" else {}
    return encoded(Image.fromarray(np.ascontiguousarray(STORED[orientation])), extension, exif=exif, **options)


def half_transparent(mode, extension, **options):
    """The upper half as it is, the lower one transparent and black below."""
    alpha = np.repeat([255, 0], 32).reshape(8, 8, 1).astype(np.uint8)
    return encoded(Image.fromarray(np.dstack([UPRIGHT * (alpha > 0), alpha])).convert(mode), extension, **options)


def keyed(mode, extension):
    """One colour, that of the lower half, is marked as transparent instead of an alpha channel."""
    if mode == "I;16":
        grey = np.repeat([TOP[0] * 257, 7], 32).reshape(8, 8).astype(np.uint16)
        return encoded(Image.fromarray(grey), extension, transparency=7)
    image = Image.fromarray(UPRIGHT).quantize(2) if mode == "P" else Image.fromarray(UPRIGHT).convert(mode)
    return encoded(image, extension, transparency=image.getpixel((0, 7)))


def deep(dtype, extension):
    rows = np.repeat([TOP[0] * 257, BOTTOM[0] * 257], 32).reshape(8, 8).astype(dtype)
    return encoded(Image.fromarray(rows), extension)


def animated(extension):
    frames = [Image.fromarray(UPRIGHT), Image.fromarray(255 - UPRIGHT)]
    return encoded(frames[0], extension, save_all=True, append_images=frames[1:])


GREY_TOP, GREY_BOTTOM = (TOP[0],) * 3, (BOTTOM[0],) * 3
L_TOP = (88,) * 3  # TOP in grey
BLACK_AND_WHITE = Image.fromarray(np.repeat([255, 0], 32).reshape(8, 8).astype(np.uint8)).convert("1")
SHOWN = {
    **{
        f"EXIF {orientation} of {extension}": (
            turned(orientation, extension),
            TOP,
            BOTTOM,
            "1 turned by EXIF" * (orientation > 1),
        )
        for orientation, extension in itertools.product(STORED, ("jpg", "png", "webp", "tif"))
    },
    **{
        f"transparent {mode} of {extension}": (
            half_transparent(mode, extension, **more),
            top,
            WHITE,
            "1 transparent laid on white",
        )
        for mode, extension, top, more in (
            ("RGBA", "png", TOP, {}),
            ("RGBA", "webp", TOP, {"lossless": True}),
            ("RGBA", "tif", TOP, {}),
            ("RGBA", "gif", TOP, {}),
            ("RGBA", "tga", TOP, {}),
            ("RGBA", "jp2", TOP, {}),
            ("LA", "png", L_TOP, {}),
        )
    },
    **{
        f"a transparent colour of {mode}": (keyed(mode, "png"), top, WHITE, "1 transparent laid on white")
        for mode, top in (("P", TOP), ("RGB", TOP), ("L", L_TOP), ("I;16", GREY_TOP))
    },
    "opaque alpha": (encoded(Image.fromarray(UPRIGHT).convert("RGBA"), "png"), TOP, BOTTOM, ""),
    "palette": (encoded(Image.fromarray(UPRIGHT).quantize(2), "png"), TOP, BOTTOM, ""),
    "one bit": (encoded(BLACK_AND_WHITE, "png"), WHITE, (0, 0, 0), ""),
    "one bit TIFF": (encoded(BLACK_AND_WHITE, "tif"), WHITE, (0, 0, 0), ""),
    "CMYK JPEG": (
        encoded(Image.fromarray(UPRIGHT).convert("CMYK"), "jpg", quality=95),
        TOP,
        BOTTOM,
        "1 of CMYK converted",
    ),
    "CMYK TIFF": (encoded(Image.fromarray(UPRIGHT).convert("CMYK"), "tif"), TOP, BOTTOM, "1 of CMYK converted"),
    "YCbCr TIFF": (encoded(Image.fromarray(UPRIGHT).convert("YCbCr"), "tif"), TOP, BOTTOM, ""),
    **{
        f"16 bits of {extension}": (deep(np.uint16, extension), GREY_TOP, GREY_BOTTOM, "1 of 16 bits scaled to 8")
        for extension in ("png", "tif", "ppm", "jp2")
    },
    **{
        f"frames of {extension}": (animated(extension), TOP, BOTTOM, "the first frame of 1 with several")
        for extension in ("gif", "png", "tif")
    },
    "a camera's MPO": (animated("mpo"), TOP, BOTTOM, ""),
    **{
        f"plain {extension}": (encoded(Image.fromarray(UPRIGHT), extension), TOP, BOTTOM, "")
        for extension in ("bmp", "ppm")
    },
}
"""File, colours of the upper and of the lower half as a viewer shows them, and what the note says."""


def write_folder(root, content, name="x"):
    """Two classes of a plain picture each; and the file in question among the training images of the second."""
    for side, label in itertools.product(("train", "test"), "ab"):
        (root / side / label).mkdir(parents=True)
        colour = {"traina": 10, "trainb": 60, "testa": 110, "testb": 160}[side + label]
        noise = np.random.default_rng(colour).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / side / label / "0.png")
    (root / "train" / "b" / name).write_bytes(content)


@pytest.fixture
def load(tmp_path):
    def load(**options):
        return load_image_folder(**{"root": tmp_path / "imgs", "cache": tmp_path / "cache", "image_size": 8, **options})

    return load


@pytest.mark.parametrize(("content", "top", "bottom", "note"), SHOWN.values(), ids=SHOWN)
def test_each_format_is_read_as_a_viewer_shows_it(tmp_path, load, content, top, bottom, note):
    write_folder(tmp_path / "imgs", content, "PICTURE.X")  # its content counts, not its name
    data = load()
    read = data.train.images[2].permute(1, 2, 0).int().numpy()
    assert np.abs(read[:2] - top).max() <= 12
    assert np.abs(read[-2:] - bottom).max() <= 12
    assert note in " ".join(data.notes)
    assert bool(data.notes) == bool(note)
    assert load().notes == data.notes  # from the cache


REFUSED = {
    "32 bits": (deep(np.int32, "tif"), "has pixels of more than 16 bits"),
    "floating point": (deep(np.float32, "tif"), "has pixels of more than 16 bits, or floating-point ones"),
    "empty": (b"", "is not an image that Pillow can read"),
    "text": (b"class,file\n", "is not an image that Pillow can read"),
    "truncated PNG": (encoded(Image.fromarray(UPRIGHT), "png")[:50], "is not an image that Pillow can read"),
    "truncated JPEG": (encoded(Image.fromarray(UPRIGHT), "jpg")[:-40], "is not an image that Pillow can read"),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, load, content, why):
    write_folder(tmp_path / "imgs", content)
    with pytest.raises(DataError, match=rf"train/b/x: {why}"):
        load()


def test_all_damaged_files_are_in_one_error(tmp_path, load):
    write_folder(tmp_path / "imgs", b"", "0bad.png")
    for number in range(14):
        (tmp_path / "imgs" / "test" / "a" / f"{number:02}.png").write_bytes(b"?")
    (tmp_path / "imgs" / "test" / "b" / "lost.png").symlink_to("nowhere")
    (tmp_path / "imgs" / "test" / "b" / "more").mkdir()
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith("17 of 21 files and folders of images cannot be used:")
    assert "lost.png: is a broken link" in message
    assert "more: is a folder" in message
    assert "train/b/0bad.png: is not an image" in message
    assert "test/a/06.png: is not an image" in message
    assert message.endswith("and 7 more")
    assert not list(tmp_path.glob("cache/*.pt"))


@pytest.mark.parametrize("background", ["black", "#204060"])
def test_the_background_is_an_option(tmp_path, load, background):
    write_folder(tmp_path / "imgs", half_transparent("RGBA", "png"))
    data = load(background=background)
    assert tuple(data.train.images[2, :, 7, 0].tolist()) == ((0, 0, 0) if background == "black" else (32, 64, 96))
    assert data.notes == (f"images: 1 transparent laid on {background}",)
    assert data.fingerprint != load().fingerprint


WIDE = np.concatenate(
    [np.full((8, 4, 3), TOP, np.uint8), np.full((8, 8, 3), WHITE, np.uint8), np.full((8, 4, 3), TOP, np.uint8)], 1
)
GROUND = (0, 0, 255)


@pytest.mark.parametrize(
    ("fit", "top", "left", "note"),
    [
        ("squash", WHITE, TOP, "resized to 8×8 (squashed; data.fit=crop or pad keeps proportions)"),
        ("crop", WHITE, WHITE, "resized and cropped to 8×8"),
        ("pad", GROUND, TOP, "resized and padded with blue to 8×8"),
    ],
)
def test_how_images_are_brought_to_their_size_is_an_option(tmp_path, load, fit, top, left, note):
    write_folder(tmp_path / "imgs", encoded(Image.fromarray(WIDE), "png"))  # 16×8
    data = load(fit=fit, background="blue")
    image = data.train.images[2]
    assert tuple(image[:, 0, 4].tolist()) == top
    assert tuple(image[:, 4, 0].tolist()) == left
    assert data.notes[0] == f"images: 1 of 16×8 {note}"


def test_images_need_not_be_square(tmp_path, load):
    write_folder(tmp_path / "imgs", encoded(Image.fromarray(WIDE), "png"))
    data = load(image_size=[8, 16])
    assert data.train.images.shape == (3, 3, 8, 16)
    assert np.array_equal(data.train.images[2].permute(1, 2, 0).numpy(), WIDE)
    assert data.notes == ("images: 4 of 8×8 resized to 16×8 (squashed; data.fit=crop or pad keeps proportions)",)


@pytest.mark.parametrize(
    ("option", "said"), [({"fit": "stretch"}, "squash, crop or pad"), ({"background": "whiet"}, "a colour's name")]
)
def test_an_option_that_is_not_known_is_an_error(load, option, said):
    with pytest.raises(ConfigError, match=said):
        load(**option)


def test_notes_reach_a_process_that_did_not_read_the_files(tmp_path, load, monkeypatch):
    write_folder(tmp_path / "imgs", animated("gif"))
    (tmp_path / "imgs" / "val").mkdir()
    seen = load()
    monkeypatch.setattr(cache, "_imported", cache.export_verified())
    (tmp_path / "imgs").rename(tmp_path / "gone")
    assert load().notes == seen.notes != ()


def test_images_that_tell_nothing_are_told(tmp_path, load):
    plain = encoded(Image.fromarray(UPRIGHT), "png")
    write_folder(tmp_path / "imgs", plain)
    (tmp_path / "imgs" / "train" / "a" / "copy.png").write_bytes(plain)
    (tmp_path / "imgs" / "test" / "a" / "seen.png").write_bytes(plain)
    (tmp_path / "imgs" / "test" / "b" / "white.png").write_bytes(encoded(Image.new("RGB", (8, 8), WHITE), "png"))
    assert load().notes == (
        "1 of 8 images are of one colour throughout; look at the files if they should show something",
        "1 of 4 training images are copies of others, 1 of them under several classes",
        "1 test or validation images are copies of training images: their accuracy says less",
    )
    for path in (tmp_path / "imgs").rglob("*.png"):
        path.write_bytes(plain)
    (tmp_path / "imgs" / "train" / "b" / "x").write_bytes(plain)
    assert load().notes == ("all 4 training images are alike: there is nothing to learn from them; look at the files",)


def test_progress_is_told(tmp_path, load):
    write_folder(tmp_path / "imgs", animated("gif"))
    told = []
    load(progress=lambda *now: told.append(now))
    assert told[-1] == (f"reading 5 images of {tmp_path / 'imgs'}", 5, 5)
    told.clear()
    load(progress=lambda *now: told.append(now))
    assert not told


@pytest.mark.parametrize("kind", SHOWN)
def test_a_header_says_what_reading_the_picture_says(tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(SHOWN[kind][0])
    picture, header = read_picture(str(path), Treatment(8, 8, "squash", WHITE)), read_header(str(path))
    assert (header.size, header.changes) == (picture.size, picture.changes)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_a_header_gives_the_size_as_a_viewer_shows_it(tmp_path, extension, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "picture"
    path.write_bytes(encoded(Image.new("RGB", (12, 8)), extension, exif=exif))
    size = read_picture(str(path), Treatment(8, 8, "squash", WHITE)).size
    assert read_header(str(path)).size == size == ((8, 12) if orientation > 4 else (12, 8))
