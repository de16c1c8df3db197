"""What is printed to be typed can be typed: the shell may know the command by its name, or only by its path."""

import os
import sys

import pytest

from cifar_sweeps.system.scripts import typed


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
