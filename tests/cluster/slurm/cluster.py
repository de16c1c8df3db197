"""A real Slurm on this one host, in a private folder: munge, slurmctld and two slurmd, started and stopped at will.

    python tests/cluster/slurm/cluster.py start FOLDER     # prints the line that makes sbatch, squeue … use it
    python tests/cluster/slurm/cluster.py stop FOLDER

It needs Debian's packages: ``apt-get install -y --no-install-recommends slurm-wlm munge``. It asks for no cgroups, no
database and no rights beyond those of the user who starts it, so that it runs in a container, too.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

NODES = ("n1", "n2")
PACKAGES = "apt-get install -y --no-install-recommends slurm-wlm munge"
_MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")
"""The memory controller of cgroups v1, the only one that Slurm 22.05 can use without systemd."""
_MARK = "CIFAR_SWEEPS_TEST_CLUSTER"
"""Variable of the daemons' environment by which their processes are known again."""


def missing_programs() -> list[str]:
    """Return which of the programs are not installed."""
    return [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if _which(name) is None]


def has_memory_cgroups() -> bool:
    """Say whether Slurm may limit the memory of jobs by cgroups here."""
    return (_MEMORY_CGROUPS / "memory.limit_in_bytes").exists() and os.access(_MEMORY_CGROUPS, os.W_OK)


class SlurmCluster:
    """Two nodes ``n1`` and ``n2``, each with two CPUs; partitions ``main``, ``fleeting`` and ``urgent``.

    Jobs in ``urgent`` preempt the others: those in ``main`` are queued again, those in ``fleeting`` cancelled.

    folder: of everything that the cluster writes; its path is short, for it holds a socket. max_array_size: small, so
    that arrays are cut. min_job_age: seconds after which Slurm forgets a job that has ended. memory: who ends a job
    that takes more memory than it has asked for: nobody, the kernel (``cgroup``), or Slurm, which looks each second
    (``polling``).
    """

    def __init__(
        self,
        folder: Path,
        max_array_size: int = 6,
        min_job_age: int = 300,
        memory: Literal["cgroup", "polling"] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.max_array_size, self.min_job_age, self.memory = max_array_size, min_job_age, memory

    @property
    def environment(self) -> dict[str, str]:
        """What sbatch and its like need in their environment."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start all daemons and wait until both nodes are idle. Raises RuntimeError with the logs if they are not."""
        if missing := missing_programs():
            raise RuntimeError(f"{', '.join(missing)}: not installed; {PACKAGES}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # munged refuses folders that others may write
        if not (self.folder / "slurm.conf").exists():
            self._configure()
        self.start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self._wait_until_idle()

    def stop(self) -> None:
        """Cancel all jobs and end all daemons, and whatever they have left running."""
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            user = str(os.getuid())
            self.call("scancel", "--user", user, timeout=10)
            for _ in range(20):
                if not self.call("squeue", "--noheader", timeout=10).strip():
                    break
                time.sleep(0.5)
        for name in (*NODES, "controller", "munge"):
            self.signal(name, signal.SIGTERM)
        for process in self._left_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def start_munge(self) -> None:
        """Start the authentication service."""
        at = self.folder / "munge"
        at.mkdir(exist_ok=True)
        if not (at / "key").exists():
            (at / "key").touch(0o600)
            (at / "key").write_bytes(os.urandom(128))
        options = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
        self._start("munge", "munged", "--foreground", "--force", *(f"--{k}={at / v}" for k, v in options.items()))
        _wait_for("munge's socket", (at / "socket").exists)

    def start_controller(self) -> None:
        """Start slurmctld, with the state that the one before it has left."""
        self._start("controller", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        self._start(node, "slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf"))

    def signal(self, name: str, number: signal.Signals, timeout: float = 15.0) -> None:
        """Send a signal to a daemon (``controller``, ``munge`` or a node) and wait for its end.

        SIGSTOP leaves it there, deaf, until SIGCONT; nothing is waited for then.
        """
        process = self._process_id(name)
        if process is None:
            return
        os.kill(process, number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            return
        end = time.monotonic() + timeout
        while self._process_id(name) is not None:
            if time.monotonic() > end:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.05)

    def call(self, *command: str, timeout: float = 30) -> str:
        """Run one of Slurm's commands and return its output. Raises CalledProcessError or TimeoutExpired."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, check=True
        ).stdout

    def _configure(self) -> None:
        host, user = socket.gethostname().split(".")[0], _user_name()
        controller, *ports = _free_ports(1 + len(NODES))
        text = f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool-%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd-%n.pid
SlurmctldLogFile={self.folder}/controller.log
SlurmdLogFile={self.folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/{"cgroup" if self.memory == "cgroup" else "none"}
JobAcctGatherType=jobacct_gather/{"linux" if self.memory == "polling" else "none"}
JobAcctGatherFrequency=task=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU{"" if self.memory is None else "_Memory"}
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=2,batch_sched_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MaxArraySize={self.max_array_size}
MinJobAge={self.min_job_age}
JobRequeue=1
KillWait=5
InactiveLimit=0
CompleteWait=0
BatchStartTimeout=10
SlurmdTimeout=10
SlurmctldTimeout=10
MessageTimeout=10
ReturnToService=2
MpiDefault=none
""".lstrip()
        for node, port in zip(NODES, ports, strict=True):
            text += f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=2000\n"
        text += f"PartitionName=main Nodes={','.join(NODES)} Default=YES MaxTime=60 DefaultTime=10 PriorityTier=1\n"
        text += f"PartitionName=fleeting Nodes={','.join(NODES)} MaxTime=60 DefaultTime=10 PreemptMode=CANCEL\n"
        text += f"PartitionName=urgent Nodes={','.join(NODES)} MaxTime=60 DefaultTime=10 PriorityTier=10\n"
        if self.memory == "polling":
            text += "JobAcctGatherParams=OverMemoryKill\n"
        if self.memory == "cgroup":
            limits = "ConstrainRAMSpace=yes\nConstrainSwapSpace=yes\nAllowedSwapSpace=0\n"
            place = f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={_MEMORY_CGROUPS.parent}\n"
            (self.folder / "cgroup.conf").write_text(place + limits, encoding="utf-8")
        (self.folder / "state").mkdir(exist_ok=True)
        (self.folder / "slurm.conf").write_text(text, encoding="utf-8")

    def _start(self, name: str, *command: str) -> None:
        if self._process_id(name) is not None:
            return
        program = _which(command[0])
        assert program is not None
        environment = {**os.environ, **self.environment, _MARK: str(self.folder)}
        with (self.folder / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        (self.folder / f"{name}.process").write_text(str(process.pid), encoding="ascii")

    def _process_id(self, name: str) -> int | None:
        """Return the process id of a daemon that runs."""
        try:
            process = int((self.folder / f"{name}.process").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)  # a child that has ended is there until somebody asks
        return process if _is_marked(process, self.folder) else None

    def _left_processes(self) -> list[int]:
        """Return the processes of jobs: the daemons' children, and those of daemons that are gone."""
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_marked(int(entry.name), self.folder)]

    def _wait_until_idle(self) -> None:
        def idle() -> bool:
            with contextlib.suppress(subprocess.SubprocessError):
                states = self.call("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T").split()
                return len(states) == len(NODES) and all(state in ("idle", "mixed", "allocated") for state in states)
            return False

        try:
            _wait_for("idle nodes", idle)
        except TimeoutError as error:
            logs = [f"{path}:\n{path.read_text(errors='replace')[-2000:]}" for path in self.folder.glob("*.log")]
            raise RuntimeError(f"{error}\n" + "\n".join(logs)) from error


@contextlib.contextmanager
def running_cluster(folder: Path, **options: Any) -> Iterator[SlurmCluster]:
    """Start a cluster for the time of the block."""
    cluster = SlurmCluster(folder, **options)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _is_marked(process: int, folder: Path) -> bool:
    """Say whether a process lives and has been started by the cluster in this folder."""
    try:
        if Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            return False
        return f"{_MARK}={folder}".encode() in Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} after {seconds:.0f} seconds")
        time.sleep(0.1)


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _user_name() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Start or stop a cluster by hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-array-size", type=int, default=6)
    arguments = parser.parse_args()
    cluster = SlurmCluster(arguments.folder, arguments.max_array_size)
    if arguments.action == "stop":
        cluster.stop()
        return
    try:
        cluster.start()
    except RuntimeError as error:
        sys.exit(str(error))
    for name, value in cluster.environment.items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
