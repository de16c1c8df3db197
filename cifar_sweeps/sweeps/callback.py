"""Start the parent run of a sweep when Hydra starts a multirun.

Light to import, so that the fork server starts before the command imports torch or MLflow.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from cifar_sweeps.config.parse import parse_config
from cifar_sweeps.config.upgrades import logged_models
from cifar_sweeps.errors import CifarSweepsError
from cifar_sweeps.hydra_support import AbortHydra, current_loader, hydra_config, task_overrides
from cifar_sweeps.sweeps.checks.empty_sweeps import check_not_empty
from cifar_sweeps.sweeps.checks.job_folders import check_own_folder
from cifar_sweeps.sweeps.checks.resolvers import resolve_task
from cifar_sweeps.sweeps.checks.zips import check_zips
from cifar_sweeps.sweeps.engines.local import fork_server
from cifar_sweeps.system.gc_control import imports_without_gc
from cifar_sweeps.tracking.store_uri import jobs_may_send

if TYPE_CHECKING:
    from cifar_sweeps.sweeps.command import Command
    from cifar_sweeps.sweeps.parent_run import ParentRun

_LOCAL = "hydra_plugins.cifar_sweeps_launcher.LocalLauncher"
_OWN_LAUNCHERS = frozenset(
    {_LOCAL, "hydra_plugins.cifar_sweeps_slurm.SlurmLauncher", "hydra_plugins.cifar_sweeps_ray.RayLauncher"}
)


class SweepCallback(Callback):
    """Prepares the sweep's parent run when Hydra starts a multirun. A single run has none.

    command: the command that runs; set before Hydra calls anything. None in a job's process, where nothing is done.
    """

    def __init__(self) -> None:
        self.command: Command | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing of the command: Hydra pickles its callbacks for each job, where the parent run has no use."""
        return {"command": None}

    @property
    def parent_run(self) -> "ParentRun | None":
        """The parent run of the sweep that runs."""
        return None if self.command is None else self.command.parent_run

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Check a single run's folder before Hydra writes there. Raises AbortHydra."""
        _say_where_places_lie(config)
        folder = Path(config.hydra.run.dir)
        try:
            with hydra_config(config):
                outputs = Path(str(config.outputs))
            check_own_folder("hydra.run.dir", folder, outputs)
            if (folder / "journal.jsonl").exists():
                from cifar_sweeps.runs.folder import check_not_finished  # imports mlflow, as the run itself will
                from cifar_sweeps.runs.identity import check_same_training

                check_not_finished(folder)
                check_same_training(folder, parse_config(resolve_task(config)))
        except CifarSweepsError as error:
            raise AbortHydra(error) from error

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Prepare the parent run. Raises AbortHydra: Hydra would only warn of another exception."""
        try:
            if self.command is None:
                raise RuntimeError("sweeps of this config run inside cifar-train only")
            hydra = config.hydra
            study = hydra.runtime.choices.get("study")
            loader, typed, params = current_loader(), task_overrides(hydra), _params(config)
            check_zips(loader, typed, params, config)
            check_not_empty(loader, typed, params, study)
            _say_where_places_lie(config)
            launcher = config.hydra.launcher.get("_target_")
            if launcher == _LOCAL and not config.sweep.dry_run:
                self.command.on_exit(fork_server.stop)
                # It imports torch while the lines below do. What jobs need at their ends delays their first epochs: the
                # export for all is imported before them nevertheless, or each of the first would import it by itself.
                with hydra_config(config):
                    sends = config.tracking.backend == "mlflow" and jobs_may_send(config.tracking.uri)
                    with_export = logged_models(config.analysis.log_model) == "all"
                fork_server.start(with_export, sends)
            with imports_without_gc():
                from cifar_sweeps.sweeps.parent_run import ParentRun
            self.command.parent_run = ParentRun(config, is_ours=launcher in _OWN_LAUNCHERS)
            self.command.parent_run.prepare()
        except Exception as error:
            raise AbortHydra(error) from error

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ANN401
        """Record a failure that happened in this process: under Hydra's basic launcher."""
        if self.parent_run is not None:
            self.parent_run.job_ended(config, job_return)


def _params(config: DictConfig) -> dict[str, Any]:
    """Return what a study sweeps, with its resolvers replaced."""
    with hydra_config(config):
        params = config.hydra.sweeper.get("params")
        plain = OmegaConf.to_container(params, resolve=True) if params is not None else {}
    return {str(key): value for key, value in plain.items()} if isinstance(plain, dict) else {}


def _say_where_places_lie(config: DictConfig) -> None:
    if config.hydra.job.chdir:
        sys.stderr.write(
            "hydra.job.chdir=true: the training stays in the folder where the command was typed, where relative "
            "places lie; Hydra's own files and the log are in the run's folder\n"
        )
