"""Folders of jobs, sweeps and runs that users name: each its own, usable, and found again by every command."""

from pathlib import Path

import pytest

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.checks import job_folders
from cifar_sweeps.sweeps.checks.job_folders import check_job_folders, check_own_folder
from cifar_sweeps.sweeps.manifest import SweepManifest, find_manifests

SWEEP = Path("outputs/sweeps/one")


@pytest.mark.parametrize(
    ("subdirs", "problem"),
    [
        (["same", "same"], "is the folder of two jobs"),
        (["a", "b/../a"], "is the folder of two jobs"),
        (["a", "a/"], "is the folder of two jobs"),
        (["a", "a/b"], "would lie in the folder of job 'job 0'"),
        (["a/b", "a"], "would lie in the folder of job 'job 1'"),
        (["", "a"], "is that of the sweep itself"),
        (["."], "is that of the sweep itself"),
        (["../other/0"], "is outside that of the sweep"),
        (["/elsewhere/0"], "is outside that of the sweep"),
        (["../one2/0"], "is outside that of the sweep"),
        (["init_from=/home/me/outputs/runs/1/checkpoints/last.pt"], "has a part named checkpoints"),
        (["report"], "has a part named report"),
        (["data/0"], "has a part named data"),
        (["artifacts"], "has a part named artifacts"),
        ([".hydra"], "has a part named .hydra"),
        (["x" * 256], "has a name of 256 bytes, and 255 are allowed"),
        (["é" * 128], "has a name of 256 bytes"),
        (["/".join(["x" * 250] * 17)], "has a path of"),
    ],
    ids=lambda value: ",".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_folder_that_cannot_be_used_is_refused(subdirs, problem):
    with pytest.raises(ConfigError) as refused:
        check_job_folders([(f"job {place}", SWEEP / subdir) for place, subdir in enumerate(subdirs)], SWEEP)
    assert problem in refused.value.errors[0]
    assert "leave hydra.sweep.subdir out" in refused.value.errors[0]


@pytest.mark.parametrize(
    "subdirs", [["0", "1"], ["a/b", "a/c"], ["seed=0,lr=/x", "seed=1,lr=/x"], ["x" * 255, "A", "a"]]
)
def test_a_folder_for_each_is_taken(subdirs):
    check_job_folders([(subdir, SWEEP / subdir) for subdir in subdirs], SWEEP)


def test_names_that_differ_in_case_alone_are_one_folder_where_the_file_system_says_so(monkeypatch):
    folders = [("job 0", SWEEP / "lr=A"), ("job 1", SWEEP / "lr=a")]
    monkeypatch.setattr(job_folders, "ignores_case", lambda _folder: True)
    with pytest.raises(ConfigError, match="lr=a is the folder of two jobs, 'job 0' and 'job 1'"):
        check_job_folders(folders, SWEEP)


def test_case_is_looked_at_where_the_folder_will_be(tmp_path):
    (tmp_path / "Aa").mkdir()
    as_here = (tmp_path / "aA").exists()
    assert job_folders.ignores_case(tmp_path / "Aa" / "to" / "come") == as_here


@pytest.mark.parametrize("folder", ["outputs", "elsewhere", "outputs/../x", "outputs/data/x", "outputs/artifacts/1"])
@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir"])
def test_a_folder_where_no_command_looks_is_refused(key, folder):
    with pytest.raises(ConfigError, match=f"{key}=.*choose one below outputs"):
        check_own_folder(key, Path(folder), Path("outputs"))


@pytest.mark.parametrize("place", ["sweeps/one", "one", "sweeps/a/one", "a/b/c/one"])
def test_a_sweep_is_found_at_any_depth(tmp_path, place):
    check_own_folder("hydra.sweep.dir", tmp_path / place, tmp_path)
    SweepManifest("one", "mine", (), "0", (), ".").write(tmp_path / place)
    assert [folder for folder, _ in find_manifests(tmp_path)] == [tmp_path / place]


def test_outputs_that_ray_would_remove_are_refused(tmp_path):
    outputs = tmp_path / "ray/session_2026-11-27_16-37-34_304215_9955/runtime_resources/working_dir_files/_ray_pkg_1"
    with pytest.raises(ConfigError, match="which Ray removes; name a folder that stays: outputs=FOLDER"):
        check_own_folder("hydra.run.dir", outputs / "outputs/runs/1", outputs / "outputs")
