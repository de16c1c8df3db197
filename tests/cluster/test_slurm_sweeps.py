"""Sweeps under a real Slurm: jobs that are cancelled, killed, requeued and left, and a node and a command that die."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from conftest import cifar_train

from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run
from cluster.slurm.cluster import SlurmCluster, has_memory_cgroups, missing_programs, running_cluster

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        bool(missing_programs()), reason="Slurm is not installed; tests/cluster/slurm/cluster.py says how"
    ),
]

LIMIT = ("hydra.launcher.time=1:00", "hydra.launcher.signal_seconds=50")
"""The shortest time limit that Slurm has; the signal comes 10 to 15 seconds after the start."""
NO_LIMIT = ("hydra.launcher.time=30:00",)
SLURM = ("hydra/launcher=slurm", "hydra.launcher.poll_seconds=1")
NET = (
    *("data.source.train_images=2000", "data.source.test_images=60", "trainer.precision=fp32", "analysis=none"),
    *("model.blocks=[{filters: [8]}, {filters: [8]}]", "model.dense=[16]", "sweep.report=false", "trainer.threads=1"),
)


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="cs-slurm-"))
    cluster = SlurmCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Sweep:
    """A command that trains a sweep, and what its folders hold."""

    def __init__(self, cluster, outputs, *overrides):
        self.cluster, self.outputs = cluster, outputs
        self.environment = {**os.environ, **cluster.environment, "COLUMNS": "120"}
        self.text = ""
        self.start("cifar_sweeps", "-m", *SLURM, *NET, *overrides)

    def start(self, module, *arguments):
        self.command = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )

    def end(self, timeout=400):
        """Wait for the command's end and return its exit status."""
        self.text += self.command.communicate(timeout=timeout)[0]
        print(self.text)
        return self.command.returncode

    def tool(self, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "cifar_sweeps.cli.main", *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def folder(self):
        (folder,) = (self.outputs / "sweeps").iterdir()
        return folder

    def epochs(self, job):
        """The epochs that a job's journal has, in its order."""
        entries = journal.read(self.folder / str(job))
        return [
            each.fields["step"] for each in entries if each.op == "metrics" and "train/loss" in each.fields["values"]
        ]

    def wait_for_epoch(self, job, epoch=1, timeout=120):
        wait_for(f"epoch {epoch} of job {job}", lambda: max(self.epochs(job), default=0) >= epoch, timeout)

    def states(self):
        folders = [each for each in self.folder.iterdir() if each.name.isdigit()]
        return {int(each.name): read_run(each).state for each in folders}

    def slurm_job(self, job):
        """The job's id in Slurm: ARRAY_INDEX."""
        for path in (self.folder / ".tasks/slurm").glob("*.json"):
            record = json.loads(path.read_text())
            for index, task in enumerate(record["tasks"]):
                if task["job"] == job and record["array"]:
                    return f"{record['array']}_{index}"
        return None

    def process(self, job):
        """The id of the job's process."""
        path = (self.folder / str(job) / "journal.jsonl").stat()
        wanted = f":{path.st_ino} "
        for line in Path("/proc/locks").read_text().splitlines():
            if wanted in line and "WRITE" in line and "->" not in line:
                return int(line.split()[4])
        return None

    def output_of(self, job):
        """What Slurm and the script of a job printed."""
        array, index = self.slurm_job(job).split("_")
        for path in (self.folder / ".tasks/slurm").glob("*.json"):
            if json.loads(path.read_text())["array"] == int(array):
                return path.with_name(f"{path.stem}-{index}.out").read_text()
        return ""

    def output(self):
        """What Slurm and the scripts printed."""
        return "".join(path.read_text() for path in (self.folder / ".tasks/slurm").glob("*.out"))

    def recorded(self):
        """Names, states and numbers of epochs of the runs in MLflow."""
        with sqlite3.connect(self.outputs / "mlflow.db") as store:
            runs = store.execute("select run_uuid, name, status from runs").fetchall()
            counts = dict(
                store.execute("select run_uuid, count(*) from metrics where key = 'train/loss' group by run_uuid")
            )
        return {name: (status, counts.get(run, 0)) for run, name, status in runs if not name.startswith("sweep ")}, len(
            runs
        )


def wait_for(what, condition, timeout=120):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.1)


def weights(folder):
    return torch.load(folder / "checkpoints/last.pt", weights_only=True)["model"]


def undisturbed(place, *overrides):
    """Train a single run here, without Slurm, and return its weights."""
    done = cifar_train(*NET, *overrides, timeout=300, CIFAR_SWEEPS_OUTPUTS=str(place))
    assert done.returncode == 0, done.stderr
    (folder,) = (place / "runs").iterdir()
    return weights(folder)


def same_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_eight_jobs_of_which_some_die_and_whose_node_and_command_die(cluster, outputs, tmp_path):
    """One job is cancelled, one is killed, a node of two dies, and the command dies, too.

    On a slow machine the jobs come to their limit as well.
    """
    epochs = ("trainer.epochs=30", "seed=0,1,2,3,4,5,6,7")
    sweep = Sweep(cluster, outputs, *LIMIT, *epochs)
    wait_for("sweep", lambda: (outputs / "sweeps").exists() and any((outputs / "sweeps").iterdir()))
    for job in range(4):
        sweep.wait_for_epoch(job)
    on = dict(line.split("|") for line in cluster.call("squeue", "-hr", "-o", "%F_%K|%N").split())
    places = {job: on[sweep.slurm_job(job)] for job in range(4)}
    assert Counter(places.values()) == {"n1": 2, "n2": 2}
    cancelled, killed = (job for job in range(4) if places[job] == "n1")
    cluster.call("scancel", sweep.slurm_job(cancelled))
    os.kill(sweep.process(killed), signal.SIGKILL)
    cluster.signal("n2", signal.SIGKILL)  # the jobs' processes live on
    sweep.command.kill()
    sweep.end()
    status = json.loads(sweep.tool("status", sweep.folder.name, "--json"))
    assert status["state"] == "left to run"
    sweep.start("cifar_sweeps.cli.main", "attach", sweep.folder.name)
    wait_for("node that is down", lambda: "down" in cluster.call("sinfo", "-h", "-n", "n2", "-o", "%T"))
    cluster.start_node("n2")
    assert sweep.end() == 0
    states = sweep.states()
    # Whoever died while no command watched is trained by the one that is attached, as by any command that resumes.
    assert states == dict.fromkeys(range(8), "FINISHED")
    for job in range(8):
        assert sorted(set(sweep.epochs(job))) == list(range(1, 31))
        assert sweep.epochs(job) == list(range(1, 31)), f"job {job} trained an epoch twice"
    runs, count = sweep.recorded()
    assert count == 9
    assert runs == {f"seed={job}": ("FINISHED", 30) for job in range(8)}
    requeued = next(job for job in range(4) if places[job] == "n2")
    assert same_bits(
        weights(sweep.folder / str(requeued)), undisturbed(tmp_path, "trainer.epochs=30", f"seed={requeued}")
    )


@pytest.mark.cluster_short
def test_who_is_cancelled_or_killed_is_said_to_be_and_all_others_finish(cluster, outputs):
    sweep = Sweep(cluster, outputs, *NO_LIMIT, "trainer.epochs=12", "seed=0,1,2,3,4,5,6,7")
    wait_for("sweep", lambda: (outputs / "sweeps").exists() and any((outputs / "sweeps").iterdir()))
    wait_for("submission", lambda: sweep.slurm_job(7) is not None)
    cluster.call("scancel", sweep.slurm_job(7))  # while it waits
    for job in (0, 1):
        sweep.wait_for_epoch(job)
    cluster.call("scancel", sweep.slurm_job(0))
    os.kill(sweep.process(1), signal.SIGKILL)
    assert sweep.end() == 1
    assert sweep.states() == {0: "KILLED", 1: "KILLED", **dict.fromkeys(range(2, 7), "FINISHED")}  # 7 never began
    for job in (0, 7):
        assert f"Job {job} killed (seed={job}): it was cancelled in the scheduler's queue" in sweep.text
    assert "Job 1 killed (seed=1): its process was killed by SIGKILL" in sweep.text
    runs, count = sweep.recorded()
    assert count == 8
    assert {runs[f"seed={job}"] for job in range(2, 7)} == {("FINISHED", 12)}


def test_a_job_past_its_limit_ends_over_several_allocations_with_the_same_bits(cluster, outputs, tmp_path):
    sweep = Sweep(cluster, outputs, *LIMIT, "trainer.epochs=300", "seed=5")
    assert sweep.end() == 0
    assert sweep.output().count("DUE TO JOB REQUEUE") >= 1
    assert sweep.epochs(0) == list(range(1, 301))
    assert same_bits(weights(sweep.folder / "0"), undisturbed(tmp_path, "trainer.epochs=300", "seed=5"))


@pytest.mark.cluster_short
def test_retries_timeout_and_fail_fast(cluster, outputs):
    sweep = Sweep(cluster, outputs, *NO_LIMIT, "trainer.epochs=10", "sweep.retries=1", "seed=0,1")
    wait_for("sweep", lambda: (outputs / "sweeps").exists() and any((outputs / "sweeps").iterdir()))
    sweep.wait_for_epoch(0)
    os.kill(sweep.process(0), signal.SIGKILL)
    assert sweep.end() == 0
    assert "job 0 failed and is tried again: its process was killed by SIGKILL" in sweep.text
    assert sweep.states() == {0: "FINISHED", 1: "FINISHED"}
    assert sweep.epochs(0) == list(range(1, 11))


def test_a_job_that_takes_too_long_fails_and_fail_fast_stops_those_that_wait(cluster, outputs):
    overrides = ("trainer.epochs=5000", "sweep.timeout=12", "sweep.fail_fast=true", "seed=0,1,2,3,4,5")
    sweep = Sweep(cluster, outputs, *NO_LIMIT, *overrides)
    assert sweep.end() == 1
    assert "it took longer than sweep.timeout=12 seconds" in sweep.text
    assert "the others are stopped: sweep.fail_fast" in sweep.text
    assert "FINISHED" not in sweep.states().values()
    assert cluster.call("squeue", "-h", "-t", "PENDING,RUNNING") == ""


@pytest.mark.cluster_short
def test_early_stopping_promotes_and_pauses(cluster, outputs):
    rule = ("sweep.early_stopping=asha", "sweep.grace_epochs=1", "sweep.eta=2", "trainer.epochs=4")
    sweep = Sweep(cluster, outputs, *NO_LIMIT, *rule, "optimizer.lr=0.0001,0.001,0.003,0.01")
    assert sweep.end() == 0
    counts = Counter(sweep.states().values())
    assert set(counts) == {"FINISHED", "PAUSED"}
    for job, state in sweep.states().items():
        assert sweep.epochs(job) == list(range(1, len(sweep.epochs(job)) + 1))
        assert len(sweep.epochs(job)) == 4 if state == "FINISHED" else len(sweep.epochs(job)) in (1, 2)


@pytest.mark.cluster_short
def test_a_sweep_that_is_left_is_told_of_and_stopped(cluster, outputs):
    sweep = Sweep(cluster, outputs, *NO_LIMIT, "trainer.epochs=5000", "sweep.detach=true", "seed=0,1,2,3,4,5")
    assert sweep.end() == 0
    for job in range(4):
        sweep.wait_for_epoch(job)
    status = json.loads(sweep.tool("status", sweep.folder.name, "--json"))
    assert Counter(job["state"] for job in status["jobs"]) == {"running": 4, "queued": 2}
    assert {job["where"] for job in status["jobs"] if job["state"] == "running"} == {"on n1", "on n2"}
    sweep.tool("stop", sweep.folder.name)
    assert set(sweep.states().values()) == {"KILLED"}
    assert cluster.call("squeue", "-h", "-t", "PENDING,RUNNING") == ""


def test_with_outputs_in_the_folder_where_the_command_is_typed_the_jobs_train(cluster, tmp_path, monkeypatch):
    monkeypatch.delenv("CIFAR_SWEEPS_OUTPUTS")  # outputs are relative then
    monkeypatch.chdir(tmp_path)
    sweep = Sweep(cluster, tmp_path / "outputs", *NO_LIMIT, "trainer.epochs=2", "seed=0,1")
    assert sweep.end() == 0
    assert sweep.states() == {0: "FINISHED", 1: "FINISHED"}
    assert [each.name for each in tmp_path.iterdir()] == ["outputs"]


def test_a_controller_of_slurm_that_is_away_for_a_while_loses_nothing(cluster, outputs):
    sweep = Sweep(cluster, outputs, *NO_LIMIT, "trainer.epochs=150", "seed=0,1,2,3")
    wait_for("sweep", lambda: (outputs / "sweeps").exists() and any((outputs / "sweeps").iterdir()))
    sweep.wait_for_epoch(0)
    cluster.signal("controller", signal.SIGTERM)
    time.sleep(30)
    cluster.start_controller()
    assert sweep.end() == 0
    assert sweep.text.count("Slurm: squeue: ") == 1
    assert sweep.text.count("Slurm answers again") == 1
    assert set(sweep.states().values()) == {"FINISHED"}


def test_a_job_that_an_urgent_one_takes_the_place_of_goes_on_afterwards_with_the_same_bits(cluster, outputs, tmp_path):
    sweep = Sweep(cluster, outputs, *NO_LIMIT, "trainer.epochs=60", "seed=0,1,2,3")
    wait_for("sweep", lambda: (outputs / "sweeps").exists() and any((outputs / "sweeps").iterdir()))
    for job in range(4):
        sweep.wait_for_epoch(job)
    urgent = ("--partition=urgent", "--exclusive", "--nodes=1", "--nodelist=n1", "--wrap=sleep 15")
    cluster.call("sbatch", *urgent, f"--output={tmp_path}/urgent.out")
    wait_for("urgent job", lambda: cluster.call("squeue", "-h", "-p", "urgent", "-t", "RUNNING").strip())
    preempted = [job for job in range(4) if "PREEMPTION" in sweep.output_of(job)]
    assert len(preempted) == 2
    assert sweep.end() == 0
    assert sweep.states() == dict.fromkeys(range(4), "FINISHED")
    for job in range(4):
        assert sweep.epochs(job) == list(range(1, 61)), f"job {job} trained an epoch twice"
    assert same_bits(
        weights(sweep.folder / str(preempted[0])), undisturbed(tmp_path, "trainer.epochs=60", f"seed={preempted[0]}")
    )


def test_a_job_that_an_urgent_one_ends_is_told_of_and_submitted_again(cluster, outputs, tmp_path):
    """A site may cancel jobs then, and not queue them again; that it was their turn to go is no failure of theirs."""
    partition = "hydra.launcher.partition=fleeting"
    sweep = Sweep(cluster, outputs, *NO_LIMIT, partition, "trainer.epochs=60", "seed=0,1,2,3")
    wait_for("sweep", lambda: (outputs / "sweeps").exists() and any((outputs / "sweeps").iterdir()))
    for job in range(4):
        sweep.wait_for_epoch(job)
    urgent = ("--partition=urgent", "--exclusive", "--nodes=1", "--nodelist=n1", "--wrap=sleep 15")
    cluster.call("sbatch", *urgent, f"--output={tmp_path}/urgent.out")
    assert sweep.end() == 0
    assert sweep.text.count("is started again elsewhere: the scheduler ended it for a job that goes first") == 2
    assert sweep.states() == dict.fromkeys(range(4), "FINISHED")
    for job in range(4):
        assert sweep.epochs(job) == list(range(1, 61)), f"job {job} trained an epoch twice"


@pytest.mark.parametrize("memory", ["cgroup", "polling"])
def test_a_job_that_takes_more_memory_than_it_asked_for_is_told_so(outputs, memory):
    if memory == "cgroup" and not has_memory_cgroups():
        pytest.skip("no cgroups here that limit memory")
    folder = Path(tempfile.mkdtemp(prefix="cs-slurm-"))
    with running_cluster(folder, memory=memory) as cluster:
        sweep = Sweep(cluster, outputs, *NO_LIMIT, "hydra.launcher.memory=150M", "trainer.epochs=2", "seed=0,1")
        assert sweep.end() == 1
    shutil.rmtree(folder, ignore_errors=True)
    said = "Slurm ended it, OUT_OF_MEMORY" if memory == "cgroup" else "Slurm ended it for its memory"
    for job in (0, 1):
        assert f"Job {job} killed (seed={job}): {said}; more" in sweep.text


@pytest.mark.cluster_short
def test_a_run_of_the_cluster_is_repeated_here_with_a_verdict(cluster, outputs):
    sweep = Sweep(cluster, outputs, *NO_LIMIT, "trainer.epochs=3", "seed=0,1")
    assert sweep.end() == 0
    sweep.environment.pop("SLURM_CONF")  # nothing of the cluster is needed
    again = sweep.tool("reproduce", "seed=1")
    assert again.splitlines()[-1] == "bit-identical"


@pytest.mark.parametrize("rule", [(), ("sweep.early_stopping=asha", "sweep.grace_epochs=10", "sweep.eta=2")])
def test_a_search_that_is_left_is_attached_and_trains_no_trial_twice(cluster, outputs, rule):
    pytest.importorskip("optuna")
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=6", "hydra.launcher.n_jobs=2")
    space = ("optimizer.lr=tag(log,interval(1e-4,1e-2))", "trainer.epochs=60")
    sweep = Sweep(cluster, outputs, *NO_LIMIT, *search, *space, *rule, "sweep.detach=true")
    assert sweep.end() == 0
    assert "further trials are started by cifar-sweeps attach" in sweep.text
    sweep.start("cifar_sweeps.cli.main", "attach", sweep.folder.name)
    assert sweep.end() == 0
    states = sweep.states()
    assert sorted(states) == list(range(6))
    assert set(states.values()) <= ({"FINISHED", "PAUSED"} if rule else {"FINISHED"})
    for job in states:
        assert sweep.epochs(job) == list(range(1, len(sweep.epochs(job)) + 1)), f"job {job} trained an epoch twice"
    if not rule:  # each trial was submitted once
        assert len(list((sweep.folder / ".tasks/slurm").glob("*.out"))) == 6
    runs, count = sweep.recorded()
    assert count == 7
    assert {state for state, _ in runs.values()} == {"FINISHED"}
