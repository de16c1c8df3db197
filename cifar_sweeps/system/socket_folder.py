"""Find a folder for Unix sockets: the path of one may have about 100 bytes, and not every file system holds them."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cifar_sweeps.errors import MachineError

_LONGEST_NAME = "/pymp-xxxxxxxx/listener-xxxxxxxx"
"""What `multiprocessing` appends to the folder of temporary files for its own sockets."""


def find_socket_folder() -> str:
    """Return the folder of temporary files, or a standard one where that holds no sockets.

    Raises MachineError if none does.
    """
    given = tempfile.gettempdir()
    for folder in dict.fromkeys((given, "/tmp", "/var/tmp", "/dev/shm")):  # noqa: S108 (a private folder is made there)
        if _holds_sockets(folder):
            return folder
    raise MachineError(
        f"TMPDIR={given}: no socket can be made there, nor in /tmp: the name is too long, or the file system holds "
        "none; set TMPDIR to a folder on a local disk with a short name"
    )


@contextlib.contextmanager
def sockets_in_temporary_folder() -> Iterator[None]:
    """Let `multiprocessing` make its sockets where `find_socket_folder` says, within the block."""
    before = tempfile.tempdir
    tempfile.tempdir = find_socket_folder()
    try:
        yield
    finally:
        tempfile.tempdir = before


def _holds_sockets(folder: str) -> bool:
    try:
        private = tempfile.mkdtemp(prefix="cs-", dir=folder)
    except OSError:
        return False
    try:
        path = os.path.join(private, "x" * (len(_LONGEST_NAME) - len("/cs-xxxxxxxx/")))  # noqa: PTH118 (bytes count)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.bind(path)
    except OSError:
        return False
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return Path(folder).is_absolute()
