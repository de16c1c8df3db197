"""Atomic file writes, safe YAML loading, file hashes and safe file names."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import yaml

_MAX_NAME_LENGTH = 100
_MAX_VALUES = 100_000


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears at ``path`` complete, when the block ends without an error.

    It is written under a temporary name in the same folder, which must exist. If the block raises, or the disk is
    full, an existing file at ``path`` stays unchanged. Raises OSError.
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
    """Write ``text`` in UTF-8, completely or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def safe_load_yaml(path: Path) -> object:
    """Load a YAML file of unknown origin as plain values.

    Raises OSError, or ValueError if it is not YAML, is nested too deeply, or is huge once its aliases are expanded.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is not plain YAML: {(str(error).splitlines() or [''])[0]}") from error
    count, pending = 0, [content]
    while pending and count < _MAX_VALUES:
        value = pending.pop()
        count += 1
        pending += list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if pending:  # a few lines of aliases of aliases can expand to more than any memory holds
        raise ValueError(f"holds more than {_MAX_VALUES:,} values")
    return content


def is_inside(path: str | Path, folder: Path) -> bool:
    """Return whether ``path`` is in ``folder``, once relative parts and links are resolved."""
    try:
        return Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a NUL byte or a loop of links: not a valid path
        return False


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def file_name(name: str) -> str:
    """Return ``name`` as a file name that cannot leave its folder and is short enough for any extension.

    A name of letters, digits, ``.``, ``-`` and ``_`` stays as it is. In others every other character becomes ``_``, and
    a hash is appended to keep them distinct.
    """
    safe = "".join(char if (char.isascii() and char.isalnum()) or char in ".-_" else "_" for char in name)
    safe = safe.lstrip(".")[:_MAX_NAME_LENGTH]
    if safe == name and safe:
        return safe
    return f"{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _sync_folder(folder: Path) -> None:
    # The rename itself survives a power cut only once the folder is on the disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def expand_home(place: str) -> str:
    """Return a typed place with the ``~`` at its start replaced by the home folder, which a shell does not do after =.

    Addresses of SQLite files (``sqlite:///~/runs.db``) have it too. Unchanged where there is no home.
    """
    return str(Path(place).expanduser()) if place.startswith("~") and not place.startswith("~=") else place
