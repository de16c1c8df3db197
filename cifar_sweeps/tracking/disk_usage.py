"""Disk usage of an outputs folder, and removal of what is not needed."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import count_undelivered_lines, store_of
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_errors import store_errors
from cifar_sweeps.tracking.store_uri import embedded_uri
from cifar_sweeps.tracking.ui.saved_view import remove_orphans

_ABANDONED_AFTER = 3600.0
"""Seconds after which a sweep without any started job counts as abandoned."""
_Identity: TypeAlias = tuple[int, int]
"""Of a file, whatever its names: its device and inode."""


@dataclass(frozen=True)
class DiskUsage:
    """Size of one kind of file. option: frees it; "" if none does. paths: the files and folders it would remove."""

    description: str
    size: int
    option: str = ""
    paths: tuple[Path, ...] = ()


def disk_usage(outputs: Path) -> list[DiskUsage]:
    """Return the disk usage of an outputs folder by kind. Raises TrackingError if there is no such folder."""
    if not outputs.is_dir():
        raise TrackingError(f"{outputs}: there is no such folder; set CIFAR_SWEEPS_OUTPUTS to the outputs folder")
    folders = [*journal.folders(outputs)]
    checkpoints = tuple(
        path for folder in folders if _is_in_store(folder) for path in _files(folder / "checkpoints") if _is_own(path)
    )
    caches = tuple(path for path in [outputs / "data"] if path.is_dir())
    leftovers = tuple(_leftovers(outputs, folders))
    stored = _stored(outputs)
    runs = [path for name in ("runs", "sweeps") for path in _files(outputs / name)]
    freed = {*checkpoints, *(file for path in leftovers for file in _files(path))}
    return [
        DiskUsage("second copies of finished runs' checkpoints", _size(checkpoints), "--checkpoints", checkpoints),
        DiskUsage(
            "decoded images, features, whitening, initial weights: rebuilt when needed",
            _size(caches),
            "--caches",
            caches,
        ),
        DiskUsage("partial files of killed processes, empty sweeps", _size(leftovers), "--leftovers", leftovers),
        DiskUsage("artifacts, database; freed of it: runs deleted in MLflow", _size(stored), "--deleted"),
        DiskUsage(
            "folders of runs and sweeps: journals, logs, figures, other checkpoints",
            _size(set(runs) - freed, but=_identities(stored)),
        ),
    ]


def remove(use: DiskUsage) -> None:
    """Remove the paths of one kind."""
    for path in use.paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def purge_deleted_runs(outputs: Path) -> str:
    """Purge the runs that were deleted in MLflow, with their artifacts and their sweeps' views; return what was done.

    Raises TrackingError if there is no store, or MLflow fails.
    """
    store = Store(embedded_uri(outputs), outputs)
    store.check_exists()
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", store.uri]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise TrackingError(f"{store.uri}: mlflow gc failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    views = remove_orphans(store)  # of sweeps that are gone for good
    told = [f"removed {views} saved views of sweeps that are gone"] if views else []
    return "\n".join([done.stdout.strip(), *told])


def _is_in_store(folder: Path) -> bool:
    run = read_run(folder)
    if run is None or run.state != "FINISHED" or count_undelivered_lines(folder) or not run.run_id:
        return False
    store = store_of(folder, journal.read(folder)[0])
    try:
        return bool(store.client().list_artifacts(run.run_id, "checkpoints"))
    except store_errors():  # unknown: keep them
        return False


def _leftovers(outputs: Path, folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if not journal.is_locked(folder):
            yield from (folder / "checkpoints").glob(".*.tmp")
    for folder in (outputs / "sweeps").glob("*"):
        # A younger one may still be checking its jobs.
        is_old = folder.is_dir() and time.time() - folder.stat().st_mtime > _ABANDONED_AFTER
        if is_old and not any(folder.rglob(journal.NAME)):
            yield folder


def _stored(outputs: Path) -> list[Path]:
    return [*_files(outputs / "artifacts"), *outputs.glob("mlflow.db*")]


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return [Path(path, name) for path, _, names in os.walk(folder) for name in names]


def _is_own(path: Path) -> bool:
    """Return whether a file has no other name: removing one of several, which the store may have, frees nothing."""
    try:
        return path.lstat().st_nlink == 1
    except FileNotFoundError:
        return False


def _size(paths: Iterable[Path], but: Iterable[_Identity] = ()) -> int:
    """Return how many bytes files take, each once however many names it has. but: those that are counted elsewhere."""
    size, counted = 0, set(but)
    for path in paths:
        for file in _files(path):
            with contextlib.suppress(FileNotFoundError):  # a running run has removed it
                found = file.lstat()
                identity = (found.st_dev, found.st_ino)
                size += 0 if identity in counted else found.st_size
                counted.add(identity)
    return size


def _identities(paths: Iterable[Path]) -> Iterator[_Identity]:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            yield found.st_dev, found.st_ino
