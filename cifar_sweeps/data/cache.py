"""Cache of decoded data sets: each is built once, and every process maps the same file into memory."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from cifar_sweeps.data.dataset import ImageData, LabelledImages, fingerprint
from cifar_sweeps.errors import DataError
from cifar_sweeps.system.files import atomic_write
from cifar_sweeps.system.locks import file_lock

log = logging.getLogger(__name__)

_FORMAT = 1
_T = TypeVar("_T")


class DecodedDataset(NamedTuple):
    """Training images, test images, class names; validation images of their own; notes, see `ImageData`."""

    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    val: LabelledImages | None = None
    notes: tuple[str, ...] = ()


class VerifiedDataset(NamedTuple):
    """A data set whose files have been checked: its name, its cache file, and the notes of this check."""

    name: str
    path: str
    notes: tuple[str, ...]


_verified: dict[str, VerifiedDataset] = {}
_imported: dict[str, VerifiedDataset] = {}


def export_verified() -> dict[str, VerifiedDataset]:
    """Return the data sets whose files this process has checked, by request."""
    return dict(_verified)


def import_verified(verified: Mapping[str, VerifiedDataset]) -> None:
    """Accept what another process has checked (see `export_verified`): a sweep checks its files once for all jobs."""
    _imported.update(verified)


def load_if_unchanged(request: str) -> ImageData | None:
    """Return a data set that another process has checked; None if none has, or the cache file is gone."""
    found = _imported.get(request)
    data = None if found is None else _read(Path(found.path), found.name)
    return None if found is None or data is None else _with_notes(data, found.notes)


def cached_dataset(
    folder: Path,
    *,
    name: str,
    key: str,
    original_order: bool,
    build: Callable[[], DecodedDataset],
    request: str = "",
    notes: tuple[str, ...] = (),
) -> ImageData:
    """Return a data set from its cache file, after building the file with ``build`` if it is missing or damaged.

    key: everything that the data depends on; another key is another file. Processes that start at the same time wait
    for the one that builds it. request: identifies the loader's arguments, if checking the files takes long; see
    `load_if_unchanged`. notes: of this request, ahead of those that ``build`` returned, which the file keeps.
    Raises DataError if the folder cannot be written, and what ``build`` raises.
    """
    digest = hashlib.sha256(f"{_FORMAT} {name} {key}".encode(errors="surrogateescape")).hexdigest()[:16]
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:40]
    path = folder / f"{safe}-{digest}.pt"
    if request:
        _verified[request] = VerifiedDataset(name, str(path.absolute()), notes)
    data = read_or_build(
        path,
        read=lambda: _read(path, name),
        build=lambda: _write(path, build(), original_order),
        what="the data cache",
    )
    return _with_notes(data, notes)


def read_or_build(path: Path, *, read: Callable[[], _T | None], build: Callable[[], None], what: str) -> _T:
    """Return what ``read`` reads of the file, after ``build`` has written it if it returns None: missing or damaged.

    Processes that start at the same time wait for the one that builds. what: the content, for messages.
    Raises DataError if the folder cannot be written, and what ``build`` raises.
    """
    found = read()
    if found is not None:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.with_suffix(".lock")):
            found = read()  # another process may have built it while this one waited
            if found is None:
                build()
                found = read()
    except OSError as error:
        raise DataError(
            f"{path.parent}: {what} cannot be written ({error.strerror or error}); "
            "free some space, or set outputs=FOLDER to another folder"
        ) from error
    if found is None:
        raise DataError(f"{path}: cannot be read back after it was written; check the disk")
    return found


def _with_notes(data: ImageData, notes: tuple[str, ...]) -> ImageData:
    return dataclasses.replace(data, notes=(*notes, *data.notes))


def _write(path: Path, dataset: DecodedDataset, original_order: bool) -> None:
    train, test, classes, val, notes = DecodedDataset(*dataset)
    tensors: dict[str, Any] = {}
    for side, data in (("train", train), ("test", test), ("val", val)):
        if data is None:
            continue
        # N, H, W, 3: see LabelledImages.
        tensors[f"{side}_pixels"] = data.images.permute(0, 2, 3, 1).contiguous()
        tensors[f"{side}_labels"] = data.labels.contiguous()
    metadata = {
        "classes": classes,
        "original_order": original_order,
        "fingerprint": fingerprint(train, test, classes, val),
        "notes": notes,
    }
    write_tensors(path, {**tensors, "facts": json.dumps(metadata)})


def write_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values to a file that appears whole. Raises OSError."""
    with atomic_write(path) as file:
        try:
            torch.save(dict(content), file)
        except RuntimeError as error:  # what torch raises if a write fails, as on a full disk
            raise OSError(f"torch.save: {error}") from error


def _read(path: Path, name: str) -> ImageData | None:
    """Map a cache file into memory; None if it is missing or damaged."""
    if not path.exists():
        return None
    try:
        # torch checks the archive's directory, which is at the file's end: a truncated file fails here.
        content = torch.load(path, mmap=True, weights_only=True)
        metadata = json.loads(content["facts"])
        sides = [
            LabelledImages(content[f"{side}_pixels"].permute(0, 3, 1, 2), content[f"{side}_labels"])
            for side in ("train", "test", "val")
            if side != "val" or "val_pixels" in content
        ]
        classes, original_order = tuple(metadata["classes"]), bool(metadata["original_order"])
        return ImageData(
            name,
            sides[0],
            sides[1],
            classes,
            original_order,
            str(metadata["fingerprint"]),
            val=sides[2] if len(sides) > 2 else None,
            notes=tuple(metadata.get("notes", ())),  # files of version 0.1 have none
        )
    except Exception as error:  # noqa: BLE001 (a damaged archive may raise anything, and the file is then useless)
        log.warning("%s: damaged (%s); it is rebuilt", path, error)
        return None
