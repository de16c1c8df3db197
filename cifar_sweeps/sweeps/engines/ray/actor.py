"""The actor of one job: it hosts the job's worker process on a node, and says what that has written and how it ended.

The training is in a process of its own, so that a crash, the kernel's out-of-memory killer or a signal ends that alone
and the actor can still tell. It ends with the actor, however that ends. Imported on every node, so it stays light.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cifar_sweeps.sweeps.engines.local.oom_kills import OomKillCounter
from cifar_sweeps.sweeps.engines.ray import node_folder
from cifar_sweeps.sweeps.engines.ray.shared_folder import sees_token
from cifar_sweeps.tracking import journal

MAX_BYTES = 16 << 20
"""Bytes that one call takes or returns at most, lines of a journal aside that are longer."""
STOP = signal.SIGUSR2
"""The signal that asks a worker process to stop at a safe point; see `engines.task_process`."""
_NOT_MIRRORED = frozenset({journal.NAME, "delivered.json", "delivered.tmp", ".delivery.lock", ".writable"})
"""Files of a run's folder that are not copied as files: the journal, line by line, and what only the sender needs."""
_SET_BY_RAY = "OMP_NUM_THREADS"
"""What Ray sets for its workers, and a job of this project does not have: its threads are its config's."""
_IDLE_SECONDS = 60.0
"""Seconds without a controller after which an actor whose job has ended ends, where it has nothing to keep."""
_UNSTARTED_SECONDS = 120.0
"""Seconds without a call after which an actor without a process ends: the controller that was to start it is gone.

Longer than a controller waits for the process of an earlier attempt: see `follower`.
"""
_OF_THE_JOB = 0
_RUN = """\
import sys
sys.path[:1] = [sys.argv[1]] if sys.argv[1] else []  # in place of the working folder, which may hold newer code
from cifar_sweeps.sweeps.engines.ray.worker_process import run
run(sys.argv[2])
"""


@dataclass(frozen=True)
class Place:
    """Where a job is to run. node: its host's name. is_shared: whether it sees the controller's outputs folder.

    root: the folder on the node that stands for the controller's root folder; empty where the outputs are shared.
    missing: those of the needed paths that the node does not have.
    """

    node: str
    is_shared: bool
    root: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskPaths:
    """Where things are on the node: the task's folder, the job's, its log, what it writes of its end, and its cwd."""

    task_folder: str
    folder: str
    log_file: str
    exit_file: str
    typed_in: str


@dataclass(frozen=True)
class Report:
    """What has come since the last report.

    exit_code: of the worker process, negative for a signal; None while it runs. was_oom_killed: see `OomKillCounter`.
    exit_record: what the process wrote of its end. journal: whole lines; log: bytes. files: size in bytes and time of
    change in nanoseconds of the other files in the job's folder, by their paths in it. These three stay empty where the
    disk is shared.
    """

    exit_code: int | None = None
    was_oom_killed: bool | None = None
    exit_record: bytes | None = None
    journal: bytes = b""
    log: bytes = b""
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class JobActor:
    """Hosts the worker process of one job. Its calls are short, and come one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._oom_kills = OomKillCounter()
        self._root: node_folder.NodeFolder | None = None
        self._task = TaskPaths("", "", "", "", "")
        self._line_ends: list[int] = []
        self._asked = time.monotonic()
        self._is_started = threading.Event()
        threading.Thread(target=self._end_unless_started, daemon=True).start()

    def locate(
        self, token: str, use_shared: bool, base: str | None, outputs: str, typed_in: str, needed: Sequence[str]
    ) -> Place:
        """Say where this is; make a folder for the job where the node does not see the controller's outputs.

        token: the file of `shared_folder.leave_token`. use_shared: false: as if the node did not see it. base: where
        the folder is made; None: among the system's temporary files. outputs, typed_in: the controller's outputs folder
        and the one in which its command was typed. needed: paths of the controller that the job reads. Raises OSError
        if the folder cannot be made.
        """
        self._asked = time.monotonic()
        node = socket.gethostname()
        if use_shared and sees_token(Path(token)) and Path(typed_in).is_dir():
            return Place(node, True)
        if self._root is None:
            self._root = node_folder.NodeFolder(base, outputs)
            Path(self._root.place_of(typed_in)).mkdir(parents=True, exist_ok=True)
        missing = tuple(path for path in needed if not self._root.offer(path))
        return Place(node, False, str(self._root.path), missing)

    def write(self, path: str, content: bytes, offset: int = 0) -> None:
        """Write a file of the controller's, or the part that begins at ``offset``. path: on the controller."""
        self._asked = time.monotonic()
        assert self._root is not None, "the outputs are shared: nothing is to be copied"
        target = Path(self._root.place_of(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(content)

    def has_process(self) -> bool:
        """Say whether the worker process has been started."""
        self._asked = time.monotonic()
        return self._process is not None

    def start(self, task: TaskPaths, code: str, environment: Mapping[str, str]) -> None:
        """Start the worker process; once. code: the folder of the package that it is to run; empty: this node's.

        environment: what is added to Ray's.
        """
        if self._process is not None:
            return
        self._task = task
        Path(task.log_file).parent.mkdir(parents=True, exist_ok=True)
        inherited = {key: value for key, value in os.environ.items() if key != _SET_BY_RAY}
        self._oom_kills.job_starts(_OF_THE_JOB)
        with Path(task.log_file).open("ab") as log:
            self._process = subprocess.Popen(
                self._command(task.task_folder, code),
                cwd=task.typed_in,
                stdin=subprocess.PIPE,  # which breaks when this actor ends
                stdout=log,
                stderr=log,
                env={**inherited, **environment},
                start_new_session=True,
            )
        self._is_started.set()
        if self._root is None:  # all that there is to tell is on the shared disk
            threading.Thread(target=self._end_unless_asked, daemon=True).start()

    def poll(self, lines: int, log_bytes: int) -> Report:
        """Return what has come. lines, log_bytes: how much of this node's journal and log the controller has.

        What a line of the journal names is among the files that the same report lists.
        """
        assert self._process is not None
        self._asked = time.monotonic()
        exit_code = self._process.poll()  # first: what it has written by then is all of it
        record, was_oom_killed = None, None
        if exit_code is not None:
            with contextlib.suppress(FileNotFoundError):
                record = Path(self._task.exit_file).read_bytes()
            if exit_code == -signal.SIGKILL:
                was_oom_killed = self._oom_kills.was_oom_killed(_OF_THE_JOB)
        if self._root is None:
            return Report(exit_code, was_oom_killed, record)
        new_lines = self._journal_lines(lines)
        log = _read(Path(self._task.log_file), log_bytes)
        return Report(exit_code, was_oom_killed, record, new_lines, log, self._list_files())

    def read(self, path: str, offset: int) -> bytes | None:
        """Return the part of a file that begins at ``offset``; None if the file is gone. path: in the job's folder."""
        file = Path(self._task.folder, path)
        return _read(file, offset) if file.exists() else None

    def stop(self) -> None:
        """Ask the worker process to stop at a safe point."""
        self._signal(STOP)

    def kill(self) -> None:
        """Kill the worker process."""
        self._signal(signal.SIGKILL)

    def remove_files(self) -> None:
        """Remove the job's folder from this node, once the controller has all of it. Images stay for other jobs."""
        if self._root is not None:
            self._root.remove()

    def _command(self, task_folder: str, code: str) -> list[str]:
        return [sys.executable, "-c", _RUN, code, task_folder]

    def _end_unless_started(self) -> None:
        """End this actor when no controller comes to start its job: it holds its node's resources."""
        while not self._is_started.wait(max(0.1, self._asked + _UNSTARTED_SECONDS - time.monotonic())):
            if time.monotonic() - self._asked > _UNSTARTED_SECONDS:
                self.remove_files()
                self._end_own_process()
                return

    def _end_unless_asked(self) -> None:
        """End this actor when its job has ended and no controller asks for it: it holds its node's resources."""
        assert self._process is not None
        self._process.wait()
        while time.monotonic() - self._asked < _IDLE_SECONDS:
            time.sleep(1.0)
        self._end_own_process()

    def _end_own_process(self) -> None:
        os._exit(0)  # Ray's worker process, which holds this actor alone

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _journal_lines(self, known: int) -> bytes:
        """Return the whole lines of the journal after the first ``known``: those that one call may return."""
        path = Path(self._task.folder, journal.NAME)
        if not path.exists():
            return b""
        scanned = self._line_ends[-1] if self._line_ends else 0
        with path.open("rb") as file:
            file.seek(scanned)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    break
                scanned += len(line)
                self._line_ends.append(scanned)
            begin = self._line_ends[known - 1] if known else 0
            end = next((at for at in reversed(self._line_ends) if at - begin <= MAX_BYTES), begin)
            if end <= begin and len(self._line_ends) > known:  # one line that is longer
                end = self._line_ends[known]
            file.seek(begin)
            return file.read(max(0, end - begin))

    def _list_files(self) -> dict[str, tuple[int, int]]:
        files, log_file, root = {}, Path(self._task.log_file), Path(self._task.folder)
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                if name in _NOT_MIRRORED or name.endswith(".tmp") or path == log_file:
                    continue
                with contextlib.suppress(FileNotFoundError):  # a checkpoint that has been replaced
                    found = path.stat()
                    files[str(path.relative_to(root))] = (found.st_size, found.st_mtime_ns)
        return files


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        return b""
