"""A sweep folder that version 1 wrote is resumed: what it trained is found, by the command or by the sweep's id."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cifar_sweeps.sweeps import manifest
from cifar_sweeps.tracking import journal

WRITTEN = Path(__file__).parent / "fixtures" / "version_1"


class Left:
    """The outputs that version 1 left, in a folder of their own beside the images."""

    def __init__(self, name: str, folder: Path) -> None:
        for part in (name, "images"):
            shutil.copytree(WRITTEN / part, folder / part)
        self.folder, self.outputs = folder, folder / name
        (self.sweep,) = (self.outputs / "sweeps").iterdir()
        self.command = json.loads((self.sweep / "sweep.json").read_text())["command"]

    def launch(self, *arguments: str, module: str = "cifar_sweeps") -> str:
        """Type a command in the folder, and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "COLUMNS": "120", "CIFAR_SWEEPS_OUTPUTS": str(self.outputs)},
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert [*(self.outputs / "sweeps").iterdir()] == [self.sweep]  # no new one beside it
        return done.stdout

    def journals(self) -> dict[str, bytes]:
        """What the jobs' journals hold."""
        return {path.parent.name: path.read_bytes() for path in self.sweep.glob("*/journal.jsonl")}


@pytest.mark.parametrize("name", ["finished", "recorded"])
def test_finished_jobs_are_reused(name, tmp_path):
    left = Left(name, tmp_path)
    before = left.journals()
    printed = left.launch(*left.command)
    assert printed.count(" reused ") == len(before)
    assert "started" not in printed
    assert "resumed" not in printed
    assert left.journals() == before


def test_a_new_value_alone_is_trained(tmp_path):
    left = Left("finished", tmp_path)
    before = left.journals()
    printed = left.launch(*(f"{line},0.04" if line.startswith("optimizer.lr=") else line for line in left.command))
    assert printed.count(" reused ") == 3
    assert [line for line in printed.splitlines() if "started" in line] == ["job 3 started: lr=0.04"]
    assert {number: left.journals()[number] for number in before} == before


@pytest.mark.slow
def test_a_job_that_was_stopped_resumes_from_its_checkpoint(tmp_path):
    left = Left("stopped", tmp_path)
    before = left.journals()["0"]
    printed = left.launch("resume", left.sweep.name, module="cifar_sweeps.cli.main")
    assert "job 0 resumed: lr=0.01" in printed
    assert "job 1 started: lr=0.02" in printed
    log = (left.sweep / "0" / "run.log").read_text()
    assert "resumed after epoch 10" in log
    assert "epoch 10/60" not in log
    assert "epoch 11/60" in log
    assert left.journals()["0"].startswith(before)
    entries = journal.read(left.sweep / "0")
    losses = [entry.fields["step"] for entry in entries if "val/loss" in entry.fields.get("values", {})]
    assert losses == [*range(1, 61)]
    assert entries[-1].fields["state"] == "FINISHED"


def test_the_file_of_a_sweep_is_read_whatever_version_wrote_it(tmp_path):
    written = manifest.SweepManifest("an id", "a study", ("seed",), "digits", ("-m", "seed=0,1"), "/somewhere")
    written.write(tmp_path / "one")
    path = tmp_path / "one" / manifest.NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "of_a_later_version": [1]}))
    assert [*manifest.find_manifests(tmp_path)] == [(tmp_path / "one", written)]
    needed = {key: content[key] for key in ("swept", "identity", "command")}
    path.write_text(json.dumps(needed))
    ((_, found),) = manifest.find_manifests(tmp_path)
    assert (found.sweep_id, found.identity, found.command) == ("one", "digits", ("-m", "seed=0,1"))
    for damaged in ({**needed, "swept": 3}, {"identity": "digits"}, [needed], None):
        path.write_text(json.dumps(damaged))
        assert not [*manifest.find_manifests(tmp_path)]
