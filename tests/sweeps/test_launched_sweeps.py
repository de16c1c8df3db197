"""Real processes, real signals: a job that dies takes no other with it, and the record stays true."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import cifar_train
from mlflow import MlflowClient

HERE = Path(__file__).parent
SMALL = (
    "data.source.train_images=200",
    "data.source.test_images=60",
    "trainer.epochs=1",
    "trainer.precision=fp32",
    "analysis.log_model=false",
    "analysis.pictures=false",
)
MISBEHAVING = ("--config-dir", str(HERE / "conf"), "model=misbehaving", "sweep.report=false", *SMALL)
ALLOWED = {"CIFAR_SWEEPS_ALLOW_TARGETS": "misbehaving", "PYTHONPATH": str(HERE)}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def runs_of(outputs: Path):
    """The parent run and the children of the only sweep in a store."""
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cifar_sweeps").experiment_id])
    children = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    return parent, children


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def heeds_signals():
    """As in a terminal: what is started in the background of a script ignores Ctrl-C, and so would its children."""
    for each in (signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


def alive_in_session(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, own_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(own_session) == session and state != "Z":
                found.append(int(entry.name))
    return found


@pytest.fixture
def waiting_sweep(outputs, tmp_path):
    """A sweep of three jobs, two at once, whose jobs train for ever; yields its process when two jobs train."""
    command = [sys.executable, "-m", "cifar_sweeps", "-m", *MISBEHAVING, "model.deed=wait", "seed=0,1,2"]
    command += ["hydra.launcher.n_jobs=2"]
    environment = {**os.environ, **ALLOWED, "MISBEHAVING_FOLDER": str(tmp_path)}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heeds_signals,
    )
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def bad_day(tmp_path_factory):
    """Seven jobs: one is killed, two end their process, one raises, one uses up its memory, and one diverges."""
    outputs = tmp_path_factory.mktemp("outputs")
    deeds = "model.deed=kill,quit,throw,leave,allocate,diverge,none"
    done = cifar_train("-m", *MISBEHAVING, deeds, CIFAR_SWEEPS_OUTPUTS=str(outputs), **ALLOWED)
    return done, *runs_of(outputs), outputs


def test_the_good_job_finishes_and_the_sweep_fails(bad_day):
    done, parent, children, _ = bad_day
    assert done.returncode == 1
    assert parent.info.status == "FAILED"
    assert children["deed=none"].info.status == "FINISHED"
    assert "test/accuracy" in children["deed=none"].data.metrics


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("kill", "its process was killed by SIGKILL"),
        ("throw", "ValueError: a bad day"),
        ("leave", "its process ended with status 3"),
        ("quit", "SystemExit: 7"),
        ("allocate", "out of memory"),
        ("diverge", "the loss is nan at epoch 1, step 1"),
    ],
)
def test_a_bad_job_is_failed_and_says_why(bad_day, deed, reason):
    done, _, children, _ = bad_day
    run = children[f"deed={deed}"]
    assert run.info.status == ("KILLED" if deed == "kill" else "FAILED")
    assert reason in run.data.tags["cifar_sweeps.failure"]
    lines = [line for line in done.stdout.splitlines() if f"deed={deed}" in line and reason in line]
    assert len(lines) == 2  # when it happened, and in the summary
    assert str(Path(run.data.tags["cifar_sweeps.folder"], "run.log")) in done.stdout


def test_a_traceback_is_in_the_job_s_own_log(bad_day):
    _, _, children, _ = bad_day
    log = Path(children["deed=throw"].data.tags["cifar_sweeps.folder"], "run.log").read_text()
    assert "Traceback" in log
    assert "a bad day" in log
    good = Path(children["deed=none"].data.tags["cifar_sweeps.folder"], "run.log").read_text()
    assert "a bad day" not in good


def test_the_terminal_shows_no_traceback_of_a_failed_job(bad_day):
    done, _, _, _ = bad_day
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("signal_number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_an_interrupt_stops_the_jobs_and_leaves_none_running(waiting_sweep, outputs, signal_number, status):
    waiting_sweep.send_signal(signal_number)
    printed, _ = waiting_sweep.communicate(timeout=30)
    assert waiting_sweep.returncode == status
    parent, children = runs_of(outputs)
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in children.values()] == ["KILLED"] * 2
    assert printed.count("killed") >= 2  # in the table
    wait_until(lambda: not alive_in_session(waiting_sweep.pid), seconds=10)


@pytest.mark.slow
def test_a_sigterm_to_all_processes_of_a_sweep_stops_its_jobs_at_a_safe_point_too(waiting_sweep, outputs):
    os.killpg(waiting_sweep.pid, signal.SIGTERM)  # as `timeout` and service managers do
    waiting_sweep.communicate(timeout=30)
    assert waiting_sweep.returncode == 143
    parent, children = runs_of(outputs)
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in children.values()] == ["KILLED"] * 2
    assert {run.data.tags["cifar_sweeps.failure"] for run in children.values()} == {"interrupted"}  # its own words


@pytest.mark.parametrize(("signal_number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 143)], ids=str)
def test_an_interrupted_single_run_is_recorded_as_killed(outputs, tmp_path, signal_number, status):
    process = subprocess.Popen(
        [sys.executable, "-m", "cifar_sweeps", *MISBEHAVING, "model.deed=wait"],
        env={**os.environ, **ALLOWED, "MISBEHAVING_FOLDER": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=heeds_signals,
    )
    wait_until(lambda: any(tmp_path.iterdir()))
    process.send_signal(signal_number)
    process.communicate(timeout=30)
    assert process.returncode == status
    run, _ = runs_of(outputs)
    assert run.info.status == "KILLED"


def test_when_the_command_is_killed_its_jobs_end_too(waiting_sweep):
    assert len(alive_in_session(waiting_sweep.pid)) >= 3
    waiting_sweep.kill()
    wait_until(lambda: not alive_in_session(waiting_sweep.pid), seconds=10)


@pytest.mark.slow
def test_eight_jobs_at_once_meet_an_empty_store(outputs):
    done = cifar_train("-m", *MISBEHAVING, "seed=range(8)", "hydra.launcher.n_jobs=8", **ALLOWED)
    assert done.returncode == 0, done.stdout + done.stderr
    parent, children = runs_of(outputs)
    assert parent.info.status == "FINISHED"
    assert sorted(children) == [f"seed={seed}" for seed in range(8)]
    assert {run.info.status for run in children.values()} == {"FINISHED"}


@pytest.mark.slow
def test_hydra_s_basic_launcher_still_works(outputs):
    done = cifar_train("-m", *MISBEHAVING, "hydra/launcher=basic", "model.deed=none,throw", **ALLOWED)
    assert done.returncode == 1
    parent, children = runs_of(outputs)
    assert parent.info.status == "FAILED"
    assert {name: run.info.status for name, run in children.items()} == {
        "deed=none": "FINISHED",
        "deed=throw": "FAILED",
    }


@pytest.mark.slow
def test_a_sweep_of_another_launcher_does_not_hide_ours(outputs):
    first = cifar_train("-m", "seed=0,1", *SMALL)
    assert first.returncode == 0, first.stderr
    assert cifar_train("-m", "hydra/launcher=basic", "seed=2", *SMALL).returncode == 0
    again = cifar_train("-m", "seed=0,1", *SMALL)
    assert again.returncode == 0, again.stderr
    assert "started" not in again.stdout  # both are finished
    assert len(list(outputs.glob("sweeps/*"))) == 2


@pytest.mark.slow
def test_a_job_s_value_reaches_the_sweeper(outputs, tmp_path):
    script = tmp_path / "values.py"
    script.write_text(
        "from cifar_sweeps.sweeps import launch as module\n"
        "launch = module.launch\n"
        "def spy(*arguments):\n"
        "    results = launch(*arguments)\n"
        "    print('values', [result.return_value for result in results])\n"
        "    return results\n"
        "module.launch = spy\n"
        "from cifar_sweeps.app import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "-m", *MISBEHAVING, "seed=0,1"],
        capture_output=True,
        text=True,
        env={**os.environ, **ALLOWED},
        check=False,
    )
    _, children = runs_of(outputs)
    accuracies = [children[f"seed={seed}"].data.metrics["final/val_accuracy"] for seed in (0, 1)]
    assert f"values {accuracies}" in done.stdout
