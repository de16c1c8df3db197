"""Decoded data sets on disk: each is made once, and every process maps the same file into its memory."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from cifar_sweeps.data.dataset import ImageData, LabelledImages, fingerprint
from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import atomic_write

log = logging.getLogger(__name__)

_FORMAT = 1

DatasetBuilder = tuple[LabelledImages, LabelledImages, tuple[str, ...]]
"""Training side, test side, names of the classes."""


_found: dict[str, tuple[str, str]] = {}
_trusted: dict[str, tuple[str, str]] = {}


def export_verified() -> dict[str, tuple[str, str]]:
    """Return what this process has found of what was asked for: names and cache files."""
    return dict(_found)


def import_verified(found: Mapping[str, tuple[str, str]]) -> None:
    """Take another process' word, as `found` gave it: a sweep looks at its files once for all of its jobs."""
    _trusted.update(found)


def load_if_unchanged(request: str) -> ImageData | None:
    """Return a data set whose files need no second look; None if they do, or the cache is gone."""
    name, path = _trusted.get(request, ("", ""))
    return _read(Path(path), name) if path else None


def cached(
    folder: Path, *, name: str, key: str, original_order: bool, make: Callable[[], DatasetBuilder], request: str = ""
) -> ImageData:
    """Return the data set that ``make`` makes, from its cache file where there is a sound one.

    key: everything that the data depends on; another key is another file. Processes that start at once wait for the
    one that makes it. request: what was asked for, if to look at its files takes long; see `found_before`.
    Raises DataError if the folder cannot be written, and what ``make`` raises.
    """
    digest = hashlib.sha256(f"{_FORMAT} {name} {key}".encode()).hexdigest()[:16]
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:40]
    path = folder / f"{safe}-{digest}.pt"
    if request:
        _found[request] = (name, str(path.absolute()))
    held = _read(path, name)
    if held is not None:
        return held
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            held = _read(path, name)  # another process may have made it while this one waited
            if held is None:
                _write(path, make(), original_order)
                held = _read(path, name)
    except OSError as error:
        raise DataError(
            f"{folder}: the data cache cannot be written ({error.strerror or error}); "
            "make room there, or set outputs=FOLDER to another folder"
        ) from error
    if held is None:
        raise DataError(f"{path}: was written and cannot be read back; look at the disk")
    return held


def _write(path: Path, made: DatasetBuilder, original_order: bool) -> None:
    train, test, classes = made
    tensors: dict[str, Any] = {}
    for side, data in (("train", train), ("test", test)):
        # N, H, W, 3: see LabelledImages.
        tensors[f"{side}_pixels"] = data.images.permute(0, 2, 3, 1).contiguous()
        tensors[f"{side}_labels"] = data.labels.contiguous()
    facts = {"classes": classes, "original_order": original_order, "fingerprint": fingerprint(train, test, classes)}
    with atomic_write(path) as file:
        try:
            torch.save({**tensors, "facts": json.dumps(facts)}, file)
        except RuntimeError as error:  # torch's own word for a write that failed, as on a full disk
            raise OSError(f"torch.save: {error}") from error


def _read(path: Path, name: str) -> ImageData | None:
    """Map a cache file into memory; None if there is none, or a damaged one."""
    if not path.exists():
        return None
    try:
        # torch checks the archive's directory, which stands at the file's end: a file that was cut off fails here.
        held = torch.load(path, mmap=True, weights_only=True)
        facts = json.loads(held["facts"])
        sides = [
            LabelledImages(held[f"{side}_pixels"].permute(0, 3, 1, 2), held[f"{side}_labels"])
            for side in ("train", "test")
        ]
        classes, original_order = tuple(facts["classes"]), bool(facts["original_order"])
        return ImageData(name, sides[0], sides[1], classes, original_order, str(facts["fingerprint"]))
    except Exception as error:  # noqa: BLE001 (a damaged archive may raise anything; whatever it is, the file is no use)
        log.warning("%s: damaged (%s); it is made anew", path, error)
        return None
