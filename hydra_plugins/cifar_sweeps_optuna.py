"""Hydra's sweeper `optuna`: it hands a search over to `cifar_sweeps.sweeps.search`.

Hydra accepts sweepers only from this namespace, imports this module at every start and executes it anew, so it stays
light: Optuna is imported where a search begins.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Trains what Optuna proposes. Its arguments are those of ``conf/hydra/sweeper/optuna.yaml``."""

    def __init__(
        self,
        n_trials: int = 20,
        sampler: str = "tpe",
        seed: int = 0,
        objectives: Sequence[str] | str = ("val/accuracy",),
        conditions: Sequence[str] | str = (),
        params: Mapping[str, str] | None = None,
    ) -> None:
        self.n_trials, self.sampler, self.seed = n_trials, sampler, seed
        self.objectives, self.conditions, self.params = _listed(objectives), _listed(conditions), params or {}
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        from cifar_sweeps.hydra_support import make_launcher

        self.launcher = make_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Train the trials."""
        from cifar_sweeps.errors import ConfigError
        from cifar_sweeps.hydra_support import AbortHydra

        search: Any = getattr(self.launcher, "search", None)
        if search is None:  # of another launcher, which is handed a batch and says nothing until all of it is over
            raise AbortHydra(
                ConfigError(
                    "hydra/sweeper=optuna: works with hydra/launcher=local, slurm or ray alone; leave yours out"
                )
            )
        search(arguments, vars(self))


def _listed(values: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return what was typed as a list; a text alone is a list of one."""
    if values is None:
        return ()
    return (values,) if isinstance(values, str) or not isinstance(values, Sequence) else tuple(values)
