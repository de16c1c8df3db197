import pytest

from cifar_sweeps.system import cores
from cifar_sweeps.system.cores import Share, available_cores, share_cores


@pytest.mark.parametrize(
    ("cores", "jobs", "options", "expected"),
    [
        (1, 8, {}, Share(1, 1)),
        (2, 8, {}, Share(2, 1)),
        (4, 8, {}, Share(4, 1)),
        (16, 8, {}, Share(8, 2)),
        (64, 8, {}, Share(8, 8)),
        (64, 300, {}, Share(64, 1)),
        (4, 1, {}, Share(1, 4)),
        (4, 3, {}, Share(3, 1)),
        (16, 8, {"device": "gpu"}, Share(1, 16)),
        (16, 8, {"device": "gpu", "n_jobs": 2}, Share(2, 8)),
        (4, 8, {"n_jobs": 3}, Share(3, 1)),
        (4, 8, {"n_jobs": 2}, Share(2, 2)),
        (2, 8, {"n_jobs": 6}, Share(6, 1)),
        (16, 8, {"threads": 4}, Share(4, 4)),
        (2, 8, {"threads": 4}, Share(1, 4)),
        (16, 8, {"n_jobs": 8, "threads": 3}, Share(8, 3)),
    ],
    ids=str,
)
def test_shares(cores, jobs, options, expected):
    assert share_cores(cores, jobs, **options) == expected


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1), ("rubbish", 8)], ids=str
)
def test_a_container_limit_counts(limit, expected, monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert available_cores() == expected
