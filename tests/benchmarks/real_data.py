"""The images that are measured on: CIFAR-10's JPEG copy, decoded once into a cache that all benchmarks share."""

import os
from pathlib import Path

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.data.dataset import ImageData
from tests.benchmarks.measuring import RESULTS

VARIABLE = "CIFAR_SWEEPS_REAL_DATA"
CACHE = RESULTS / "data"


class NoRealDataError(Exception):
    """The benchmark needs real images, or published curves, and the environment names none."""


def overrides() -> list[str]:
    """Return what to add to ``cifar-train`` for the real images, whose cache exists then. Raises NoRealDataError."""
    root = os.environ.get(VARIABLE)
    if not root or not Path(root, "train").is_dir():
        raise NoRealDataError(
            f"{VARIABLE}={root or ''}: must be a folder of CIFAR-10's images, train/CLASS/*.jpg and test/CLASS/*.jpg"
        )
    chosen = ["data=image_folder", f"data.root={root}", f"data.source.cache={CACHE}"]
    _load(chosen)
    return chosen


def overrides_or_drawn() -> tuple[list[str], str]:
    """Return the overrides of the real images, or else of drawn ones, and how to call them."""
    try:
        return overrides(), "CIFAR-10 (JPEG copy)"
    except NoRealDataError:
        drawn = ["data=synthetic", f"data.source.cache={CACHE}"]
        _load(drawn)
        return drawn, f"drawn images ({VARIABLE} is not set)"


def _load(chosen: list[str]) -> ImageData:
    return build.images(compose(chosen))


def cache_file() -> Path:
    """Return the largest cache file: that of the real images."""
    return max(CACHE.glob("*.pt"), key=lambda path: path.stat().st_size)
