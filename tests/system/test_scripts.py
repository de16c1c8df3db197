"""What is printed to be typed can be typed: the shell may know the command by its name, or only by its path."""

import os
import shlex
import sys

import pytest

from cifar_sweeps.system.scripts import as_typed, recorded_command, shell_command, store_environment, typed


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A virtual environment that is not activated, in the current folder."""
    folder = tmp_path / "my project" / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "cifar-sweeps"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path / "my project")
    return folder


def test_a_command_of_an_environment_that_is_not_activated_is_given_by_its_path(environment):
    assert typed("cifar-sweeps") == ".venv/bin/cifar-sweeps"
    assert typed("cifar-sweeps", anywhere=True) == f"'{environment}/cifar-sweeps'"


def test_outside_the_folder_the_path_is_whole_and_quoted(environment, monkeypatch):
    monkeypatch.chdir(environment.parent)
    assert typed("cifar-sweeps") == "bin/cifar-sweeps"
    monkeypatch.chdir("/usr")
    assert typed("cifar-sweeps") == f"'{environment}/cifar-sweeps'"


def test_an_activated_command_is_given_by_its_name(environment, monkeypatch):
    monkeypatch.setenv("PATH", f"{environment}{os.pathsep}/usr/bin")
    assert typed("cifar-sweeps") == typed("cifar-sweeps", anywhere=True) == "cifar-sweeps"


def test_the_command_of_another_environment_is_not_meant(environment, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "cifar-sweeps").write_text("#!/bin/sh\n")
    (other / "cifar-sweeps").chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    assert typed("cifar-sweeps") == ".venv/bin/cifar-sweeps"


def test_where_there_is_no_such_script_the_name_is_all_there_is(environment):
    assert typed("cifar-train") == "cifar-train"


@pytest.mark.parametrize("folder", ["outputs", "elsewhere", "with a blank", "it's $HOME", "ünïcode"])
def test_a_printed_command_finds_its_outputs_whatever_they_are_called(environment, folder, tmp_path):
    here = tmp_path / "my project"
    line = shell_command("cifar-sweeps", ["reproduce", "a b", "$x"], store_environment(here / folder, None))
    parts = shlex.split(line)
    assert parts[-4:] == [".venv/bin/cifar-sweeps", "reproduce", "a b", "$x"]
    assert parts[:-4] == ([] if folder == "outputs" else [f"CIFAR_SWEEPS_OUTPUTS={here / folder}"])


def test_a_printed_command_finds_its_store_and_shows_no_password(environment):
    assert store_environment("outputs", "http://host:5000") == {"MLFLOW_TRACKING_URI": "http://host:5000"}
    assert store_environment("outputs", "http://me:***@host") == {}


def test_a_recorded_command_is_typed_with_the_path_that_this_shell_needs(environment):
    recorded = recorded_command("cifar-sweeps", ["x=[1, 2]", "y='z'"], {"CIFAR_SWEEPS_OUTPUTS": "/a b"})
    assert shlex.split(recorded) == ["CIFAR_SWEEPS_OUTPUTS=/a b", "cifar-sweeps", "x=[1, 2]", "y='z'"]
    assert shlex.split(as_typed(recorded)) == [
        "CIFAR_SWEEPS_OUTPUTS=/a b",
        ".venv/bin/cifar-sweeps",
        "x=[1, 2]",
        "y='z'",
    ]


def test_a_command_that_builds_a_network_of_the_user_s_own_allows_it_in_a_fresh_shell(environment, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_ALLOW_TARGETS", "mynets")
    for line in (
        shell_command("cifar-sweeps", ["reproduce", "1"]),
        shell_command("cifar-sweeps", ["resume", "1"], {"CIFAR_SWEEPS_OUTPUTS": "x"}),
        recorded_command("cifar-train", ["model=small"]),
        as_typed("CIFAR_SWEEPS_ALLOW_TARGETS=mynets cifar-train model=small"),
    ):
        assert line.count("CIFAR_SWEEPS_ALLOW_TARGETS=mynets ") == 1
    assert "ALLOW" not in shell_command("cifar-sweeps", ["ui"])
