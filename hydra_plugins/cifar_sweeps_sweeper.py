"""Hydra's sweeper `grid`: it hands the combinations of a sweep over to `cifar_sweeps.sweeps.grid`.

Hydra accepts sweepers only from this namespace, imports this module at every start and executes it anew, so it stays
light.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Tries all combinations, as Hydra's own does, with zips (`config.grid.zips`) and without what is excluded.

    params: what a study sweeps; the command line replaces its keys. max_batch_size: of jobs that a launcher of others
    is handed at once; ours takes all.
    """

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = params or {}
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        from cifar_sweeps.hydra_support import make_launcher

        self.hydra_context, self.config = hydra_context, config
        self.launcher = make_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch the jobs and return what each returned, in their order; a list a batch."""
        from cifar_sweeps.sweeps.grid.sweep import grid_batches

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        loader, returns, number = self.hydra_context.config_loader, list[Sequence[JobReturn]](), 0
        for batch in grid_batches(loader, self.config, self.params, arguments, self.max_batch_size):
            if not getattr(self.launcher, "checks_jobs", False):  # ours composes them anyway, and names every error
                self.validate_batch_is_legal(batch)
            done = self.launcher.launch(batch, initial_job_idx=number)
            _values(done)
            returns.append(done)
            number += len(batch)
        return returns


def _values(done: Sequence[JobReturn]) -> list[Any]:
    """Return the values of finished jobs; that of a failed one raises its error, as Hydra expects of a sweeper."""
    return [each.return_value for each in done]
