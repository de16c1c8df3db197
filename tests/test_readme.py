"""README's blocks of an own network, own images and the trained model run as they are pasted, one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(sys.executable).parent / "cifar-train").exists(), reason="the commands are not installed here"
)
def test_the_blocks_can_be_pasted_whole(tmp_path):
    (network, images), (model,) = blocks("bash"), blocks("python")
    script = f"{network}\n{images}\npython - <<'LAST'\n{model}LAST\n"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    unset = {"CIFAR_SWEEPS_OUTPUTS", "PYTHONPATH"}  # a new user has neither
    environment = {key: value for key, value in os.environ.items() if key not in unset} | {
        "PATH": path,
        "COLUMNS": "80",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.width=16" in done.stdout or "width=16" in done.stdout
    assert re.search(r"2 +0?1?\.\d{4} ± ", done.stdout), done.stdout  # the mean over two seeds
    assert re.search(r"\{'green': .*'red': ", done.stdout.splitlines()[-1])
    assert "Traceback" not in done.stderr
    stray = {each.name for each in (tmp_path / "mywork").iterdir()} - {"__pycache__"}
    assert stray == {"mynets.py", "conf", "photos", "outputs"}
