"""Read one image file as a viewer shows it: turned by EXIF, transparency on a background, 16 bits scaled to 8."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps

from cifar_sweeps.errors import in_one_line

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "TGA")
"""Formats to read. Pillow knows more, but runs other programs for some: Ghostscript for PostScript under any name."""

_ORIENTATION = 0x0112  # the EXIF tag
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_RESAMPLING = Image.Resampling.BILINEAR

Fit = Literal["squash", "crop", "pad"]
Change = Literal["turned", "transparent", "deep", "frames", "cmyk"]


class Treatment(NamedTuple):
    """How each image is brought to one shape.

    height, width: in pixels. fit: ``squash`` scales both sides, ``crop`` keeps the proportions and cuts off what is too
    long, ``pad`` keeps them and fills with the background. background: RGB, also laid under transparent images.
    """

    height: int
    width: int
    fit: Fit
    background: tuple[int, int, int]


class Picture(NamedTuple):
    """A decoded image. pixels: (height, width, 3). size: width and height before, as a viewer shows it."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    changes: tuple[Change, ...]


class PictureHeader(NamedTuple):
    """What a file says of its image. size: width and height as a viewer shows it. mode: Pillow's, of its pixels."""

    size: tuple[int, int]
    mode: str
    changes: tuple[Change, ...]


class UnreadableError(Exception):
    """What is wrong with a file, and what to do, to be said behind its name."""


def parse_colour(name: str) -> tuple[int, int, int]:
    """Return RGB of a colour's name or ``#rrggbb``. Raises ValueError."""
    return ImageColor.getrgb(name)[:3]


def read_picture(path: str, treatment: Treatment) -> Picture:
    """Decode an image file. Raises UnreadableError if it is damaged, no image, a bomb, or of another kind of pixels."""
    try:
        with Image.open(path, formats=FORMATS) as image:  # reads only the header
            changes = _changes(image)
            rgb, transparent = _to_rgb(_turned(image), treatment.background)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError(f"is too large an image to open safely ({error}); shrink or remove it") from error
    except UnreadableError:
        raise
    except PermissionError as error:
        raise UnreadableError("may not be read; change its permissions, or remove it") from error
    except Exception as error:  # a damaged file may raise anything
        raise UnreadableError(
            f"is not an image that Pillow can read as {', '.join(FORMATS)} ({in_one_line(error)}); repair or remove it"
        ) from error
    if transparent:
        changes = (*changes, "transparent")
    return Picture(np.asarray(_fitted(rgb, treatment)), rgb.size, changes)


def read_header(path: str) -> PictureHeader:
    """Return an image file's size, kind of pixels and changes. Decodes it only where it must.

    For files that `read_picture` has accepted: a damaged one may raise anything.
    """
    with Image.open(path, formats=FORMATS) as image:
        changes, mode, size = _changes(image), image.mode, image.size
        is_turned_tiff = image.format == "TIFF" and "turned" in changes  # some Pillows turn the size alone, others not
        if is_turned_tiff or mode in _ALPHA_MODES or "transparency" in image.info:
            rgb, transparent = _to_rgb(_turned(image), (0, 0, 0))
            return PictureHeader(rgb.size, mode, (*changes, "transparent") if transparent else changes)
        lies = _orientation(image) in range(5, 9)
    return PictureHeader(size[::-1] if lies else size, mode, changes)


def _changes(image: Image.Image) -> tuple[Change, ...]:
    """Return what a viewer does with this image that is not in its pixels, from its header."""
    found: list[Change] = []
    if _orientation(image) in range(2, 9):
        found.append("turned")
    if image.mode.startswith("I"):
        found.append("deep")
    if image.mode == "CMYK":
        found.append("cmyk")
    # An MPO file is a camera's JPEG with a preview or a second view behind it.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        found.append("frames")
    return tuple(found)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 (damaged EXIF may raise anything; a viewer then shows the image unturned)
        return 1


def _turned(image: Image.Image) -> Image.Image:
    """Return the image, its first frame, turned as its EXIF data say."""
    image.load()  # turns a TIFF, and takes the mark away
    orientation = _orientation(image)
    if orientation not in range(2, 9):
        return image
    exif = image.getexif()
    for tag in [tag for tag in exif if tag != _ORIENTATION]:  # of no use here, and Pillow may fail to write them anew
        del exif[tag]
    return ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> tuple[Image.Image, bool]:
    """Return the image in RGB, and whether some of it was transparent and now shows the background."""
    if image.mode[0] in "IF":
        return _deep_to_rgb(image, background)
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image.convert("RGB"), False
    if image.mode in ("La", "RGBa"):  # premultiplied; Pillow has no direct way from La
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    rgba = image.convert("RGBA")
    lowest, _ = rgba.getchannel("A").getextrema()
    if lowest == 255:
        return image.convert("RGB"), False
    ground = Image.new("RGBA", rgba.size, (*background, 255))
    return Image.alpha_composite(ground, rgba).convert("RGB"), True


def _deep_to_rgb(image: Image.Image, background: tuple[int, int, int]) -> tuple[Image.Image, bool]:
    """Scale grey pixels of 16 bits to 8; those of other formats have no known range."""
    pixels = np.asarray(image)
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if not is_16_bit:
        raise UnreadableError(
            f"has pixels of more than 16 bits, or floating-point ones (Pillow's mode {image.mode}), which have no "
            "agreed range; convert it to 8 or 16 bits"
        )
    grey = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    rgb = Image.fromarray(grey).convert("RGB")
    hidden = image.info.get("transparency")
    if not isinstance(hidden, int) or not (pixels == hidden).any():
        return rgb, False
    mask = Image.fromarray(((pixels == hidden) * 255).astype(np.uint8))
    rgb.paste(background, mask=mask)
    return rgb, True


def _fitted(image: Image.Image, treatment: Treatment) -> Image.Image:
    size = (treatment.width, treatment.height)
    if image.size == size:
        return image
    if treatment.fit == "crop":
        return ImageOps.fit(image, size, _RESAMPLING)
    if treatment.fit == "pad":
        return ImageOps.pad(image, size, _RESAMPLING, color=treatment.background)
    return image.resize(size, _RESAMPLING)
