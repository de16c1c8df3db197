"""Sweeps on a real Ray cluster of two nodes, of which one dies: every job finishes, and is recorded once.

They run with the Ray that is installed. The oldest that pyproject.toml allows:
``.venv/bin/pip install 'ray==2.49.2' && make cluster``.
"""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from conftest import TINY, cifar_train
from mlflow import MlflowClient

from cifar_sweeps.tracking import journal
from cluster.two_node_cluster import TwoNodes

pytest.importorskip("ray")
pytestmark = pytest.mark.cluster

JOBS = 12
EPOCHS = "trainer.epochs=8"
SMALL = (
    *(each for each in TINY if not each.startswith(("data.source.train_images", "trainer.epochs"))),
    "data.source.train_images=1500",
    "analysis.log_model=false",
    "analysis.pictures=false",
    "sweep.report=false",
)
SEEDS = f"seed={','.join(map(str, range(JOBS)))}"


@pytest.fixture
def nodes(tmp_path_factory):
    cluster = TwoNodes(tmp_path_factory.mktemp("ray"))
    yield cluster
    cluster.close()


class RunningSweep:
    """A cifar-train that runs beside the test, with its output in files."""

    def __init__(self, tmp_path, *arguments, **environment):
        self.out, self.err = tmp_path / "out", tmp_path / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cifar_sweeps", "-m", "hydra/launcher=ray", *arguments],
                stdout=out,
                stderr=err,
                env={**os.environ, "COLUMNS": "120", **environment},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def wait_until(self, condition, seconds=300):
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < end, self.text()
            time.sleep(0.1)

    def end(self, seconds=500):
        self.process.wait(seconds)
        return self.process.returncode

    def text(self):
        return self.out.read_text() + self.err.read_text()


def on(nodes, **options):
    own = {"address": nodes.address, "folder": None, **options}
    return [f"hydra.launcher.{key}={value}" for key, value in own.items() if value is not None]


def processes():
    """The command lines of all processes, by their ids."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
    return found


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def workers(outputs):
    """The processes that train in an outputs folder, each with the number of its job."""
    mark = f"{outputs}/sweeps/"
    lines = {process: line for process, line in processes().items() if "worker_process" in line and mark in line}
    return {process: int(Path(line.rstrip("\0")).name) for process, line in lines.items()}


def trains_on_second(nodes, outputs):
    """Whether a job trains on the second node of which the controller has a checkpoint."""
    with contextlib.suppress(OSError):  # one of them has just ended
        there = {job for process, job in workers(outputs).items() if parent_of(parent_of(process)) == nodes.second}
        return any(int(path.parents[1].name) in there for path in checkpoints(outputs))
    return False


def checkpoints(outputs):
    return list(outputs.glob("sweeps/*/*/checkpoints/resume-*.pt"))


def jobs_of(outputs):
    """The folders of the only sweep's jobs, by their numbers."""
    return {int(path.parent.name): path.parent for path in outputs.glob(f"sweeps/*/*/{journal.NAME}")}


def recorded(outputs):
    """The runs of the jobs in the store."""
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cifar_sweeps").experiment_id])
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def assert_recorded_once(outputs, states=("FINISHED",)):
    runs = recorded(outputs)
    assert Counter(run.data.tags["cifar_sweeps.job"] for run in runs) == Counter(map(str, range(JOBS)))
    assert {run.info.status for run in runs} <= set(states)
    for job, folder in jobs_of(outputs).items():
        entries = journal.read(folder)
        epochs = [entry.fields["step"] for entry in entries if "train/loss" in entry.fields.get("values", {})]
        assert epochs == list(range(1, len(epochs) + 1)), f"job {job}"
        folder_tag = entries[0].fields["tags"]["cifar_sweeps.folder"]
        assert folder_tag == str(folder), "the record names the controller's folder"


def started_elsewhere(text):
    return {int(line.split()[1]) for line in text.splitlines() if " is started again elsewhere: " in line}


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["model"]


@pytest.mark.parametrize(
    "shared",
    [
        pytest.param("auto", id="shared disk"),
        pytest.param("false", id="no shared disk", marks=pytest.mark.cluster_short),
    ],
)
def test_all_jobs_finish_though_a_node_dies_with_the_weights_of_a_local_run(nodes, outputs, tmp_path, shared):
    sweep = RunningSweep(
        tmp_path, *on(nodes, shared=shared, folder=tmp_path / "node"), SEEDS, *SMALL, EPOCHS, **nodes.environment
    )
    sweep.wait_until(lambda: trains_on_second(nodes, outputs))
    nodes.kill_node()
    assert sweep.end() == 0, sweep.text()

    moved = started_elsewhere(sweep.text())
    assert moved, sweep.text()
    assert sweep.err.read_text() == ""
    assert_recorded_once(outputs)
    resumed = [job for job in moved if "resumed after epoch" in (jobs_of(outputs)[job] / "run.log").read_text()]
    assert resumed, "from the checkpoint that was here"

    local = tmp_path / "local"
    seeds = sorted({0, *moved})
    again = cifar_train("-m", f"seed={','.join(map(str, seeds))}", *SMALL, EPOCHS, CIFAR_SWEEPS_OUTPUTS=str(local))
    assert again.returncode == 0, again.stderr
    for number, seed in enumerate(seeds):
        here, there = weights(jobs_of(local)[number]), weights(jobs_of(outputs)[seed])
        assert all(torch.equal(here[key], there[key]) for key in here), f"seed {seed}"
    assert not list((tmp_path / "node").glob("job-*/*")) or shared == "false"


def test_early_stopping_decides_though_a_node_dies(nodes, outputs, tmp_path):
    rule = ("sweep.early_stopping=asha", "sweep.grace_epochs=4", "sweep.eta=2")
    rates = f"optimizer.lr={','.join(str(3e-4 * 1.5**step) for step in range(JOBS))}"
    sweep = RunningSweep(tmp_path, *on(nodes), rates, *SMALL, "trainer.epochs=16", *rule, **nodes.environment)
    sweep.wait_until(lambda: trains_on_second(nodes, outputs))
    nodes.kill_node()
    assert sweep.end() == 0, sweep.text()
    assert started_elsewhere(sweep.text()), sweep.text()
    assert_recorded_once(outputs)
    paused = [run for run in recorded(outputs) if "cifar_sweeps.early_stopped" in run.data.tags]
    whole = [run for run in recorded(outputs) if "test/accuracy" in run.data.metrics]
    assert len(paused) + len(whole) == JOBS
    assert paused
    assert whole


def test_a_search_goes_on_though_a_node_dies(nodes, outputs, tmp_path):
    search = ("hydra/sweeper=optuna", f"hydra.sweeper.n_trials={JOBS}", "optimizer.lr=tag(log,interval(1e-4,1e-1))")
    sweep = RunningSweep(tmp_path, *on(nodes), *search, *SMALL, EPOCHS, **nodes.environment)
    sweep.wait_until(lambda: trains_on_second(nodes, outputs))
    nodes.kill_node()
    assert sweep.end() == 0, sweep.text()
    assert started_elsewhere(sweep.text()), sweep.text()
    assert_recorded_once(outputs)
    rates = {run.data.params["optimizer.lr"] for run in recorded(outputs)}
    assert len(rates) == JOBS, "no trial is trained for another"


@pytest.mark.parametrize("where", ["a cluster", "a local cluster"])
def test_ctrl_c_leaves_no_process_and_keeps_what_was_trained(request, outputs, tmp_path, where):
    nodes = request.getfixturevalue("nodes") if where == "a cluster" else None
    options = on(nodes) if nodes else ["hydra.launcher.n_jobs=2"]
    sweep = RunningSweep(
        tmp_path, *options, "seed=0,1", *SMALL, "trainer.epochs=400", **(nodes.environment if nodes else {})
    )
    sweep.wait_until(lambda: len({path.parent for path in checkpoints(outputs)}) == 2)
    assert len(workers(outputs)) == 2
    sweep.process.send_signal(signal.SIGINT)
    assert sweep.end(90) == 130, sweep.text()
    assert workers(outputs) == {}
    assert {run.info.status for run in recorded(outputs)} == {"KILLED"}
    for folder in jobs_of(outputs).values():
        assert list((folder / "checkpoints").glob("resume-*.pt"))
        assert journal.read(folder)[-1].fields["reason"] == "interrupted", "it has stopped by itself"
    if not nodes:
        session = re.compile(rf"/session_[\d_-]+_{sweep.process.pid}/")  # the local cluster's
        assert [line for line in processes().values() if session.search(line)] == []


@pytest.mark.parametrize(
    "shared",
    [
        pytest.param("auto", id="shared disk"),
        pytest.param("false", id="no shared disk", marks=pytest.mark.cluster_short),
    ],
)
def test_a_sweep_that_is_left_is_attached_and_closed(nodes, outputs, tmp_path, shared):
    own = on(nodes, address=None, shared=shared, folder=tmp_path / "node")
    there = {**nodes.environment, "RAY_ADDRESS": nodes.address}  # which the commands after it do not have
    sweep = RunningSweep(tmp_path, *own, "sweep.detach=true", "seed=0,1,2,3,4,5", *SMALL, EPOCHS, **there)
    assert sweep.end(120) == 0, sweep.text()
    assert "Left to run" in sweep.text()
    assert "4 jobs run on; 2 are started by cifar-sweeps attach" in sweep.text()
    name = next(outputs.glob("sweeps/*")).name
    status = cifar_sweeps("status", name, "--json", **nodes.environment)
    told = json.loads(status.stdout)
    assert (told["sweep"], told["state"], told["problem"]) == (name, "left to run", ""), status.stderr
    states = {job["job"]: job["state"] for job in told["jobs"]}
    assert sorted(states) == [0, 1, 2, 3], "those that the nodes had room for"
    assert set(states.values()) <= {"running", "queued", "finished"}
    assert told["not_started"] == 2
    attached = cifar_sweeps("attach", name, **nodes.environment)
    assert attached.returncode == 0, attached.stdout + attached.stderr
    runs = recorded(outputs)
    assert Counter(run.data.tags["cifar_sweeps.job"] for run in runs) == Counter("012345")
    assert {run.info.status for run in runs} == {"FINISHED"}
    for folder in jobs_of(outputs).values():
        assert [entry.op for entry in journal.read(folder)].count("resume") == 0, "it has run on meanwhile"


def test_a_run_of_a_cluster_is_repeated_here_with_a_verdict(nodes, outputs, tmp_path):
    own = on(nodes, shared="false", folder=tmp_path / "node")
    sweep = RunningSweep(tmp_path, *own, "seed=0,1", *SMALL, "trainer.epochs=2", **nodes.environment)
    assert sweep.end() == 0, sweep.text()
    nodes.close()
    again = cifar_sweeps("reproduce", "seed=1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.splitlines()[-1] == "bit-identical"


@pytest.mark.skipif(
    importlib.util.find_spec("opencensus") is None, reason="the cluster has no dashboard; pip install 'ray[default]'"
)
def test_a_whole_sweep_is_one_ray_job(tmp_path, outputs):
    cluster = TwoNodes(tmp_path, dashboard=True)
    (tmp_path / "typed in").mkdir()
    (tmp_path / "typed in/notes.txt").write_text("Ray takes along what lies in the folder")
    command = [*("cifar-train", "-m", "hydra/launcher=ray", "seed=0,1,2,3,4"), *SMALL, "trainer.epochs=2"]

    def submit(*options):
        ray = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", cluster.jobs, *options]
        return subprocess.run(
            [*ray, "--", *command],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path / "typed in",
            env={**os.environ, **cluster.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            check=False,
        )

    try:
        place = json.dumps({"env_vars": {"CIFAR_SWEEPS_OUTPUTS": str(outputs)}})
        done = submit("--working-dir", ".", "--runtime-env-json", place)
        assert done.returncode == 0, done.stdout + done.stderr
        runs = recorded(outputs)
        assert Counter(run.data.tags["cifar_sweeps.job"] for run in runs) == Counter("01234")
        assert {run.info.status for run in runs} == {"FINISHED"}
        nowhere = json.dumps({"env_vars": {"CIFAR_SWEEPS_OUTPUTS": "outputs"}})
        refused = submit("--working-dir", ".", "--runtime-env-json", nowhere)
        assert refused.returncode != 0
        assert "among the files of a Ray job, which Ray removes" in refused.stdout + refused.stderr
    finally:
        cluster.close()


def cifar_sweeps(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "cifar_sweeps.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "120", **environment},
        check=False,
    )


def test_the_jobs_of_a_command_that_is_killed_run_on_and_are_attached(nodes, outputs, tmp_path):
    own = on(nodes, shared="false", folder=tmp_path / "node")
    sweep = RunningSweep(tmp_path, *own, "seed=0,1,2,3,4", *SMALL, "trainer.epochs=40", **nodes.environment)
    sweep.wait_until(lambda: len({path.parent for path in checkpoints(outputs)}) >= 2)
    sweep.process.kill()
    sweep.process.wait(30)
    assert len(workers(outputs)) >= 2
    attached = cifar_sweeps("attach", next(outputs.glob("sweeps/*")).name, **nodes.environment)
    assert attached.returncode == 0, attached.stdout + attached.stderr
    runs = recorded(outputs)
    assert Counter(run.data.tags["cifar_sweeps.job"] for run in runs) == Counter("01234")
    assert {run.info.status for run in runs} == {"FINISHED"}
    for folder in jobs_of(outputs).values():
        entries = journal.read(folder)
        assert [entry.op for entry in entries].count("resume") == 0, "it has run on meanwhile"
        epochs = [entry.fields["step"] for entry in entries if "train/loss" in entry.fields.get("values", {})]
        assert epochs == list(range(1, 41))
