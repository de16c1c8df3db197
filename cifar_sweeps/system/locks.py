"""Lock a file among processes; where a file system has no locks, go on without."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold ``path`` locked within the block, waiting for another process or thread that holds it.

    The file is created, in a folder that must exist, and stays there. The system releases the lock of a process that
    dies. On a file system without locks (some network and FUSE mounts) nothing is locked: what is written under it is
    written whole, so that the worst is work done twice. Raises OSError if the file cannot be opened.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        lock_if_possible(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


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
