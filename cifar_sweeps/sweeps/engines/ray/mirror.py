"""The controller's copy of a job's folder on a node: its journal, its log, its checkpoints and all other files.

Whatever moment the controller or the node dies at, the copy is one from which the run can be resumed: files come
before the lines of the journal that name them, in the order in which they were written, each whole; a checkpoint is
removed only once a later one is there.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cifar_sweeps.sweeps.engines.ray.actor import Report
from cifar_sweeps.system.files import atomic_write, is_inside
from cifar_sweeps.tracking.journal_copy import JournalCopy

CHECKPOINTS = "checkpoints"
_NAMES_FILES = re.compile(rb'^\{"op": "(artifact|model|close)"', re.MULTILINE)
"""Lines of a journal after which files must be there."""
_WITH_SUM = re.compile(r"-[0-9a-f]{16}\.pt$")
"""Checkpoints with their checksum in their name: those of one name are the same."""
_PAUSE = 10.0
"""How many times as long as a checkpoint took to copy the next one is waited for, so that they take up little."""

Read = Callable[[str, int], bytes | None]
"""Reads the part of a node's file that begins at an offset; None if it is gone; see `actor.JobActor.read`."""


class FolderMirror:
    """Copies what a node reports of a job into the job's folder.

    folder: of the job, here. log_file: of its output, to which is appended. root: of the node's folder, which is taken
    out of the journal's lines. clock: seconds that only grow. Raises TrackingError if another process writes the run.
    """

    def __init__(self, folder: Path, log_file: Path, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._log_file, self._clock = folder, log_file, clock
        # A journal's JSON has it in ASCII, a YAML file as it is.
        self._roots = dict.fromkeys([json.dumps(root)[1:-1].encode(), os.fsencode(root)] if root else [])
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = JournalCopy(folder)
        self._copied: dict[str, tuple[int, int]] = {}
        self._next_checkpoint = 0.0
        self.log_bytes = 0
        """Bytes of the node's log that are here."""

    @property
    def lines(self) -> int:
        """Lines of the node's journal that are here."""
        return self._journal.lines

    def adopt(self, journal: bytes, log_bytes: int) -> None:
        """Go on with a copy that another controller has begun. journal: the node's, from its first line."""
        self._journal.agree_with(self._translate(journal))
        self.log_bytes = log_bytes

    def update(self, report: Report, read: Read) -> bool:
        """Copy what a report lists; return whether there was nothing to copy, or checkpoints that can wait.

        Raises OSError if the copy cannot be written, and what ``read`` raises; nothing is half copied then.
        """
        needs_all = report.exit_code is not None or _NAMES_FILES.search(report.journal) is not None
        is_complete = self._copy_files(report.files, read, needs_all)
        self._remove_old_checkpoints(report.files)
        if report.log:
            self._log_file.parent.mkdir(parents=True, exist_ok=True)
            with self._log_file.open("ab") as log:
                log.write(report.log)
            self.log_bytes += len(report.log)
        if needs_all and not is_complete:  # a line would be there before the file that it names
            return False
        self._journal.extend(self._translate(report.journal))
        return not report.journal and not report.log

    def close(self) -> None:
        """Release the journal."""
        self._journal.close()

    def _translate(self, lines: bytes) -> bytes:
        for root in self._roots:
            lines = lines.replace(root, b"")
        return lines

    def _copy_files(self, files: Mapping[str, tuple[int, int]], read: Read, needs_all: bool) -> bool:
        changed = [path for path, stamp in files.items() if self._copied.get(path) != stamp]
        may_wait = not needs_all and self._clock() < self._next_checkpoint
        is_complete, seconds = True, 0.0
        for path in sorted(changed, key=lambda each: files[each][1]):  # a checkpoint after the weights that it names
            if _is_checkpoint(path) and may_wait:
                continue
            began = self._clock()
            is_complete = self._copy(path, files[path], read) and is_complete
            seconds += self._clock() - began if _is_checkpoint(path) else 0.0
        if seconds:
            self._next_checkpoint = self._clock() + _PAUSE * seconds
        return is_complete

    def _copy(self, path: str, stamp: tuple[int, int], read: Read) -> bool:
        """Copy one file; return False if it has changed or gone meanwhile, and will be in the next report."""
        target = self._folder / path
        if not is_inside(target, self._folder):
            raise PermissionError(f"{target}: is not in the folder of the job")
        target.parent.mkdir(parents=True, exist_ok=True)
        size = stamp[0]
        if _WITH_SUM.search(path) and target.exists() and target.stat().st_size == size:  # it was sent there
            self._copied[path] = stamp
            return True
        try:
            parts = _parts(path, size, read)
            if path.endswith(".yaml"):  # Hydra's files and the run's config, with the places of everything
                parts = iter([self._translate(b"".join(parts))])
            with atomic_write(target) as file:
                for part in parts:
                    file.write(part)
        except _ChangedError:
            return False
        self._copied[path] = stamp
        return True

    def _remove_old_checkpoints(self, files: Mapping[str, tuple[int, int]]) -> None:
        """Remove checkpoints that the node has no more, unless a later one is still to come."""
        listed = {path for path in files if _is_checkpoint(path)}
        if not all(self._copied.get(path) == files[path] for path in listed):
            return
        for path in (self._folder / CHECKPOINTS).glob("*.pt"):
            name = str(path.relative_to(self._folder))
            if name not in listed and (listed or name in self._copied):
                path.unlink(missing_ok=True)


class _ChangedError(Exception):
    """A file is not what the report says any more."""


def _parts(path: str, size: int, read: Read) -> Iterator[bytes]:
    offset = 0
    while offset < size:
        part = read(path, offset)
        if not part:
            raise _ChangedError
        yield part
        offset += len(part)
    if offset != size:
        raise _ChangedError


def _is_checkpoint(path: str) -> bool:
    return path.startswith(f"{CHECKPOINTS}/")
