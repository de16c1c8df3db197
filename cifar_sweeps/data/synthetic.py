"""Synthetic data set that needs no download: ten classes of small coloured scenes, drawn from a seed.

A scene is a light shape on a dark background, partly hidden by patches. Only the shape depends on the class: colours,
position, size, tilt, background and patches are drawn independently of it. Every class is mirror-symmetric, so that
flips keep the label.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_sweeps.data.cache import DecodedDataset, cached_dataset
from cifar_sweeps.data.dataset import ImageData, LabelledImages, Progress
from cifar_sweeps.errors import ConfigError

_Size = tuple[int, int]
"""Height and width of an image in pixels."""

Floats = NDArray[Any]  # float32; numpy's stubs lose the type in arithmetic

# Part of the cache key: increase it when the drawing changes.
_DRAWING_VERSION = 3
_CHUNK = 250  # images drawn at once: what fits the CPU's cache (6,000 at once take twice as long)

# Difficulty of the scenes. The contrast lets a small network learn the shapes in two epochs of 4,000 images; the
# patches, which may be as light as the shape, are what it then overfits to.
_BACKGROUND_LUMINANCE = (0.0, 0.15)  # where 1 is white
_SHAPE_LUMINANCE = (0.8, 1.0)
_PATCH_LUMINANCE = (0.0, 1.0)
_RADIUS = (0.55, 0.7)  # of the shape, where 1 is half the image's side
_PATCHES = 6
_LUMINANCE_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of red, green and blue (ITU-R BT.601)


def _stripes(position: Floats) -> Floats:
    """Return the signed distance to stripes as wide as their gaps: three stripes and two gaps over the shape's side."""
    period = np.float32(0.72)
    phase = position / period + np.float32(0.5)  # a stripe in the middle keeps the pattern mirror-symmetric
    return (np.abs(phase - np.floor(phase) - np.float32(0.5)) - np.float32(0.25)) * period


def _box(u: Floats, v: Floats) -> Floats:
    return np.maximum(np.abs(u), np.abs(v))


def _triangle(u: Floats, v: Floats) -> Floats:
    return np.maximum(v - 0.55, 0.866 * np.abs(u) - 0.5 * v - 0.5)


def _cross(u: Floats, v: Floats) -> Floats:
    return np.minimum(np.maximum(np.abs(u) - 0.95, np.abs(v) - 0.32), np.maximum(np.abs(v) - 0.95, np.abs(u) - 0.32))


def _checkers(u: Floats, v: Floats) -> Floats:
    across, upright = _stripes(u), _stripes(v)
    board = np.maximum(np.minimum(across, upright), -np.maximum(across, upright))
    return np.maximum(_box(u, v) - 0.9, board)


# Signed distance to each shape's outline, negative inside. u runs to the right and v down; the shape is about 2 wide.
_SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": lambda u, v: np.hypot(u, v) - 0.9,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.72) - 0.22,
    "square": lambda u, v: _box(u, v) - 0.8,
    "frame": lambda u, v: np.abs(_box(u, v) - 0.68) - 0.2,
    "triangle": _triangle,
    "cross": _cross,
    "bars_across": lambda u, v: np.maximum(_box(u, v) - 0.9, _stripes(v)),
    "bars_upright": lambda u, v: np.maximum(_box(u, v) - 0.9, _stripes(u)),
    "checkers": _checkers,
    "pair": lambda u, v: np.hypot(np.abs(u) - 0.52, v) - 0.42,
}


def load_synthetic(
    *,
    cache: str | Path,
    seed: int = 0,
    train_images: int = 4000,
    test_images: int = 2000,
    image_size: int | Sequence[int] = 32,
    label_noise: float = 0.2,
    progress: Progress | None = None,
) -> ImageData:
    """Load the synthetic data set, drawn or from the cache.

    image_size: side of the images in pixels, or [height, width].
    label_noise: this fraction of the *training* labels, and so of the validation labels, is replaced by another class
        at random: no model generalizes to a validation accuracy above about ``1 - label_noise``, and one that
        memorizes the training labels shows it. All test labels are true.
    progress: told how many images have been drawn.
    All classes have the same number of images, up to one. The same arguments give the same images in every process.
    Raises ConfigError naming each argument that is out of range, DataError if the cache cannot be written.
    """
    errors = [
        f"data.source.{name}={value}: must be at least {minimum}"
        for name, value, minimum in (
            ("seed", seed, 0),
            ("train_images", train_images, len(_SHAPES)),
            ("test_images", test_images, len(_SHAPES)),
        )
        if value < minimum
    ]
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < 8:
        errors.append(f"data.source.image_size={image_size}: must be at least 8 pixels")
    if not 0 <= label_noise < 1:
        errors.append(f"data.source.label_noise={label_noise}: must be in [0, 1); use e.g. 0.2")
    if errors:
        raise ConfigError(errors)

    def draw() -> DecodedDataset:
        total, done = train_images + test_images, 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(f"drawing {total:,} synthetic images", done, total)

        train, _ = _draw_images(np.random.default_rng([seed, 0]), train_images, (height, width), label_noise, advance)
        test, _ = _draw_images(np.random.default_rng([seed, 1]), test_images, (height, width), 0.0, advance)
        return DecodedDataset(train, test, tuple(_SHAPES))

    size = height if height == width else (height, width)
    key = f"{_DRAWING_VERSION} {seed} {train_images} {test_images} {size} {label_noise}"
    return cached_dataset(Path(cache), name="synthetic", key=key, original_order=False, build=draw)


def true_labels(
    *, seed: int = 0, train_images: int = 4000, image_size: int | Sequence[int] = 32, **_: object
) -> NDArray[np.int64]:
    """Return the training images' true classes, (train_images,) int64, where `load_synthetic` replaced some labels.

    Takes the same arguments, which it must have accepted. The images are drawn again, as their classes are not stored.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])
    return _draw_images(np.random.default_rng([seed, 0]), train_images, size, 0.0, lambda _count: None)[1]


def _draw_images(
    rng: np.random.Generator, count: int, size: _Size, label_noise: float, advance: Callable[[int], None]
) -> tuple[LabelledImages, NDArray[np.int64]]:
    """Draw ``count`` scenes of ``size`` pixels with their labels; return their true classes too."""
    shapes = rng.permutation(np.arange(count, dtype=np.int64) % len(_SHAPES))
    chunks = []
    for start in range(0, count, _CHUNK):
        chunks.append(_draw_scenes(rng, shapes[start : start + _CHUNK], size))
        advance(len(chunks[-1]))
    scenes = np.concatenate(chunks)
    labels = shapes.copy()
    noisy = rng.permutation(count)[: round(label_noise * count)]
    labels[noisy] = (shapes[noisy] + rng.integers(1, len(_SHAPES), size=len(noisy))) % len(_SHAPES)
    images = torch.from_numpy(scenes).permute(0, 3, 1, 2)
    return LabelledImages(images, torch.from_numpy(labels.astype(np.int64))), shapes


def _draw_scenes(rng: np.random.Generator, classes: NDArray[np.int64], size: _Size) -> NDArray[np.uint8]:
    """Draw one scene for each class index: (N, H, W, 3) uint8."""
    count = len(classes)
    scene = _draw_backgrounds(rng, count, size)
    _paint(scene, _shape_masks(rng, classes, size), _draw_colours(rng, count, _SHAPE_LUMINANCE))
    for _ in range(_PATCHES):
        _paint(scene, _patch_masks(rng, count, size), _draw_colours(rng, count, _PATCH_LUMINANCE))
    return (np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8)


def _paint(scene: Floats, mask: Floats, colour: Floats) -> None:
    """Blend a colour (N, 1, 1, 3) into the scene (N, H, W, 3), weighted by the mask (N, H, W) in [0, 1]."""
    scene += mask[..., None] * (colour - scene)


def _draw_colours(rng: np.random.Generator, count: int, luminance: tuple[float, float]) -> Floats:
    """Draw a colour of any hue and about the given luminance for each image: (N, 1, 1, 3) in [0, 1]."""
    colour = rng.random((count, 1, 1, 3), dtype=np.float32)
    grey = (colour * _LUMINANCE_WEIGHTS).sum(axis=-1, keepdims=True)
    return np.clip(colour - grey + _draw_uniform(rng, count, *luminance)[..., None], 0, 1)


def _draw_uniform(rng: np.random.Generator, count: int, low: float, high: float) -> Floats:
    """Draw one uniform number in [low, high) for each image: (N, 1, 1)."""
    return (low + (high - low) * rng.random((count, 1, 1), dtype=np.float32)).astype(np.float32)


def _pixel_coordinates(size: _Size) -> tuple[Floats, Floats]:
    """Return the pixel centres' coordinates x (1, 1, W) and y (1, H, 1), from -1 to 1 over the image."""
    down, across = (((np.arange(n, dtype=np.float32) + 0.5) * 2 / n - 1).astype(np.float32) for n in size)
    return across[None, None, :], down[None, :, None]


def _draw_backgrounds(rng: np.random.Generator, count: int, size: _Size) -> Floats:
    """Draw gradients between two colours in a random direction, with ripples: (N, H, W, 3)."""
    x, y = _pixel_coordinates(size)
    angle = _draw_uniform(rng, count, 0, 2 * math.pi)
    ramp = (np.cos(angle) * x + np.sin(angle) * y) * np.float32(0.35) + np.float32(0.5)
    ripple_x, ripple_y = _draw_uniform(rng, count, 1, 5), _draw_uniform(rng, count, 1, 5)
    ripple = np.sin(ripple_x * x + angle) * np.cos(ripple_y * y - angle) * _draw_uniform(rng, count, 0, 0.1)
    start, end = _draw_colours(rng, count, _BACKGROUND_LUMINANCE), _draw_colours(rng, count, _BACKGROUND_LUMINANCE)
    return start + (end - start) * (ramp + ripple)[..., None]


def _shape_masks(rng: np.random.Generator, classes: NDArray[np.int64], size: _Size) -> Floats:
    """Draw masks of each image's shape, tilted, shifted and scaled at random, with soft edges: (N, H, W) in [0, 1]."""
    count = len(classes)
    x, y = _pixel_coordinates(size)
    radius = _draw_uniform(rng, count, *_RADIUS)
    reach = 0.85 - radius
    x = x - reach * _draw_uniform(rng, count, -1, 1)
    y = y - reach * _draw_uniform(rng, count, -1, 1)
    tilt = _draw_uniform(rng, count, -0.2, 0.2)
    u = (np.cos(tilt) * x + np.sin(tilt) * y) / radius
    v = (np.cos(tilt) * y - np.sin(tilt) * x) / radius
    distance = np.empty_like(u)
    for index, shape in enumerate(_SHAPES.values()):
        chosen = classes == index
        distance[chosen] = shape(u[chosen], v[chosen])
    edge = radius * np.float32(min(size) / 2)  # the shape's unit in pixels: the soft edge is one pixel wide
    return np.clip(0.5 - distance * edge, 0, 1)


def _patch_masks(rng: np.random.Generator, count: int, size: _Size) -> Floats:
    """Draw masks of one small rectangle an image: (N, H, W), 0 or 1."""
    x, y = _pixel_coordinates(size)
    inside_x = np.abs(x - _draw_uniform(rng, count, -1, 1)) < _draw_uniform(rng, count, 0.1, 0.4)
    inside_y = np.abs(y - _draw_uniform(rng, count, -1, 1)) < _draw_uniform(rng, count, 0.1, 0.4)
    return (inside_x & inside_y).astype(np.float32)
