"""Put a run's files among its artifacts: in a store on this disk a large one is linked, and takes no second place."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from cifar_sweeps.system.files import is_inside
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.address import sqlite_file

_NOT_THERE = "failed with exception: the artifact was accepted, and is not there"
"""Begins as MLflow's words for a request that reached no server: it is sent again."""
_LEAST_LINKED = 4_096
"""Bytes from which on a file is linked: less takes one block of most disks."""
_LINKED = frozenset({".pt", ".npz", ".png"})
"""What nobody changes in place. Text, such as config.yaml, is copied: an editor may write into it."""


class ArtifactWriter:
    """Writes artifacts of one run. run: returns it as it is in the store."""

    def __init__(self, client: "mlflow_api.MlflowClient", run_id: str, run: "Callable[[], mlflow_api.Run]") -> None:
        self._client, self._run_id, self._run = client, run_id, run
        self._root: Path | None = None
        self._is_known = False

    def log(self, path: Path, folder: str) -> None:
        """Log a file or folder under ``folder`` of the run's artifacts. Raises MlflowException or OSError."""
        root = self._local_root() if path.is_file() else None
        target = None if root is None else root / PurePosixPath(folder) / path.name
        # MLflow refuses a place outside the run's own: the journal may be another user's.
        if root is None or target is None or not is_inside(target, root) or not _put(path, target):
            self._client.log_artifact(self._run_id, str(path), folder or None)
            if path.is_file() and str(self._client.tracking_uri).startswith("http"):
                self._check_arrived(path, folder)

    def _check_arrived(self, path: Path, folder: str) -> None:
        """Raise MlflowException if a server does not have a file that it was sent: a proxy may have answered.

        A page of a proxy with status 200, a login's for example, passes for the server's answer with MLflow's client.
        """
        arrived = {str(each.path) for each in self._client.list_artifacts(self._run_id, folder or None)}
        if str(PurePosixPath(folder) / path.name) not in arrived:
            raise mlflow_api.MlflowException(f"{path.name}: {_NOT_THERE}; what answered was no MLflow server")

    def _local_root(self) -> Path | None:
        """Return the folder of the run's artifacts where they lie beside an SQLite file; None elsewhere."""
        if not self._is_known:
            self._is_known = True
            if sqlite_file(self._client.tracking_uri) is not None:
                uri = urlsplit(str(self._run().info.artifact_uri))
                if uri.scheme == "file" and uri.netloc in ("", "localhost"):
                    self._root = Path(unquote(uri.path))
        return self._root


def _is_linkable(path: Path) -> bool:
    return path.suffix in _LINKED and not path.is_symlink() and path.is_file() and path.stat().st_size >= _LEAST_LINKED


def _put(source: Path, target: Path) -> bool:
    """Make ``target`` another name of the file ``source``, or a copy of one that is small or that somebody may edit.

    Our files are replaced as a whole and never written into, so the artifact stays what was logged. False where that
    cannot be: another disk, for example. MLflow itself would copy, and ask the store for the run before it does.
    """
    # MLflow lists no file of such a name. One that a kill leaves is replaced by the next delivery: there is but one at
    # a time.
    temporary = target.with_name(f".artifact.uploading.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        if _is_linkable(source):
            os.link(source, temporary)
        else:
            shutil.copy2(source, temporary)
        temporary.replace(target)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):  # os.replace does nothing if both are links to one file already
            temporary.unlink(missing_ok=True)
    return True
