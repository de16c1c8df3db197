"""Hydra's launcher `local`: it hands a sweep over to `cifar_sweeps.sweeps.launch`.

Hydra accepts launchers only from this namespace, imports this module at every start and executes it anew, so it stays
light.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Runs each job of a sweep in a process of its own on this machine.

    n_jobs: how many train at once; ``auto``: on a CPU as many as there are cores, on CUDA ``jobs_per_gpu`` for each
    visible GPU.
    """

    def __init__(self, n_jobs: int | str = "auto", jobs_per_gpu: int = 1) -> None:
        self.n_jobs = n_jobs
        self.jobs_per_gpu = jobs_per_gpu
        self._setup: tuple[HydraContext, DictConfig] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need. The task function is cifar-train's own, and needs no keeping."""
        self._setup = (hydra_context, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what each returned, in their order."""
        from cifar_sweeps.sweeps.engines.local import fork_server
        from cifar_sweeps.system.gc_control import imports_without_gc

        assert self._setup is not None
        context, config = self._setup
        _say(f"Checking {len(job_overrides)} job{'s' if len(job_overrides) > 1 else ''} …")
        # The server has been importing since the sweep began; this returns how processes are made with it.
        processes = None if config.sweep.dry_run else fork_server.start(config.analysis.log_model)
        with imports_without_gc():
            from cifar_sweeps.sweeps.launch import launch

        return launch(context, config, job_overrides, self.n_jobs, self.jobs_per_gpu, processes)

    def search(self, arguments: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Train what is proposed, one job after another. settings: of `cifar_sweeps_optuna.OptunaSweeper`."""
        from cifar_sweeps.sweeps.engines.local import fork_server
        from cifar_sweeps.system.gc_control import imports_without_gc

        assert self._setup is not None
        context, config = self._setup
        _say("Checking the space …")
        processes = None if config.sweep.dry_run else fork_server.start(config.analysis.log_model)
        with imports_without_gc():
            from cifar_sweeps.sweeps.search.launch_search import launch_search
            from cifar_sweeps.sweeps.search.settings import SearchSettings

        of_search = SearchSettings(**{key: settings[key] for key in SearchSettings.__dataclass_fields__})
        launch_search(context, config, arguments, of_search, self.n_jobs, self.jobs_per_gpu, processes)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # the imports that follow take seconds, on a cold disk many
