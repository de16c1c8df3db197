"""What a user gets from `pip install`: the wheel holds the configs and works from another folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import TINY

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's content, unpacked: as pip lays it into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def from_elsewhere(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH puts the wheel's content before the editable checkout.
    return subprocess.run(
        [sys.executable, "-m", "cifar_sweeps", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_every_config(installed):
    inside = {path.relative_to(installed / "cifar_sweeps" / "conf") for path in installed.rglob("*.yaml")}
    assert inside == {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    assert (installed / "hydra_plugins" / "cifar_sweeps_launcher.py").exists()


LEAN = ("analysis.log_model=false", "analysis.pictures=false", "trainer.epochs=1")


@pytest.mark.slow
def test_it_works_from_another_folder(installed, tmp_path, monkeypatch):
    monkeypatch.delenv("CIFAR_SWEEPS_OUTPUTS")
    shown = from_elsewhere(installed, tmp_path, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "quickstart" in shown.stdout
    trained = from_elsewhere(installed, tmp_path, "-m", "seed=0,1", *TINY, *LEAN)
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "outputs" / "mlflow.db").exists()
    assert list((tmp_path / "outputs" / "sweeps").glob("*/report/report.html"))
    sources = next((tmp_path / "outputs" / "sweeps").glob("*/0/.hydra/hydra.yaml")).read_text()
    assert str(installed / "cifar_sweeps" / "conf") in sources
