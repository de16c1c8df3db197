"""A team's store on this machine: PostgreSQL (Debian's package) and an MLflow server with it and a folder of artifacts.

By hand, from the repository's root (``--folder`` is where all of it lies, /tmp/cifar_sweeps_store by default):

    python tests/cluster/postgres/team_store.py start                # prints the address for MLFLOW_TRACKING_URI
    python tests/cluster/postgres/team_store.py stop server          # or database; without a name both
    python tests/cluster/postgres/team_store.py restart database --kill    # SIGKILL in place of an orderly end
    python tests/cluster/postgres/team_store.py remove               # stops both and deletes the folder

PostgreSQL refuses to run as root: root starts it as the user ``postgres``. Both listen on 127.0.0.1 alone. The
database's password is made at the first start, and lies in the folder, which only that user can read.
"""

import argparse
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

DATABASE, SERVER = "database", "server"
_USER, _NAME = "mlflow", "mlflow"
_SETTINGS = (
    "listen_addresses = '127.0.0.1'",
    "shared_buffers = 128MB",
    "max_connections = 60",
    "log_line_prefix = '%m [%p] '",
    "log_lock_waits = on",
    "deadlock_timeout = 200ms",  # of a transaction that waits for a lock: how soon a deadlock is looked for
)


def missing() -> str | None:
    """Return what this machine lacks for the store, with what to install; None if nothing."""
    if _binaries() is None:
        return "PostgreSQL's server is not installed (apt-get install postgresql)"
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not installed (pip install 'cifar-sweeps[server]')"
    if os.geteuid() == 0 and _account() is None:
        return "there is no user postgres as whom root could run PostgreSQL"
    return None


class TeamStore:
    """PostgreSQL and an MLflow server, whose data lie in ``folder``. They keep their ports when they are restarted.

    folder: the parents of it must be open to the user postgres if root calls. workers: processes of the server.
    """

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder.absolute()
        self.workers = workers
        self.artifacts = self.folder / "artifacts"
        self.database_log, self.server_log = self.folder / "postgres.log", self.folder / "server.log"
        self._data, self._pid_file = self.folder / "data", self.folder / "server.pid"

    @property
    def uri(self) -> str:
        """The address for MLFLOW_TRACKING_URI."""
        return f"http://127.0.0.1:{self._kept('server.port', _free_port)}"

    @property
    def database_uri(self) -> str:
        """The database's address, with its password."""
        # Named: what a plain postgresql:// means changed with SQLAlchemy 2.1.
        return (
            f"postgresql+psycopg2://{_USER}:{self.password}@127.0.0.1:{self._kept('database.port', _free_port)}/{_NAME}"
        )

    @property
    def password(self) -> str:
        """The password of the database."""
        return self._kept("password", lambda: secrets.token_urlsafe(24))

    def start(self) -> None:
        """Start both, or what of them does not run, and return when the server answers."""
        self.start_database()
        self.start_server()

    def start_database(self) -> None:
        """Start PostgreSQL, with an empty database at first; it recovers by itself from a kill."""
        fresh = not (self._data / "PG_VERSION").exists()
        if fresh:
            self._make_folder()
            password = self.folder / "password"
            options = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", f"--username={_USER}"]
            self._as_owner("initdb", f"--pgdata={self._data}", f"--pwfile={password}", *options)
            port = self._kept("database.port", _free_port)
            settings = (*_SETTINGS, f"port = {port}", f"unix_socket_directories = '{self.folder}'")
            with (self._data / "postgresql.conf").open("a") as file:
                file.writelines(f"{line}\n" for line in settings)
        elif self._database_runs():
            return
        log = f"--log={self.database_log}"
        _until(lambda: self._try_as_owner("pg_ctl", "start", "--wait", f"--pgdata={self._data}", log), 30, "PostgreSQL")
        if fresh:
            self._as_owner("createdb", "--host=127.0.0.1", f"--port={port}", f"--username={_USER}", _NAME)

    def stop_database(self, *, kill: bool = False) -> None:
        """Stop PostgreSQL: connections are ended; with ``kill`` its processes get SIGKILL, as in a power cut."""
        if not kill:
            self._try_as_owner("pg_ctl", "stop", "--mode=fast", "--wait", f"--pgdata={self._data}")
            return
        postmaster = self._postmaster()
        if postmaster is not None:
            for process in [postmaster, *_children(postmaster)]:
                _kill(process)
            _until(lambda: not _is_alive(postmaster), 20, "PostgreSQL's end")

    def start_server(self) -> None:
        """Start the MLflow server unless it runs, and return when it answers."""
        if self._server() is None:
            port = self.uri.rpartition(":")[2]
            command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
            command += [f"--workers={self.workers}", f"--artifacts-destination={self.artifacts.as_uri()}"]
            # The address of the database has its password, which the arguments of a process would show to everybody.
            own = {"MLFLOW_BACKEND_STORE_URI": self.database_uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
            with self.server_log.open("ab") as log:
                process = subprocess.Popen(
                    command,
                    env={**kept, **own},
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            self._pid_file.write_text(str(process.pid))
        _until(lambda: self._server() is None or self.answers(), 120, f"the MLflow server ({self.server_log})")
        if self._server() is None:
            raise SystemExit(f"the MLflow server ended at its start; {self.server_log} says why")

    def stop_server(self, *, kill: bool = False) -> None:
        """Stop the MLflow server and its workers; with ``kill`` by SIGKILL, in the middle of what they do."""
        server = self._server()
        if server is not None:
            group = os.getpgid(server)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL if kill else signal.SIGTERM)
            _until(lambda: not _group(group), 30, "the MLflow server's end")
        self._pid_file.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop both."""
        self.stop_server(kill=True)
        self.stop_database()

    def remove(self) -> None:
        """Stop both and delete all that they hold."""
        if self.folder.exists():
            self.stop()
            shutil.rmtree(self.folder)

    def answers(self) -> bool:
        """Return whether the server answers."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def server_memory(self) -> int:
        """Return the memory of the server and its workers in bytes, what they share counted once."""
        server = self._server()
        return 0 if server is None else sum(_memory(process) for process in _group(os.getpgid(server)))

    def deadlocks(self) -> int:
        """Return how many deadlocks PostgreSQL has logged."""
        return self.database_log.read_text(errors="replace").count("deadlock detected")

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.artifacts.mkdir(exist_ok=True)
        _ = self.password
        account = _account()
        if os.geteuid() == 0 and account is not None:
            for path in (self.folder, self.folder / "password"):
                os.chown(path, account.pw_uid, account.pw_gid)

    def _kept(self, name: str, make: Callable[[], object]) -> str:
        """Return a value that is made once and lies in the folder."""
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(str(make()))
        return path.read_text()

    def _as_owner(self, program: str, *arguments: str) -> None:
        done = self._call(program, arguments)
        if done.returncode:
            raise SystemExit(f"{program}: {done.stderr.strip() or done.stdout.strip()}")

    def _try_as_owner(self, program: str, *arguments: str) -> bool:
        return self._call(program, arguments).returncode == 0

    def _call(self, program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the user whose database it is."""
        folder, account = _binaries(), _account()
        if folder is None:
            raise SystemExit(missing())
        who = {}
        if os.geteuid() == 0 and account is not None:
            who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        # pg_ctl's child keeps what it inherits open: its output goes to files.
        output = self.folder / f"{program}.output"
        with output.open("w") as file:
            done = subprocess.run(
                [folder / program, *arguments],
                cwd=self.folder,
                env={"PATH": os.defpath, "PGPASSWORD": self.password},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
                **who,
            )
        return subprocess.CompletedProcess(done.args, done.returncode, "", output.read_text())

    def _database_runs(self) -> bool:
        return self._try_as_owner("pg_ctl", "status", f"--pgdata={self._data}")

    def _postmaster(self) -> int | None:
        try:
            return int((self._data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def _server(self) -> int | None:
        try:
            process = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return process if _is_alive(process) and b"mlflow" in _read(process, "cmdline") else None


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("pg_ctl")
    return None if on_path is None else Path(on_path).parent


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not after {seconds:.0f} s")
        time.sleep(0.1)


def _read(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def _is_alive(process: int) -> bool:
    state = _read(process, "stat").rpartition(b")")[2].split()
    return bool(state) and state[0] != b"Z"


def _processes() -> list[tuple[int, int, int]]:
    """Return (process, parent, group) of all processes that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        fields = _read(int(path.name), "stat").rpartition(b")")[2].split()
        if fields and fields[0] != b"Z":
            found.append((int(path.name), int(fields[1]), int(fields[2])))
    return found


def _children(process: int) -> list[int]:
    return [each for each, parent, _ in _processes() if parent == process]


def _group(group: int) -> list[int]:
    return [each for each, _, of in _processes() if of == group]


def _memory(process: int) -> int:
    lines = _read(process, "smaps_rollup").decode().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def main() -> None:
    """Start, stop, restart or remove the store, or say how it stands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deed", choices=["start", "stop", "restart", "status", "remove"])
    parser.add_argument("which", nargs="?", choices=[DATABASE, SERVER, "both"], default="both")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/cifar_sweeps_store"))
    parser.add_argument("--workers", type=int, default=2, help="processes of the MLflow server")
    parser.add_argument("--kill", action="store_true", help="stop by SIGKILL")
    chosen = parser.parse_args()
    lacking = missing()
    if lacking is not None:
        raise SystemExit(lacking)
    store = TeamStore(chosen.folder, chosen.workers)
    if chosen.deed == "remove":
        store.remove()
        return
    if chosen.deed in ("stop", "restart"):
        if chosen.which != DATABASE:
            store.stop_server(kill=chosen.kill)
        if chosen.which != SERVER:
            store.stop_database(kill=chosen.kill)
    if chosen.deed in ("start", "restart"):
        if chosen.which != SERVER:
            store.start_database()
        if chosen.which != DATABASE:
            store.start_server()
    if chosen.deed != "stop":
        print(f"{store.uri} {'answers' if store.answers() else 'does not answer'}")


if __name__ == "__main__":
    main()
