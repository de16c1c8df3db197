"""The launcher's settings: what is refused, and what stands in the batch script."""

import os
import subprocess
from pathlib import Path

import pytest

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.engines.slurm.script import overruling_variables, sbatch_options, write_script
from cifar_sweeps.sweeps.engines.slurm.settings import SlurmSettings, check_settings, seconds_of_limit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:30", 30),
        ("90:00", 5400),
        ("1:30:00", 5400),
        ("2-12", 216_000),
        ("1-0:30", 88_200),
        ("1-00:00:01", 86_401),
        ("90", None),
        ("an hour", None),
        ("1:2:3:4", None),
    ],
)
def test_time_limits_are_read_as_slurm_reads_them(text, seconds):
    assert seconds_of_limit(text) == seconds


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"time": 5400}, "in a YAML file in quotes"),
        ({"time": "90"}, "hydra.launcher.time=90: must be hours:minutes:seconds"),
        ({"time": "2:00"}, "longer than signal_seconds=120"),
        ({"n_jobs": 0}, "hydra.launcher.n_jobs=0: must be auto"),
        ({"cpus": True}, "hydra.launcher.cpus=True"),
        ({"partition": "a b"}, "hydra.launcher.partition=a b: must be one word"),
        ({"partition": "gpu\n#SBATCH --uid=root"}, "must be one word"),
        ({"memory": "much"}, "such as 4G"),
        ({"gpus": "a100"}, "such as a100:1"),
        ({"extra": "--qos=long"}, "hydra.launcher.extra=--qos=long: must be a list"),
        ({"extra": ["qos=long"]}, "must be an option of sbatch"),
        ({"extra": ["--array=0-9"]}, "--array is set by cifar_sweeps itself"),
        ({"extra": ["-a0-9"]}, "-a0-9 is set by cifar_sweeps itself"),
        ({"setup": ["a\nb"]}, "must be a list of lines"),
        ({"poll_seconds": 0}, "must be a number above 0"),
        ({"signal_seconds": "soon"}, "must be an integer from 1"),
    ],
    ids=lambda each: str(each)[:30] if isinstance(each, dict) else "",
)
def test_a_wrong_setting_is_refused_by_its_key(given, words):
    with pytest.raises(ConfigError) as error:
        check_settings(**given)
    assert words in str(error.value)


def test_all_that_is_wrong_comes_in_one_error():
    with pytest.raises(ConfigError) as error:
        check_settings(cpus=0, memory="x", time=1)
    assert len(error.value.errors) == 3


def test_what_is_configured_stands_in_the_script_and_no_variable_overrules_it():
    settings = check_settings(
        partition="gpu", account="lab", time="1:00:00", memory="4G", cpus=3, gpus="a100:2", extra=["--qos=long"]
    )
    assert sbatch_options(settings) == [
        *("--nodes=1", "--ntasks=1", "--cpus-per-task=3", "--partition=gpu", "--account=lab", "--time=1:00:00"),
        *("--mem=4G", "--gres=gpu:a100:2", "--signal=B:USR1@120", "--requeue", "--open-mode=append", "--qos=long"),
    ]
    assert {"SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SBATCH_QOS", "SBATCH_ARRAY_INX"} <= set(
        overruling_variables(settings)
    )
    assert "SBATCH_PARTITION" not in overruling_variables(check_settings())  # the user's own default


@pytest.mark.parametrize("name", ["plain", "a b'c\"d$(touch x)", "%A\\n", "ümlaut\nline"], ids=range(4))
def test_a_folder_of_any_name_reaches_the_worker(tmp_path, name, monkeypatch):
    """The script is run by bash, with a Python that prints its arguments."""
    folder = tmp_path / name
    folder.mkdir()
    python = tmp_path / "a python"
    python.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    script = write_script(folder / "one.sh", SlurmSettings(setup=("export SET=1",)))
    done = subprocess.run(["bash", script], capture_output=True, check=True, cwd=tmp_path)
    assert [os.fsdecode(each) for each in done.stdout.split(b"\0")[:-1]] == [
        *("-m", "cifar_sweeps.sweeps.engines.slurm.task_of_array", str(folder / "one.json"), str(Path.cwd())),
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, "a python"])


def test_a_setup_command_that_fails_ends_the_job_and_is_named(tmp_path):
    script = write_script(tmp_path / "one.sh", SlurmSettings(setup=("true", "module load nothing")))
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "hydra.launcher.setup: status 127: module load nothing" in done.stderr


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        (SlurmSettings(), ""),
        (SlurmSettings(gpus="1"), "0,1"),
        (SlurmSettings(extra=("--gpus-per-node=1",)), "0,1"),
        (SlurmSettings(setup=("export CUDA_VISIBLE_DEVICES=1",)), "1"),
    ],
    ids=["none asked for", "gpus", "extra", "setup"],
)
def test_a_job_that_asks_for_no_gpu_sees_none(tmp_path, monkeypatch, settings, seen):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s" "$CUDA_VISIBLE_DEVICES"\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    script = write_script(tmp_path / "one.sh", settings)
    assert subprocess.run(["bash", script], capture_output=True, text=True, check=True).stdout == seen
