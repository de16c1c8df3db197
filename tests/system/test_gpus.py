"""Which GPUs a process sees, by names that mean the same device in another process."""

import pytest
import torch

from cifar_sweeps.runs import identity
from cifar_sweeps.system.gpus import CUDA_VISIBLE_DEVICES, visible_gpus


@pytest.mark.parametrize(
    ("count", "variable", "expected"),
    [
        (0, None, []),
        (1, None, ["0"]),
        (2, None, ["0", "1"]),
        (8, None, [str(index) for index in range(8)]),
        (2, "2,5", ["2", "5"]),
        (1, "GPU-4f3a", ["GPU-4f3a"]),
        (2, " 3 , 1 ", ["3", "1"]),
        (1, "3,-1,2", ["3"]),  # CUDA ignores what follows an invalid entry
        (0, "", []),
        (0, "-1", []),
    ],
    ids=str,
)
def test_visible_gpus(count, variable, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv(CUDA_VISIBLE_DEVICES, raising=False)
    if variable is not None:
        monkeypatch.setenv(CUDA_VISIBLE_DEVICES, variable)
    assert visible_gpus() == expected


def test_a_run_records_the_gpu_that_its_job_was_given(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # what a job sees of its machine
    monkeypatch.setenv(CUDA_VISIBLE_DEVICES, "5")
    assert identity._gpu_index(torch.device("cuda")) == "5"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv(CUDA_VISIBLE_DEVICES)
    assert identity._gpu_index(torch.device("cuda", 2)) == "2"
    assert identity._gpu_index(torch.device("cpu")) == "none"
