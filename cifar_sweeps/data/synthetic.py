"""Ten classes of small coloured scenes, drawn from a seed: a data set that needs no download.

A scene is a light shape before a dark background, partly hidden by patches. The shape alone tells the class: colours,
place, size, tilt, background and patches are drawn independently of it. Every class looks the same in a mirror, so that
flips keep it.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cifar_sweeps.data.cache import cached
from cifar_sweeps.data.dataset import ImageData, LabelledImages
from cifar_sweeps.errors import ConfigError

Floats = NDArray[Any]  # float32; numpy's stubs lose the type in arithmetic

# Changes with the drawing, so that a cache of an older drawing is not taken for this one.
_DRAWING = 3
_CHUNK = 250  # images drawn at once: what the processor's cache holds (6,000 in one go take twice as long)

# How hard the scenes are. The distance in luminance lets a small network see the shapes after two epochs of 4,000
# images; the patches, which may be as light as the shape, are what it then learns by heart.
_BACKGROUND_LUMINANCE = (0.0, 0.15)  # where 1 is white
_SHAPE_LUMINANCE = (0.8, 1.0)
_PATCH_LUMINANCE = (0.0, 1.0)
_RADIUS = (0.55, 0.7)  # of the shape, where 1 is half the image's side
_PATCHES = 6
_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of red, green and blue in the luminance (ITU-R BT.601)


def _wave(position: Floats) -> Floats:
    """Signed distance to stripes as wide as the gaps between them: three stripes and two gaps over the shape's side."""
    period = np.float32(0.72)
    phase = position / period + np.float32(0.5)  # a stripe in the middle, or a mirror would show another pattern
    return (np.abs(phase - np.floor(phase) - np.float32(0.5)) - np.float32(0.25)) * period


def _box(u: Floats, v: Floats) -> Floats:
    return np.maximum(np.abs(u), np.abs(v))


def _triangle(u: Floats, v: Floats) -> Floats:
    return np.maximum(v - 0.55, 0.866 * np.abs(u) - 0.5 * v - 0.5)


def _cross(u: Floats, v: Floats) -> Floats:
    return np.minimum(np.maximum(np.abs(u) - 0.95, np.abs(v) - 0.32), np.maximum(np.abs(v) - 0.95, np.abs(u) - 0.32))


def _checkers(u: Floats, v: Floats) -> Floats:
    across, upright = _wave(u), _wave(v)
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
    "bars_across": lambda u, v: np.maximum(_box(u, v) - 0.9, _wave(v)),
    "bars_upright": lambda u, v: np.maximum(_box(u, v) - 0.9, _wave(u)),
    "checkers": _checkers,
    "pair": lambda u, v: np.hypot(np.abs(u) - 0.52, v) - 0.42,
}


def load_synthetic(
    *,
    cache: str | Path,
    seed: int = 0,
    train_images: int = 4000,
    test_images: int = 2000,
    image_size: int = 32,
    label_noise: float = 0.2,
) -> ImageData:
    """Draw the scenes, or take them from the cache.

    label_noise: this fraction of the *training side's* labels, and so of what becomes validation, is replaced by
        another class at random: no honest model passes a validation accuracy of about ``1 - label_noise``, and one
        that learns the training labels by heart is seen to. Test labels are all true.
    Every class is equally frequent, up to one image. The same arguments give the same images in every process.
    Raises ConfigError naming each argument that is out of range, DataError if the cache cannot be written.
    """
    faults = [
        f"data.source.{name}={value}: must be at least {least}"
        for name, value, least in (
            ("seed", seed, 0),
            ("train_images", train_images, len(_SHAPES)),
            ("test_images", test_images, len(_SHAPES)),
            ("image_size", image_size, 8),
        )
        if value < least
    ]
    if not 0 <= label_noise < 1:
        faults.append(f"data.source.label_noise={label_noise}: must be in [0, 1); use e.g. 0.2")
    if faults:
        raise ConfigError(faults)

    def draw() -> tuple[LabelledImages, LabelledImages, tuple[str, ...]]:
        train = _side(np.random.default_rng([seed, 0]), train_images, image_size, label_noise)
        test = _side(np.random.default_rng([seed, 1]), test_images, image_size, label_noise=0.0)
        return train, test, tuple(_SHAPES)

    key = f"{_DRAWING} {seed} {train_images} {test_images} {image_size} {label_noise}"
    return cached(Path(cache), name="synthetic", key=key, original_order=False, make=draw)


def _side(rng: np.random.Generator, count: int, size: int, label_noise: float) -> LabelledImages:
    """Draw ``count`` scenes of ``size`` x ``size`` pixels with their labels."""
    shown = rng.permutation(np.arange(count) % len(_SHAPES))
    starts = range(0, count, _CHUNK)
    scenes = np.concatenate([_scenes(rng, shown[start : start + _CHUNK], size) for start in starts])
    labels = shown.copy()
    wrong = rng.permutation(count)[: round(label_noise * count)]
    labels[wrong] = (shown[wrong] + rng.integers(1, len(_SHAPES), size=len(wrong))) % len(_SHAPES)
    images = torch.from_numpy(scenes).permute(0, 3, 1, 2)
    return LabelledImages(images, torch.from_numpy(labels.astype(np.int64)))


def _scenes(rng: np.random.Generator, classes: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Draw one scene for each class index: (N, size, size, 3) uint8."""
    count = len(classes)
    scene = _backgrounds(rng, count, size)
    _paint(scene, _shape_masks(rng, classes, size), _colours(rng, count, _SHAPE_LUMINANCE))
    for _ in range(_PATCHES):
        _paint(scene, _patch_masks(rng, count, size), _colours(rng, count, _PATCH_LUMINANCE))
    return (np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8)


def _paint(scene: Floats, mask: Floats, colour: Floats) -> None:
    """Blend a colour (N, 1, 1, 3) into the scene (N, H, W, 3) where the mask (N, H, W) in [0, 1] says so."""
    scene += mask[..., None] * (colour - scene)


def _colours(rng: np.random.Generator, count: int, luminance: tuple[float, float]) -> Floats:
    """Draw colours of any hue and of about the given luminance, one an image: (N, 1, 1, 3) in [0, 1]."""
    colour = rng.random((count, 1, 1, 3), dtype=np.float32)
    grey = (colour * _WEIGHTS).sum(axis=-1, keepdims=True)
    return np.clip(colour - grey + _uniform(rng, count, *luminance)[..., None], 0, 1)


def _uniform(rng: np.random.Generator, count: int, low: float, high: float) -> Floats:
    """One number an image, shaped (N, 1, 1)."""
    return (low + (high - low) * rng.random((count, 1, 1), dtype=np.float32)).astype(np.float32)


def _pixels(size: int) -> tuple[Floats, Floats]:
    """Columns (1, 1, W) and rows (1, H, 1) of the pixels' centres, from -1 to 1 over the image."""
    centres = ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1).astype(np.float32)
    return centres[None, None, :], centres[None, :, None]


def _backgrounds(rng: np.random.Generator, count: int, size: int) -> Floats:
    """Run from one colour to another in a random direction, with ripples across it: (N, H, W, 3)."""
    x, y = _pixels(size)
    angle = _uniform(rng, count, 0, 2 * math.pi)
    ramp = (np.cos(angle) * x + np.sin(angle) * y) * np.float32(0.35) + np.float32(0.5)
    ripple_x, ripple_y = _uniform(rng, count, 1, 5), _uniform(rng, count, 1, 5)
    ripple = np.sin(ripple_x * x + angle) * np.cos(ripple_y * y - angle) * _uniform(rng, count, 0, 0.1)
    start, end = _colours(rng, count, _BACKGROUND_LUMINANCE), _colours(rng, count, _BACKGROUND_LUMINANCE)
    return start + (end - start) * (ramp + ripple)[..., None]


def _shape_masks(rng: np.random.Generator, classes: NDArray[np.int64], size: int) -> Floats:
    """Cover each image's shape, tilted, moved and scaled at random, with soft edges: (N, H, W) in [0, 1]."""
    count = len(classes)
    x, y = _pixels(size)
    radius = _uniform(rng, count, *_RADIUS)
    reach = 0.85 - radius
    x = x - reach * _uniform(rng, count, -1, 1)
    y = y - reach * _uniform(rng, count, -1, 1)
    tilt = _uniform(rng, count, -0.2, 0.2)
    u = (np.cos(tilt) * x + np.sin(tilt) * y) / radius
    v = (np.cos(tilt) * y - np.sin(tilt) * x) / radius
    distance = np.empty_like(u)
    for index, shape in enumerate(_SHAPES.values()):
        chosen = classes == index
        distance[chosen] = shape(u[chosen], v[chosen])
    edge = radius * np.float32(size / 2)  # the shape's unit in pixels: the soft edge is one pixel wide
    return np.clip(0.5 - distance * edge, 0, 1)


def _patch_masks(rng: np.random.Generator, count: int, size: int) -> Floats:
    """Cover a small rectangle an image: (N, H, W), 0 or 1."""
    x, y = _pixels(size)
    inside_x = np.abs(x - _uniform(rng, count, -1, 1)) < _uniform(rng, count, 0.1, 0.4)
    inside_y = np.abs(y - _uniform(rng, count, -1, 1)) < _uniform(rng, count, 0.1, 0.4)
    return (inside_x & inside_y).astype(np.float32)
