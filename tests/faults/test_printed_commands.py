"""Each command that a sweep, its report and MLflow's descriptions show is pasted into a shell, and does as it says."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow_fault

SCRIPTS = Path(sys.executable).parent
TINY = (
    "trainer.threads=1 trainer.epochs=1 analysis.log_model=false analysis.pictures=false "
    "data.source.train_images=200 data.source.test_images=60 'model.blocks=[{filters: [8]}, {filters: [8]}]' "
    "'model.dense=[16]'"
)
STUDY = "# @package _global_\nstudy_name: mine\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 0,1\n"
SHAPES = {
    "typed": f"cifar-train -m seed=0,1 {TINY}",
    "a study of one's own": f"cifar-train --config-dir my study=mine {TINY}",
    "outputs elsewhere": f'CIFAR_SWEEPS_OUTPUTS="it\'s here" cifar-train -m seed=0,1 {TINY}',
    "a folder of one's own": f"cifar-train -m seed=0,1 hydra.sweep.dir=outputs/sweeps/a/b {TINY}",
    "another store": f"MLFLOW_TRACKING_URI=sqlite:///other.db cifar-train -m seed=0,1 {TINY}",
    "odd values": f"cifar-train -m seed=0,1 'study_name=\"étude (1), $x\"' 'data.mean=[0.5,0.5,0.5]' {TINY}",
}
COMMAND = re.compile(r"^\s*((?:[A-Z_]+=\S.* )?(?:\S*/)?cifar-(?:train|sweeps) .+)$")


def paste(line, folder, timeout=120):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CIFAR_SWEEPS", "MLFLOW"))}
    environment["PATH"] = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def commands_in(text):
    return list(dict.fromkeys(found[1] for line in text.splitlines() if (found := COMMAND.match(line))))


def recorded(folder):
    """Return the commands that repeat each run, which its description in MLflow shows."""
    (store,) = [path for path in folder.rglob("*.db") if path.name in ("mlflow.db", "other.db")]
    rows = sqlite3.connect(store).execute("SELECT value FROM tags WHERE key = 'cifar_sweeps.repeat'").fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_printed_can_be_pasted_and_gives_what_it_says(shape, tmp_path):
    (tmp_path / "my" / "study").mkdir(parents=True)
    (tmp_path / "my" / "study" / "mine.yaml").write_text(STUDY)
    first = paste(SHAPES[shape], tmp_path)
    assert first.returncode == 0, first.stderr
    (report,) = [path for path in tmp_path.rglob("report.md") if "artifacts" not in path.parts]
    printed = {
        "terminal": commands_in(first.stdout + first.stderr),
        "report": commands_in(report.read_text().partition("## Reproduce")[2]),
        "description": recorded(tmp_path),
    }
    assert all(printed.values()), printed
    assert len(printed["terminal"]) == 4, printed["terminal"]  # reproduce, repeat, means, ui
    seen = set()
    for place, lines in printed.items():
        for line in lines:
            words = shlex.split(line)
            verb = next((word for word in words if word in ("reproduce", "results", "ui")), place)
            seen.add(verb)
            if verb == "ui":
                done = paste(
                    f"timeout -s INT 12 bash -c {shlex.quote(f'{line} --port=5{os.getpid() % 1000:03}')}", tmp_path
                )
                assert "Starting MLflow" in done.stdout, done.stderr
                continue
            done = paste(line, tmp_path)
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            if verb == "reproduce":
                assert done.stdout.rstrip().endswith("bit-identical"), done.stdout
            elif verb == "results":
                assert "Mean over seeds" in done.stdout, done.stdout
            elif verb == "report":  # the whole sweep again: all of it is there
                assert "Joins sweep" in done.stdout, (line, done.stdout)
                assert "2 jobs had finished before" in " ".join(done.stdout.split()), done.stdout
            else:  # one run, no sweep
                assert "Checking" not in done.stdout
                assert "test accuracy" in done.stdout
    assert seen >= {"reproduce", "ui", "report", "description"}
    assert not (tmp_path / "outputs").exists() or shape != "outputs elsewhere"
