"""Files that are whole or not there."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import yaml

_LONGEST_NAME = 100
_MOST_VALUES = 100_000


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file whose content appears at ``path`` all at once, when the block has ended well.

    It is written under a temporary name in the same folder, which must exist. If the block raises, or the disk is
    full, an earlier file at ``path`` stays as it was. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8, all or nothing."""
    with atomic_write(path) as file:
        file.write(text.encode())


def safe_load_yaml(path: Path) -> object:
    """Return the plain values of a YAML file that another may have written.

    Raises OSError, or ValueError if it is no YAML, nested too deep, or, with its repetitions written out, huge.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is not plain YAML: {(str(error).splitlines() or [''])[0]}") from error
    count, waiting = 0, [found]
    while waiting and count < _MOST_VALUES:
        value = waiting.pop()
        count += 1
        waiting += list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if waiting:  # a few lines of repetitions of repetitions can stand for more than any memory holds
        raise ValueError(f"holds more than {_MOST_VALUES:,} values")
    return found


def is_inside(path: str | Path, folder: Path) -> bool:
    """Say whether ``path`` is in ``folder``, however it is written and whatever links lead there."""
    try:
        return Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a NUL byte, a circle of links: no place at all
        return False


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def file_name(name: str) -> str:
    """Return ``name`` as the name of a file: one that stays in its folder, and fits with any ending.

    A name of letters, digits, ``.``, ``-`` and ``_`` stays as it is. Of another the rest becomes ``_``, and a digest at
    its end keeps it apart from its like.
    """
    safe = "".join(letter if (letter.isascii() and letter.isalnum()) or letter in ".-_" else "_" for letter in name)
    safe = safe.lstrip(".")[:_LONGEST_NAME]
    if safe == name and safe:
        return safe
    return f"{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _sync_folder(folder: Path) -> None:
    # The rename itself outlives a power cut only once the folder is on the disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
