import pytest

from cifar_sweeps.system import cores
from cifar_sweeps.system.cores import Parallelism, available_cores, plan_parallelism


@pytest.mark.parametrize(
    ("cores", "jobs", "options", "expected"),
    [
        (1, 8, {}, Parallelism(1, 1)),
        (2, 8, {}, Parallelism(2, 1)),
        (4, 8, {}, Parallelism(4, 1)),
        (16, 8, {}, Parallelism(8, 2)),
        (64, 8, {}, Parallelism(8, 8)),
        (64, 300, {}, Parallelism(64, 1)),
        (4, 1, {}, Parallelism(1, 4)),
        (4, 3, {}, Parallelism(3, 1)),
        (16, 8, {"device": "gpu"}, Parallelism(1, 16)),
        (16, 8, {"device": "gpu", "n_jobs": 2}, Parallelism(2, 8)),
        (16, 8, {"device": "gpu", "gpus": 1}, Parallelism(1, 16)),
        (16, 8, {"device": "gpu", "gpus": 2}, Parallelism(2, 8)),
        (64, 300, {"device": "gpu", "gpus": 8}, Parallelism(8, 8)),
        (64, 300, {"device": "gpu", "gpus": 8, "jobs_per_gpu": 2}, Parallelism(16, 4)),
        (4, 300, {"device": "gpu", "gpus": 8}, Parallelism(8, 1)),
        (1, 300, {"device": "gpu", "gpus": 2}, Parallelism(2, 1)),
        (64, 3, {"device": "gpu", "gpus": 8}, Parallelism(3, 21)),
        (64, 300, {"device": "gpu", "gpus": 8, "n_jobs": 4}, Parallelism(4, 16)),
        (64, 300, {"device": "gpu", "gpus": 8, "threads": 2}, Parallelism(8, 2)),
        (64, 300, {"device": "cpu", "gpus": 8, "jobs_per_gpu": 2}, Parallelism(64, 1)),
        (4, 8, {"n_jobs": 3}, Parallelism(3, 1)),
        (4, 8, {"n_jobs": 2}, Parallelism(2, 2)),
        (2, 8, {"n_jobs": 6}, Parallelism(6, 1)),
        (16, 8, {"threads": 4}, Parallelism(4, 4)),
        (2, 8, {"threads": 4}, Parallelism(1, 4)),
        (16, 8, {"n_jobs": 8, "threads": 3}, Parallelism(8, 3)),
    ],
    ids=str,
)
def test_parallelism(cores, jobs, options, expected):
    assert plan_parallelism(cores, jobs, **options) == expected


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1), ("rubbish", 8)], ids=str
)
def test_a_container_limit_counts(limit, expected, monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert available_cores() == expected
