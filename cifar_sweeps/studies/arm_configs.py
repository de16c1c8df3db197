"""The whole configs of a study's arms, from the artifacts of their runs."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.system.files import is_inside, safe_load_yaml


def arm_configs(client: MlflowClient, runs: Sequence[StudyRun], outputs: Path) -> dict[str, dict[str, Any]]:
    """Return one config an arm, of its newest run that has one; an arm whose artifacts cannot be had is left out.

    outputs: where runs keep their folders; a record that names another place is not followed there.
    """
    found: dict[str, dict[str, Any]] = {}
    for run in sorted(runs, key=lambda run: (run.finished, run.started), reverse=True):
        if run.arm not in found:
            config = _beside(run, outputs) or _recorded(client, run.run_id)
            if config is not None:
                found[run.arm] = config
    return {arm: found[arm] for arm in dict.fromkeys(run.arm for run in runs) if arm in found}


def _beside(run: StudyRun, outputs: Path) -> dict[str, Any] | None:
    # The run's own folder has the same file, if it still lies on this machine; asking the store takes far longer.
    folder = run.tag("folder")
    path = Path(folder or "", "config.yaml")
    return _read(path) if folder and is_inside(path, outputs) else None


def _recorded(client: MlflowClient, run_id: str) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _read(Path(client.download_artifacts(run_id, "config.yaml", folder)))
        except (MlflowException, OSError):  # died early, or recorded on another machine
            return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        plain = safe_load_yaml(path)
    except (OSError, ValueError):
        return None
    return plain if isinstance(plain, dict) else None
