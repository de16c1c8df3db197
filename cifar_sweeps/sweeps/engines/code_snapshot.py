"""Keep the package's code as it is when jobs are submitted, for jobs that start later; tell whether code is the same.

Who edits the package while jobs are queued would otherwise change them (hydra#1945).
"""

import functools
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.sweeps.tasks import tasks_folder

_PACKAGE = Path(__file__).resolve().parents[2]


@functools.cache
def code_hash() -> str:
    """Return 16 hex digits of the package's code and config files, as this process has found them first."""
    digest = hashlib.sha256()
    for name, path in _files():
        digest.update(f"{name}\n{path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def take_snapshot(sweep: Path) -> Path:
    """Copy the package's code into the sweep's folder, once for each state of it; return the folder to run it from.

    It is to be the working folder of ``python -m cifar_sweeps...``. Raises OSError.
    """
    folder = tasks_folder(sweep) / "code" / code_hash()
    if not folder.is_dir():
        draft = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        for name, path in _files():
            copy = draft / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        draft.replace(folder)
    return folder


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the package's files with their places in a snapshot, in a fixed order."""
    plugins = _PACKAGE.parent / "hydra_plugins"
    for root, pattern in ((_PACKAGE, "*.py"), (conf_folder(), "*.yaml"), (plugins, "cifar_sweeps_*.py")):
        for path in sorted(root.rglob(pattern)):
            if root == _PACKAGE or "cifar_sweeps" not in path.relative_to(root).parts[:-1]:
                yield str(path.relative_to(_PACKAGE.parent)), path
