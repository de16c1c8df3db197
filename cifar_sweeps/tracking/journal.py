"""A run's journal: everything that is recorded of it, one JSON object a line, on disk before it is sent to a store.

The journal is the source of truth; the store is a copy that can be made at any time. The writing process holds a lock,
which the system releases however the process ends: a journal that is neither closed nor locked belongs to a run that
died. A last line torn by a crash is ignored when the journal is read, and cut off when it is opened for writing.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.system.locks import lock_if_possible

NAME = "journal.jsonl"
PLACED = Path(".tasks", "placed.json")
"""In a sweep's folder while its jobs may run on other machines, with or without a command that controls them."""
_TAIL = 16_384
"""Bytes that hold the last line of an ended run: its reason is one line of text."""
State = Literal["FINISHED", "FAILED", "KILLED"]
"""Final state of a run."""
Op = Literal["open", "resume", "params", "tags", "metrics", "artifact", "dataset", "model", "experiment_tags", "close"]


@dataclass(frozen=True)
class Entry:
    """One line: operation, time (milliseconds since 1970) and the operation's fields. ``number`` counts from 1."""

    number: int
    op: str
    time: int
    fields: Mapping[str, Any]


class Journal:
    """A journal opened for writing, locked by this process. Raises OSError or TrackingError if it cannot be.

    timeout: seconds to wait for another process's lock.
    """

    def __init__(self, folder: Path, timeout: float = 0.2) -> None:
        self.path = folder / NAME
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if not _lock(self._file, timeout):
            os.close(self._file)
            raise TrackingError(f"{folder}: another process is writing this run; wait for it, or stop it first")
        self.entries, complete = _read(self.path)
        os.ftruncate(self._file, complete)

    def append(self, op: Op, **fields: Any) -> Entry:  # noqa: ANN401 (whatever JSON holds)
        """Write a line, which survives the process but not yet a power cut. Raises TrackingError if that fails.

        It is written in one system call, so that no signal leaves half of it.
        """
        entry = Entry(len(self.entries) + 1, op, int(time.time() * 1000), fields)
        line = json.dumps({"op": op, "time": entry.time, **fields}, ensure_ascii=True).encode() + b"\n"
        try:
            before = os.fstat(self._file).st_size
            if os.write(self._file, line) < len(line):
                os.ftruncate(self._file, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError as error:
            raise TrackingError(f"{self.path}: cannot be written ({error.strerror}); make room") from error
        self.entries.append(entry)
        return entry

    def sync(self) -> None:
        """Flush all lines to disk, so that they survive a power cut. Raises TrackingError as `append` does."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise TrackingError(f"{self.path}: cannot be written ({error.strerror}); make room") from error

    def close(self) -> None:
        """Close the file and release the lock."""
        os.close(self._file)


def read(folder: Path) -> list[Entry]:
    """Return the complete lines of a folder's journal; none if there is no journal."""
    return _read(folder / NAME)[0]


def read_more(folder: Path, offset: int, lines: int) -> tuple[list[Entry], int]:
    """Return the complete lines of a folder's journal after a byte, and the byte after them.

    lines: how many lie before ``offset``. A reader that keeps both reads each line once, however long the journal is.
    """
    entries, size = _read(folder / NAME, offset, lines + 1)
    return entries, offset + size


def is_locked(folder: Path) -> bool:
    """Return whether a live process is writing the folder's journal."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        can_tell = lock_if_possible(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    # A file system without locks: a closed run is over, and any other must not be taken for dead.
    return not can_tell and not is_closed(folder)


def has_locks(folder: Path) -> bool:
    """Return whether the file system of the folder's journal has locks, so that a killed run is found out."""
    file = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return lock_if_possible(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)


def count_lines(folder: Path) -> int:
    """Return how many lines the folder's journal has, without a torn one."""
    return (folder / NAME).read_bytes().count(b"\n")


def is_closed(folder: Path) -> bool:
    """Return whether the journal's last complete line closes the run. Reads only the end of the file."""
    with (folder / NAME).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")
    return any(line.startswith(b'{"op": "close"') and line.endswith(b"}") for line in lines[-2:-1])


def folders(root: Path) -> Iterator[Path]:
    """Yield the folders under ``root``, itself included, that hold a journal; a sweep's own before its runs'."""
    for path, subfolders, files in os.walk(root, followlinks=True):
        # The store's files and images hold no journals, and can be very many.
        skipped = ("artifacts", "data") if Path(path) == root else ("checkpoints", "report", ".hydra", ".tasks")
        subfolders[:] = sorted(name for name in subfolders if name not in skipped)
        if NAME in files:
            yield Path(path)


def _lock(file: int, timeout: float) -> bool:
    """Take the write lock within ``timeout`` seconds, as `is_locked` in another process holds it for an instant."""
    end = time.monotonic() + timeout
    while True:
        try:
            lock_if_possible(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)


def _read(path: Path, offset: int = 0, first: int = 1) -> tuple[list[Entry], int]:
    """Return a journal's complete lines from a byte on, and how many bytes of the file they take.

    first: the number of the first of them.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return [], 0
    entries, size = list[Entry](), 0
    for number, line in enumerate(lines[:-1], start=first):  # after the last newline: nothing, or a torn line
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict) or "op" not in record or "time" not in record:
            break
        entries.append(Entry(number, str(record.pop("op")), int(record.pop("time")), record))
        size += len(line) + 1
    return entries, size
