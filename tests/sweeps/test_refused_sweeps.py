"""Sweeps of which no job begins: all that is wrong is told first, and nothing is left behind."""

import subprocess
import sys

import pytest
from conftest import TINY, cifar_train
from test_launched_sweeps import SMALL, alive_in_session, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_all_faults_of_all_jobs_come_before_the_first_job(outputs):
    done = cifar_train("-m", "optimizer.lr=0.1,-1", "model.init=torch,tourch", *SMALL)
    assert done.returncode == 1
    assert "optimizer.lr=-1: must be a finite number above 0" in done.stderr
    assert "did you mean 'torch'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (outputs / "mlflow.db").exists()
    assert not list(outputs.glob("sweeps/*/0"))


def test_an_unknown_option_in_a_sweep_starts_nothing(outputs):
    done = cifar_train("-m", "kernel_size=k3,k9", *SMALL)
    assert done.returncode == 1
    assert "kernel_size=k9: unknown option; kernel_size has k3" in done.stderr
    assert not (outputs / "mlflow.db").exists()


@pytest.mark.parametrize("fault", ["model=nowhere,plain_3", "optimizer.lr=-1,1"], ids=["Hydra's", "a job's"])
def test_a_refused_sweep_leaves_no_server_running(outputs, fault):
    nothing = subprocess.DEVNULL  # a pipe would be open until the server, which imports, is done
    command = [sys.executable, "-m", "cifar_sweeps", "-m", fault, *SMALL]
    process = subprocess.Popen(command, stdout=nothing, stderr=nothing, start_new_session=True)
    assert process.wait(timeout=60) == 1
    wait_until(lambda: not alive_in_session(process.pid), seconds=1)


def test_a_dry_run_shows_the_jobs_and_starts_none(outputs):
    done = cifar_train("-m", "kernel_size=k3,k5", "seed=0,1", "sweep.dry_run=true", *SMALL)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if "kernel_size=" in line]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert "257,978" in done.stdout
    assert "4 jobs" in done.stdout
    assert "MB" in done.stdout
    assert not (outputs / "mlflow.db").exists()


def test_what_another_launcher_does_not_do_is_refused(outputs):
    done = cifar_train("-m", "hydra/launcher=basic", "seed=0,1", "sweep.timeout=5", "sweep.retries=1", *SMALL)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "ConfigError: sweep.timeout=5, sweep.retries=1: only the launchers local, slurm and ray do this"
    )
    assert not list(outputs.glob("sweeps/*"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("hydra.launcher.jobs_per_gpu=0", "hydra.launcher.jobs_per_gpu=0: must be an integer of at least 1"),
        ("hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs=0: must be auto, or at least 1"),
    ],
)
def test_a_wrong_launcher_is_refused_before_anything_is_trained(outputs, wrong, message):
    done = cifar_train("-m", "seed=0,1", wrong, *SMALL)
    assert done.returncode == 1
    assert done.stderr.strip() == f"ConfigError: {message}"
    assert not list(outputs.glob("sweeps/*"))


@pytest.mark.slow
def test_the_folder_of_a_stopped_run_is_not_touched_by_another_config(outputs):
    folder = f"hydra.run.dir={outputs}/runs/x"
    assert cifar_train(folder, "optimizer.lr=1e30", *TINY).returncode == 1  # it diverges
    before = {path: path.read_bytes() for path in (outputs / "runs" / "x").rglob("*") if path.is_file()}
    refused = cifar_train(folder, "optimizer.lr=0.001", *TINY)
    assert "holds a run of another config; choose another folder" in refused.stderr
    assert {path: path.read_bytes() for path in (outputs / "runs" / "x").rglob("*") if path.is_file()} == before
