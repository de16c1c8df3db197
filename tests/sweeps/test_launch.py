"""From the launcher's config and the jobs' devices to how many jobs run at once, and on which GPUs."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from fake_engine import planned
from running import SMALL

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError, JobFailedError
from cifar_sweeps.runs.run import run
from cifar_sweeps.sweeps import launch as module
from cifar_sweeps.sweeps.engines.local import setup as local
from cifar_sweeps.sweeps.engines.local.setup import LocalSetup
from cifar_sweeps.sweeps.engines.setup import check_count, check_n_jobs
from cifar_sweeps.sweeps.jobs import JobResult
from cifar_sweeps.sweeps.previous.launches import PreviousJob
from cifar_sweeps.system.cores import Parallelism
from cifar_sweeps.tracking import journal


def jobs(*devices, threads="auto"):
    return [SimpleNamespace(trainer=SimpleNamespace(device=d, threads=threads)) for d in devices]


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many cores and GPUs."""

    def make(cores, gpus):
        monkeypatch.setattr(local, "available_cores", lambda: cores)
        monkeypatch.setattr(local, "visible_gpus", lambda: [str(index) for index in range(gpus)])
        monkeypatch.setattr(local, "resolve_device", torch.device)

    return make


@pytest.mark.parametrize(
    ("cores", "gpus", "devices", "n_jobs", "per_gpu", "expected"),
    [
        (2, 0, ["cpu"] * 9, None, 1, Parallelism(2, 1)),
        (64, 0, ["cpu"] * 9, None, 3, Parallelism(9, 7)),
        (16, 1, ["cuda"] * 9, None, 1, Parallelism(1, 16)),
        (16, 2, ["cuda"] * 9, None, 1, Parallelism(2, 8)),
        (16, 8, ["cuda"] * 9, None, 1, Parallelism(8, 2)),
        (64, 8, ["cuda"] * 99, None, 4, Parallelism(32, 2)),
        (64, 8, ["cuda"] * 99, 3, 4, Parallelism(3, 21)),
        (16, 8, ["cuda"] * 2, None, 1, Parallelism(2, 8)),
        (8, 0, ["mps"] * 9, None, 1, Parallelism(1, 8)),
        (8, 2, ["cuda", "cpu"], None, 1, Parallelism(1, 8)),  # they are not spread: one GPU at a time
    ],
)
def test_how_many_jobs_run_at_once(machine, cores, gpus, devices, n_jobs, per_gpu, expected):
    machine(cores, gpus)
    planned_jobs = jobs(*devices)
    setup = LocalSetup("auto" if n_jobs is None else n_jobs, per_gpu)
    assert setup.choose_parallelism(planned_jobs, len(planned_jobs)) == expected


def test_jobs_are_spread_over_gpus_where_all_of_them_train_on_cuda(machine):
    machine(8, 2)
    assert LocalSetup().gpus(jobs("cuda", "cuda")) == ["0", "1"]
    assert LocalSetup().gpus(jobs("cuda", "cpu")) == []
    assert LocalSetup().gpus(jobs("cpu", "cpu")) == []


def test_threads_that_a_config_names_win(machine):
    machine(16, 0)
    assert LocalSetup().choose_parallelism(jobs("cpu", "cpu", threads=5), 2) == Parallelism(2, 5)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_a_wrong_number_is_refused(value):
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.n_jobs=.*: must be auto, or at least 1"):
        LocalSetup(n_jobs=value)
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.jobs_per_gpu=.*: must be an integer of at least 1"):
        LocalSetup(jobs_per_gpu=value)


def test_auto_and_whole_numbers_are_taken():
    assert (check_n_jobs("auto"), check_n_jobs(3), check_count("key", 2)) == (None, 3, 2)


@pytest.mark.parametrize("state", ["finished", "paused"])
def test_hydra_gets_the_value_of_a_job(state):
    job = replace(planned(0), node=None)
    assert module._job_return(job, JobResult(state, 0.5), False).return_value == 0.5


@pytest.mark.parametrize("state", ["failed", "killed", "waiting"])
def test_hydra_gets_the_reason_of_a_job_that_did_not_finish(state):
    job = replace(planned(0), node=None)
    done = module._job_return(job, JobResult(state, reason="no"), False)
    with pytest.raises(JobFailedError, match="no"):
        _ = done.return_value


def test_a_resumed_job_s_best_accuracy_counts_what_it_had_reached_before(tmp_path):
    run(compose([*SMALL, "trainer.epochs=3"]), folder=tmp_path)
    reached = [values["val/accuracy"] for values in recorded_metrics(tmp_path) if "val/accuracy" in values]
    earlier = PreviousJob(0, tmp_path, "", None)
    assert module._best_so_far(replace(planned(0), previous=earlier)) == max(reached)
    assert module._best_so_far(planned(0)) is None


def recorded_metrics(folder):
    return [entry.fields["values"] for entry in journal.read(folder) if entry.op == "metrics"]
