"""Where Hydra tells of a multirun: light, so that the fork server is on its way before the command imports anything."""

from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from cifar_sweeps.sweeps.command import AbortHydra
from cifar_sweeps.sweeps.engines.local import fork_server
from cifar_sweeps.system.gc_control import imports_without_gc

if TYPE_CHECKING:
    from cifar_sweeps.sweeps.parent_run import ParentRun

_LAUNCHER = "hydra_plugins.cifar_sweeps_launcher.LocalLauncher"


class SweepCallback(Callback):
    """Begins the sweep's record when Hydra begins a multirun. A single run has none."""

    def __init__(self) -> None:
        self._parent: ParentRun | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Travel empty: Hydra sends its callbacks along with each job, where the sweep's record has no business."""
        return {"_parent": None}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401
        """Begin. Raises Refused: Hydra would only warn of another exception."""
        is_ours = config.hydra.launcher.get("_target_") == _LAUNCHER
        try:
            if is_ours and not config.sweep.dry_run:
                fork_server.start(config.analysis.log_model)  # it imports torch while the lines below import mlflow
            with imports_without_gc():
                from cifar_sweeps.sweeps.parent_run import ParentRun
            self._parent = ParentRun(config, is_ours)
            self._parent.prepare()
        except Exception as fault:
            raise AbortHydra(fault) from fault

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ANN401
        """Note a failure that happened in this process: under Hydra's basic launcher."""
        if self._parent is not None:
            self._parent.job_ended(config, job_return)
