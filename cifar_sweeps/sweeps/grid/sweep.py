"""Make the jobs of a grid sweep and hand them out in batches.

Imports neither torch nor mlflow.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from cifar_sweeps.config.grid.dimensions import dimensions, grid_jobs
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.grid.left_out import KEY, leave_out, read_rules


def grid_batches(
    loader: ConfigLoader,
    config: DictConfig,
    params: Mapping[str, Any],
    overrides: Sequence[str],
    batch_size: int | None,
) -> Iterator[list[list[str]]]:
    """Yield the overrides of the jobs, in batches; without a size all at once.

    config: the multirun's, which is written into its folder first. params: its study's. overrides: as typed.
    Raises ConfigError, or what Hydra raises.
    """
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"hydra.sweeper.max_batch_size={batch_size}: must be at least 1, or null for all at once")
    found = dimensions(params, overrides, loader)
    # A job's overrides repeat it alone: which others were left out is none of its business.
    of_jobs = {key: each for key, each in found.items() if key.lstrip("+") != KEY}
    jobs, lines = leave_out(grid_jobs(of_jobs), read_rules(config), loader, config)
    for line in lines:
        sys.stdout.write(f"{line}\n")
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")
    size = batch_size or len(jobs)
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]
