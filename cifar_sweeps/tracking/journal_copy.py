"""The copy of a journal that another machine writes: it grows by whole lines, and is locked as the original is."""

import fcntl
import os
from pathlib import Path

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.system.locks import lock_if_possible
from cifar_sweeps.tracking.journal import NAME


class JournalCopy:
    """The journal in ``folder``, which holds the first lines of another machine's.

    As long as this object is not closed, no other command takes the run for one whose process is gone. Raises
    TrackingError if another process writes the journal.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            lock_if_possible(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise TrackingError(
                f"{folder}: another process is writing this run; wait for it, or stop it first"
            ) from None
        content = self._path.read_bytes()
        os.ftruncate(self._file, content.rfind(b"\n") + 1)
        self.lines = content.count(b"\n")

    def extend(self, lines: bytes) -> None:
        """Append whole lines; they are on disk when this returns. Raises OSError, and then none of them is there."""
        if not lines:
            return
        before = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._file, lines[written:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            raise
        self.lines += lines.count(b"\n")

    def agree_with(self, lines: bytes) -> None:
        """Drop what follows the lines that this copy and the original, which begins with ``lines``, have in common.

        While nobody held the copy, another command may have closed it as that of a run whose process is gone.
        """
        content = self._path.read_bytes()
        kept, common = 0, 0
        for own, other in zip(content.splitlines(keepends=True), lines.splitlines(keepends=True), strict=False):
            if own != other:
                break
            kept, common = kept + len(own), common + 1
        os.ftruncate(self._file, kept)
        self.lines = common

    def close(self) -> None:
        """Release the lock. A journal without a line is no run's, and is removed."""
        if not self.lines:
            self._path.unlink(missing_ok=True)
        os.close(self._file)
