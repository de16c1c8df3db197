"""A run's journal: all that its record is told, one JSON object a line, on this disk before it is sent anywhere.

The journal is the truth, and the store a copy of it that can be made at any time. Whoever writes it holds a lock on it,
which the system takes back when the process ends, however it ends: a journal that is neither closed nor locked belongs
to a run that died. A last line that a crash tore is left out when the journal is read, and cut off when it is opened.
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

NAME = "journal.jsonl"
_TAIL = 16_384
"""Bytes that hold the last line of a run that has ended: its reason is one line of words."""
State = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ends."""
Op = Literal["open", "resume", "params", "tags", "metrics", "artifact", "dataset", "model", "close"]


@dataclass(frozen=True)
class Entry:
    """One line: what was done, when (milliseconds since 1970), and with what. ``number`` counts lines from 1."""

    number: int
    op: str
    time: int
    fields: Mapping[str, Any]


class Journal:
    """A journal that is being written, by this process alone. Raises OSError or TrackingError if it cannot be.

    patience: seconds to wait for a process that is at work on it.
    """

    def __init__(self, folder: Path, patience: float = 0.2) -> None:
        self.path = folder / NAME
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if not _lock(self._file, patience):
            os.close(self._file)
            raise TrackingError(f"{folder}: another process is at work on this run; wait for it, or stop it first")
        self.entries = _entries(self.path)
        os.ftruncate(self._file, sum(len(line) + 1 for line in _whole_lines(self.path)))

    def append(self, op: Op, **facts: Any) -> Entry:  # noqa: ANN401 (whatever JSON holds)
        """Write a line: it outlives the process, but not yet the power. Raises TrackingError if it cannot be written.

        One call of the system writes it, so that no signal finds half of it done.
        """
        entry = Entry(len(self.entries) + 1, op, int(time.time() * 1000), facts)
        line = json.dumps({"op": op, "time": entry.time, **facts}, ensure_ascii=True).encode() + b"\n"
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
        """Put all lines onto the disk: they outlive the power, too. Raises TrackingError as `append` does."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise TrackingError(f"{self.path}: cannot be written ({error.strerror}); make room") from error

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def read(folder: Path) -> list[Entry]:
    """Return the whole lines of a folder's journal; none if there is no journal."""
    return _entries(folder / NAME)


def is_locked(folder: Path) -> bool:
    """Say whether a living process is at work on the folder's journal."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: nobody can tell, and a run that lives must not be called dead
        return True
    finally:
        os.close(file)
    return False


def count_lines(folder: Path) -> int:
    """Return how many lines the folder's journal has, a torn one not counted."""
    return (folder / NAME).read_bytes().count(b"\n")


def is_closed(folder: Path) -> bool:
    """Say whether the journal's last whole line is an end; a look at the end of the file is enough."""
    with (folder / NAME).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")
    return any(line.startswith(b'{"op": "close"') and line.endswith(b"}") for line in lines[-2:-1])


def folders(root: Path) -> Iterator[Path]:
    """Yield the folders under ``root``, itself included, that hold a journal; a sweep's own ahead of its runs'."""
    for path, inside, files in os.walk(root, followlinks=True):
        # Neither what the store keeps nor images hold journals, and there may be very many of them.
        besides = ("artifacts", "data") if Path(path) == root else ("checkpoints", "report", ".hydra")
        inside[:] = sorted(name for name in inside if name not in besides)
        if NAME in files:
            yield Path(path)


def _lock(file: int, patience: float) -> bool:
    """Take the lock for writing; who merely looks whether it is held (`is_being_written`) holds it for an instant."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        except OSError:  # a file system without locks
            return True


def _entries(path: Path) -> list[Entry]:
    entries = []
    for number, line in enumerate(_whole_lines(path), start=1):
        held = json.loads(line)
        entries.append(Entry(number, str(held.pop("op")), int(held.pop("time")), held))
    return entries


def _whole_lines(path: Path) -> list[bytes]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    whole = []
    for line in lines[:-1]:  # what follows the last newline is torn, or nothing
        try:
            held = json.loads(line)
        except ValueError:
            break
        if not isinstance(held, dict) or "op" not in held or "time" not in held:
            break
        whole.append(line)
    return whole
