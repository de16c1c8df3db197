"""Read the config of each arm of a study from the artifacts of its runs."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.system.files import is_inside, safe_load_yaml
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.recorded_run import locate_folder


def arm_configs(
    client: "mlflow_api.MlflowClient", runs: Sequence[StudyRun], outputs: Path
) -> dict[str, dict[str, Any]]:
    """Return one config per arm, of its newest run that has one; arms without a readable config are left out.

    outputs: the folder of all runs; a run folder recorded outside it is not read.
    """
    configs: dict[str, dict[str, Any]] = {}
    for run in sorted(runs, key=lambda run: (run.finished, run.started), reverse=True):
        if run.arm not in configs:
            config = _read_from_folder(run, outputs) or _read_from_store(client, run.run_id)
            if config is not None:
                configs[run.arm] = config
    return {arm: configs[arm] for arm in dict.fromkeys(run.arm for run in runs) if arm in configs}


def _read_from_folder(run: StudyRun, outputs: Path) -> dict[str, Any] | None:
    # The run's folder has the same file, if it is on this machine; the store takes far longer.
    folder = locate_folder(run.tag("folder"), outputs)
    path = Path(folder or "", "config.yaml")
    return _read(path) if folder and is_inside(path, outputs) else None


def _read_from_store(client: "mlflow_api.MlflowClient", run_id: str) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _read(Path(client.download_artifacts(run_id, "config.yaml", folder)))
        except (mlflow_api.MlflowException, OSError):  # no such artifact, or it is on another machine
            return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        config = safe_load_yaml(path)
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None
