"""Ctrl-C ends a command in one line at whatever moment of its start it comes, the imports included."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import TINY

INTERRUPTER = """
import os, signal, sys

class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"] and os.getpid() == os.getpgrp():
            os.killpg(0, signal.SIGINT)  # as a terminal does: the fork server gets it, too
        return None

sys.meta_path.insert(0, AtImport())
"""


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("hydra", ["-m", "cifar_sweeps", "-m", "seed=0,1"]),
        ("cifar_sweeps.sweeps.terminal.help_text", ["-m", "cifar_sweeps", "-m", "seed=0,1"]),
        ("torch", ["-m", "cifar_sweeps", "-m", "seed=0,1"]),
        ("cifar_sweeps.sweeps.launch", ["-m", "cifar_sweeps", "-m", "seed=0,1"]),
        ("torch", ["-m", "cifar_sweeps"]),
        ("typer", ["-c", "from cifar_sweeps.entry import cifar_sweeps; cifar_sweeps()"]),
    ],
)
def test_it_is_answered_while_the_command_imports(tmp_path, module, command):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTER)
    more = TINY if "seed=0,1" in command else []
    with subprocess.Popen(
        [sys.executable, *command, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "AT": module},
        start_new_session=True,
    ) as started:
        printed, _ = started.communicate(timeout=120)  # both ends: no process is left that holds the output
    # A shell's status is 130 for both: Python ends by the signal itself if a text that was executed was interrupted.
    assert started.returncode in (130, -signal.SIGINT), printed
    assert printed.removeprefix("Checking 2 jobs …\n") == "\nInterrupted.\n"
