"""Find out whether a node sees the controller's outputs folder: on a disk that both mount at the same path.

The controller leaves a file of a random name and content in the sweep's folder; a node that reads the same there
writes to the same disk. A path alone says nothing: every machine may have a folder of that name.
"""

import secrets
from pathlib import Path

_PREFIX = ".shared-"


def leave_token(sweep: Path) -> Path:
    """Write a token into the sweep's folder and return its file, whose name is new: a network mount has not cached it.

    Raises OSError if the folder cannot be written.
    """
    for old in sweep.glob(f"{_PREFIX}*"):
        old.unlink(missing_ok=True)
    path = sweep / f"{_PREFIX}{secrets.token_hex(8)}"
    path.write_text(token_of(path), encoding="ascii")
    return path


def token_of(path: Path) -> str:
    """Return what the file of a token holds."""
    return path.name.removeprefix(_PREFIX)


def sees_token(path: Path) -> bool:
    """Say whether this machine sees the token that the controller has left at ``path``."""
    try:
        return path.read_text(encoding="ascii") == token_of(path)
    except (OSError, ValueError):
        return False
