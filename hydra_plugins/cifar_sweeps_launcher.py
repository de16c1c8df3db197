"""The name under which Hydra finds the launcher `local`.

Hydra accepts launchers only from this namespace, imports this module at every start and executes it anew, so it stays
light; the work is in `cifar_sweeps.sweeps.launch`.
"""

import sys
from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LocalLauncher(Launcher):
    """Runs each job of a sweep in a process of its own on this machine.

    n_jobs: how many at once; ``auto`` is as many as the cores allow.
    """

    def __init__(self, n_jobs: int | str = "auto") -> None:
        self.n_jobs = n_jobs
        self._setup: tuple[HydraContext, TaskFunction, DictConfig] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what the jobs will need."""
        self._setup = (hydra_context, task_function, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what each returned, in their order."""
        from cifar_sweeps.sweeps.engines.local import fork_server
        from cifar_sweeps.system.gc_control import imports_without_gc

        assert self._setup is not None
        context, task_function, config = self._setup
        sys.stdout.write(f"Checking {len(job_overrides)} job{'s' if len(job_overrides) > 1 else ''} …\n")
        sys.stdout.flush()  # the imports below take seconds, on a cold disk many
        # The server is on its way since the sweep began: this gives the way to it.
        processes = None if config.sweep.dry_run else fork_server.start(config.analysis.log_model)
        with imports_without_gc():
            from cifar_sweeps.sweeps.launch import launch

        return launch(context, task_function, config, job_overrides, self.n_jobs, processes)
