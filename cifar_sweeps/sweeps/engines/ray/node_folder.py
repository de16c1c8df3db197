"""The folder of one job on a node that does not see the controller's outputs: it stands for the controller's root.

A path of the controller's, /home/me/outputs/sweeps/S/0, is FOLDER/home/me/outputs/sweeps/S/0 on the node, so that all
paths of a run stand to each other as they do on the controller, and what is recorded of them is theirs once FOLDER is
taken out. The image caches of an outputs folder outlive the job: the next one on this node finds them.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from cifar_sweeps.system.locks import file_lock, lock_if_possible

_LOCK = ".lock"


class NodeFolder:
    """A new folder for one job, which this process holds locked as long as it lives.

    base: the folder of all of them on this node; None: one of this user's among the system's temporary files. outputs:
    the controller's outputs folder, absolute. Those of processes that are gone are removed. Raises OSError.
    """

    def __init__(self, base: str | None, outputs: str) -> None:
        above = Path(base or Path(tempfile.gettempdir()) / f"cifar_sweeps-{os.getuid()}")
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        if above.stat().st_uid != os.getuid():  # whoever made it could put other files in place of the job's
            raise PermissionError(f"{above}: is another user's; choose a folder with hydra.launcher.folder")
        with file_lock(above / _LOCK):
            for leftover in above.glob("job-*"):
                _remove_unless_locked(leftover)
            self.path = Path(tempfile.mkdtemp(prefix="job-", dir=above))
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lock_if_possible(self._lock, fcntl.LOCK_EX)
        images = above / f"images-{hashlib.sha256(os.fsencode(outputs)).hexdigest()[:16]}"
        images.mkdir(exist_ok=True)
        own = Path(self.place_of(outputs))
        own.mkdir(parents=True)
        (own / "data").symlink_to(images)

    def place_of(self, path: str) -> str:
        """Return where a path of the controller's is on this node."""
        return f"{self.path}{path}"

    def offer(self, path: str) -> bool:
        """Let the job find what this node itself has at a path of the controller's; False: it has nothing there."""
        here = Path(path)
        if not here.exists():
            return False
        link = Path(self.place_of(path))
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and not link.exists():  # what an earlier job was offered is gone
            link.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(here)
        return True

    def remove(self) -> None:
        """Remove the folder, but not the images."""
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_unless_locked(folder: Path) -> None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        if lock_if_possible(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:  # its process lives
        pass
    finally:
        os.close(lock)
