"""Stores that go away, disks that are full, sweeps that are stopped twice or started twice."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .sweeping import ENDLESS, SMALL, SWEEP, Command, Differences, Stored, epochs_of, kill, wait_until

pytestmark = [pytest.mark.slow_fault, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

MISBEHAVING_FOLDER = Path(__file__).parents[1] / "sweeps"
MISBEHAVING = (
    "-m",
    "--config-dir",
    str(MISBEHAVING_FOLDER / "conf"),
    "model=misbehaving",
    *(override for override in SMALL if not override.startswith("model.")),
    "trainer.epochs=1",
)
ALLOWED = {
    "CIFAR_SWEEPS_ALLOW_TARGETS": "misbehaving",
    "PYTHONPATH": os.pathsep.join([str(MISBEHAVING_FOLDER), os.environ.get("PYTHONPATH", "")]),
}

IMPATIENT = ("hydra.launcher.n_jobs=1", "sweep.timeout=15", "sweep.retries=1", "sweep.fail_fast=true")


def cifar_sweeps(*arguments: str, outputs: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from cifar_sweeps.cli.main import main; main()", *arguments],
        env={**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


class Server:
    """An MLflow server on this machine that keeps its address when it is stopped and started."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        database, artifacts = f"sqlite:///{self._folder}/mlflow.db", (self._folder / "artifacts").as_uri()
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", database, "--artifacts-destination", artifacts]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def paused(command):
    """Hold a command and its jobs where they are: a job that has just ended is not given up by its command, either."""
    processes = command.processes()
    for process in processes:
        kill(process, signal.SIGSTOP)
    yield
    for process in processes:
        kill(process, signal.SIGCONT)


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_server_that_goes_away_and_comes_back_has_it_all_in_the_end(begin, outputs, undisturbed, server, tmp_path):
    command = begin(SWEEP, MLFLOW_TRACKING_URI=server.uri)
    wait_until(lambda: epochs_of(outputs, 0) >= 1)
    with paused(command):  # a server takes longer to stop and to start than these jobs to end
        server.stop()
        seen = epochs_of(outputs, 0)
    wait_until(lambda: epochs_of(outputs, 0) > seen)  # the training goes on
    with paused(command):
        server.start()
    assert command.wait() == 0, command.said
    assert Stored(tmp_path).differences(undisturbed) == Differences()


def test_a_server_that_stays_away_is_told_and_synced_later_from_elsewhere(
    begin, outputs, undisturbed, server, tmp_path
):
    server.stop()
    command = begin(SWEEP, MLFLOW_TRACKING_URI=server.uri)
    assert command.wait() == 0, command.said
    assert "3 journals wait in" in command.said
    assert "; send them:" in command.said
    server.start()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    synced = cifar_sweeps("sync", str(outputs), outputs=elsewhere, cwd=elsewhere)
    assert synced.returncode == 0, synced.stdout + synced.stderr
    assert Stored(tmp_path).differences(undisturbed) == Differences()
    assert ": 0 sent, 0 failed" in cifar_sweeps("sync", str(outputs), outputs=elsewhere, cwd=elsewhere).stdout


@pytest.mark.parametrize("away", [False, True], ids=["it answers", "it is away"])
@pytest.mark.parametrize("full_error", ["0", "1"])
def test_a_store_s_password_is_printed_and_written_nowhere(begin, outputs, server, tmp_path, away, full_error):
    uri = server.uri.replace("//", "//alice:hunter2@")
    if away:
        server.stop()
    command = begin(
        (*MISBEHAVING, "model.deed=none,diverge", "sweep.report=true", "hydra.verbose=true"),
        MLFLOW_TRACKING_URI=uri,
        HYDRA_FULL_ERROR=full_error,
        **ALLOWED,
    )
    assert command.wait() == 1, command.said
    assert "deed=diverge" in command.said
    files = [path for place in (outputs, tmp_path) for path in place.rglob("*") if path.is_file()]
    assert any(path.name == "journal.jsonl" for path in files)
    assert any(path.name == "mlflow.db" for path in files)
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []  # what it printed is one of them


@pytest.fixture
def small_disk(tmp_path):
    """Eight megabytes that hold an outputs folder."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_disk_that_fills_up_fails_the_run_with_what_was_written_intact(small_disk, undisturbed):
    outputs = small_disk / "outputs"
    command = Command(SWEEP, outputs)
    try:
        wait_until(lambda: epochs_of(outputs, 0) >= 2)
        with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        assert command.wait() == 1
        command.wait_until_all_are_gone()
        said = command.said
    finally:
        command.end()
    assert "Traceback" not in said
    (small_disk / "filler").unlink()
    again = Command(SWEEP, outputs)
    assert again.wait() == 0, again.said
    assert Stored(outputs).differences(undisturbed) == Differences()


def test_a_disk_that_is_full_already_stops_the_sweep_before_training(small_disk):
    outputs = small_disk / "outputs"
    outputs.mkdir()
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    refused = subprocess.run(
        [sys.executable, "-m", "cifar_sweeps", *SWEEP],
        env={**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(outputs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "cannot be written (No space left on device" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.fixture
def little_memory():
    """Put a process, and those that it will start, where there are three gigabytes of memory."""
    group = Path("/sys/fs/cgroup/memory") / f"cifar_sweeps_{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(3 * 2**30))
    except OSError as error:
        pytest.skip(f"memory cannot be limited here: {error}")
    yield lambda process: (group / "cgroup.procs").write_text(str(process))
    with contextlib.suppress(OSError):  # a process of it is still on its way out
        group.rmdir()


def test_a_job_that_runs_out_of_memory_is_told_so_and_takes_no_other_with_it(begin, outputs, little_memory):
    command = begin((*MISBEHAVING, "model.deed=hoard,none", "hydra.launcher.n_jobs=1"), **ALLOWED)
    little_memory(command.process.pid)
    assert command.wait() == 1
    assert "killed by SIGKILL: out of memory; run fewer jobs at once" in command.said
    stored = Stored(outputs)
    assert stored.states() == {"deed=hoard": "KILLED", "deed=none": "FINISHED"}
    assert "out of memory" in stored.child("deed=hoard").data.tags["cifar_sweeps.failure"]
    command.wait_until_all_are_gone()


def test_two_signals_stop_at_once_and_the_next_command_marks_what_was_left(begin, outputs):
    command = begin(ENDLESS)
    wait_until(lambda: sum("null" not in note.read_text() for note in outputs.glob("sweeps/*/?/delivered.json")) == 2)
    for job in command.jobs():
        kill(job, signal.SIGSTOP)  # they do not stop at a safe point
    command.process.send_signal(signal.SIGINT)
    wait_until(lambda: "Stopping at a safe point" in command.said)
    command.process.send_signal(signal.SIGINT)
    assert command.wait() == 130
    command.end()
    assert "RUNNING" in Stored(outputs).states().values()
    cifar_sweeps("sync", outputs=outputs, cwd=outputs)
    left = Stored(outputs)
    assert {*left.states().values(), left.parents[0].info.status} == {"KILLED"}


def test_the_same_command_while_it_runs_is_a_sweep_of_its_own(begin, outputs):
    longer = tuple(
        override.replace("=12", "=400") for override in SWEEP
    )  # as the store has a run seconds after its start
    first = begin(longer)
    # Not while it makes the store, for which others would wait.
    wait_until(lambda: epochs_of(outputs, 0) >= 1 and (outputs / "mlflow.db").exists() and Stored(outputs).children)
    kill(first.process.pid, signal.SIGSTOP)  # so that it is at work for as long as the second one looks
    second = begin(longer)
    assert second.wait() == 0
    kill(first.process.pid, signal.SIGCONT)
    assert first.wait() == 0
    stored = Stored(outputs)
    assert sorted(run.info.run_name for run in stored.children) == ["seed=0", "seed=0", "seed=1", "seed=1"]
    assert [run.info.status for run in stored.parents] == ["FINISHED"] * 2


def test_a_job_that_takes_too_long_fails_is_tried_again_and_stops_the_others(begin, outputs, tmp_path):
    command = begin(
        (*MISBEHAVING, "model.deed=wait,kill", *IMPATIENT),
        MISBEHAVING_FOLDER=str(tmp_path),
        **ALLOWED,
    )
    assert command.wait() == 1
    assert command.said.count("job 0 started") == 2
    assert "is tried again" in command.said
    assert "it was not started: sweep.fail_fast" in command.said or "deed=kill" in Stored(outputs).states()
    run = Stored(outputs).child("deed=wait")
    assert run.info.status == "FAILED"
    assert "it took longer than sweep.timeout=15 seconds" in run.data.tags["cifar_sweeps.failure"]


def test_a_training_that_diverges_says_where(begin, outputs):
    command = begin(
        (*MISBEHAVING, "model.deed=diverge,none"),
        **ALLOWED,
    )
    assert command.wait() == 1
    stored = Stored(outputs)
    assert stored.states() == {"deed=diverge": "FAILED", "deed=none": "FINISHED"}
    tags = stored.child("deed=diverge").data.tags
    facts = {key: tags[f"cifar_sweeps.{key}"] for key in ("failed_epoch", "failed_step", "last_checkpoint")}
    assert facts == {"failed_epoch": "1", "failed_step": "1", "last_checkpoint": "none"}
