"""Lock a file among processes; where a file system has no locks, go on without."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BETWEEN_TRIES = 0.05


@contextmanager
def file_lock(path: Path, patience: float | None = None) -> Iterator[None]:
    """Hold ``path`` locked within the block, waiting for another process or thread that holds it.

    patience: seconds to wait at most, as a process that was suspended lets go of nothing; None: as long as it takes.
    Raises TimeoutError after them.

    The file is created, in a folder that must exist, and stays there. The system releases the lock of a process that
    dies. On a file system without locks (some network and FUSE mounts) nothing is locked: what is written under it is
    written whole, so that the worst is work done twice. Raises OSError if the file cannot be opened.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if patience is None:
            lock_if_possible(file, fcntl.LOCK_EX)
        else:
            _lock_within(file, path, patience)
        yield
    finally:
        os.close(file)


def _lock_within(file: int, path: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            lock_if_possible(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise TimeoutError(f"another process has held {path} for {patience:.0f} s; is it suspended?") from error
            time.sleep(_BETWEEN_TRIES)
        else:
            return


def lock_if_possible(file: int, operation: int) -> bool:
    """Lock an open file by ``fcntl.flock`` and return True; False where its file system has no locks.

    Raises BlockingIOError if the operation says not to wait, and another process holds the lock.
    """
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        raise
    except OSError:  # ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL, EIO: which of them depends on the file system
        return False
    return True
