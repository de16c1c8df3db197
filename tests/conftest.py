import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: tests share the machine
for _name in ("CIFAR_SWEEPS_MAKE", "HYDRA_FULL_ERROR", "MLFLOW_TRACKING_URI"):
    os.environ.pop(_name, None)  # what the developer has set is none of the tests' business

TINY = (
    "data.source.train_images=200",
    "data.source.test_images=60",
    "trainer.epochs=2",
    "trainer.precision=fp32",
    "trainer.threads=1",
    "model.blocks=[{filters: [8]}, {filters: [8]}]",
    "model.dense=[16]",
)
"""A run of a second: few images, a small network."""


@pytest.fixture(autouse=True)
def _own_outputs(tmp_path_factory, monkeypatch):
    """No test writes into the checkout, or meets another's store."""
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))


@pytest.fixture
def outputs():
    return Path(os.environ["CIFAR_SWEEPS_OUTPUTS"])


def cifar_train(*overrides: str, timeout: float = 900, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "cifar_sweeps", *overrides],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "120", **environment},
        check=False,
    )
