"""A sweep where others than its author work: odd variables, closed pipes, small limits, folders that cannot be written.

Each row is a line of shell with the sweep's command in it: it trains both jobs, or ends with one message.
"""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from .sweeping import SMALL

pytestmark = [pytest.mark.slow_fault, pytest.mark.skipif(sys.platform != "linux", reason="its tools are Linux's")]

SWEEP = " ".join(["cifar-train", "-m", "seed=0,1", "trainer.epochs=1", *(f"'{override}'" for override in SMALL)])
OWN_FILES = ("random.py", "yaml.py", "numpy.py", "torch.py", "hydra.py", "logging.py", "mlflow.py")
LINES = {
    "a notebook's backend": "MPLBACKEND=module://matplotlib_inline.backend_inline {sweep}",
    "a long TMPDIR": "mkdir -p {long} && TMPDIR=$PWD/{long} {sweep}",
    "no HOME": "env -u HOME {sweep}",
    "a HOME that is not there": "HOME=/proc/nowhere {sweep}",
    "no name of the user": "env -u USER -u LOGNAME {sweep}",
    "files named like libraries": "for file in {own_files}; do echo 'raise SystemExit(9)' > $file; done; {sweep}",
    "few open files": "ulimit -n 256; {sweep}",
    "warnings are errors": "PYTHONWARNINGS=error {sweep}",
    "all warnings": "PYTHONWARNINGS=always PYTHONDEVMODE=1 {sweep}",
    "threads bound": "OMP_NUM_THREADS=7 OMP_PROC_BIND=true {sweep}",
    "no threads": "OMP_NUM_THREADS=none {sweep}",
    "a proxy": "http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 {sweep}",
    "no terminal type": "env -u TERM {sweep}",
    "a dumb terminal": "TERM=dumb COLUMNS=0 {sweep}",
    "ASCII": "LC_ALL=C PYTHONUTF8=0 PYTHONIOENCODING=ascii PYTHONCOERCECLOCALE=0 {sweep}",
    "no input": "{sweep} <&-",
    "no output": "{sweep} >&-",
    "a full disk behind the output": "{sweep} >/dev/full",
    "a reader that leaves": "set -o pipefail; {sweep} | head -1",
    "no errors": "{sweep} 2>&-",
    "in the background": "{sweep} & wait $!",
    "nice, no hangup": "nohup nice {sweep} </dev/null",
    "a variable that is empty": "MLFLOW_TRACKING_URI= CIFAR_SWEEPS_OUTPUTS= CUDA_VISIBLE_DEVICES= {sweep}",
    "a folder's name in any letters": "mkdir 'é (1) #a=b' && cd 'é (1) #a=b' && {sweep}",
    "outputs by a link": "mkdir elsewhere && ln -s elsewhere outputs && {sweep}",
}
REFUSED = {
    "no folder for temporary files": ("TMPDIR=/nowhere {sweep}", None),
    "no assertions": ("PYTHONOPTIMIZE=2 {sweep}", r"unset PYTHONOPTIMIZE"),
    "a folder that no address holds": ("mkdir '50%'; cd '50%'; {sweep}", r"choose a folder without"),
    "outputs is a file": ("touch outputs; {sweep}", r"outputs"),
    "outputs cannot be written": ("CIFAR_SWEEPS_OUTPUTS=/proc/outputs {sweep}", r"/proc/outputs"),
    "the folder is gone": ("mkdir gone; cd gone; rmdir ../gone; {sweep}", r"the current folder is gone"),
    "a file limit of nothing": ("ulimit -f 0; {sweep}", r""),
}


def run(line, folder):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CIFAR_SWEEPS", "MLFLOW"))}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    long = "/".join(["a-long-name-of-a-folder" * 4] * 3)
    line = line.format(sweep=SWEEP, long=long, own_files=" ".join(OWN_FILES))
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def states(folder):
    return [
        row[0] for path in folder.rglob("mlflow.db") for row in sqlite3.connect(path).execute("SELECT status FROM runs")
    ]


def is_told_plainly(said):
    noise = r"Traceback|Warning|\bWARNING\b|site-packages|Exception ignored"
    return not re.search(noise, said)


@pytest.mark.parametrize("surroundings", LINES)
def test_a_sweep_trains_all_the_same(surroundings, tmp_path):
    done = run(LINES[surroundings], tmp_path)
    said = done.stdout + done.stderr
    assert states(tmp_path) == ["FINISHED"] * 3, said
    assert done.returncode == 0, said
    assert is_told_plainly(said), said


@pytest.mark.parametrize("surroundings", REFUSED)
def test_what_cannot_work_is_one_message(surroundings, tmp_path):
    line, message = REFUSED[surroundings]
    done = run(line, tmp_path)
    said = done.stdout + done.stderr
    assert is_told_plainly(said), said
    if message is None:
        assert done.returncode == 0, said
        return
    assert done.returncode == 1, said
    assert re.search(message, said), said
    assert len(said.strip().splitlines()) <= 3, said
