"""From a launcher's config to an engine: what the launch asks before the engine is there."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.engines.base import Engine
from cifar_sweeps.sweeps.tasks import read_placement
from cifar_sweeps.system.cores import Parallelism

_SETUPS = {
    "local": "cifar_sweeps.sweeps.engines.local.setup.LocalSetup",
    "slurm": "cifar_sweeps.sweeps.engines.slurm.setup.SlurmSetup",
    "ray": "cifar_sweeps.sweeps.engines.ray.setup.RaySetup",
}


class EngineSetup(Protocol):
    """A launcher's config, checked, and how it becomes an engine.

    name: the launcher's. device: what the jobs' machines have, ``cpu`` or ``cuda``; None: they run on this one.
    can_be_left: whether jobs run on when the command ends. has_queue: whether a job that was started may wait in a
    scheduler's queue, in which there is room for any number.
    """

    name: str
    device: str | None
    can_be_left: bool
    has_queue: bool

    @property
    def found(self) -> Mapping[str, Any]:
        """Options that were left open, as they were found to be, once prepared: another shell needs them to join."""

    def prepare(self, with_export: bool) -> None:
        """Begin what takes long, before the jobs are planned. with_export: whether they will export their models.

        Raises ConfigError or MachineError if the engine cannot be used here. Not called for a sweep that is shown only.
        """

    def choose_parallelism(self, configs: Sequence[RunConfig], jobs: int) -> Parallelism:
        """Return how many jobs train at once, and with how many threads each. configs: of jobs that are known already.

        jobs: how many there will be. Raises ConfigError for a config of the launcher that is wrong.
        """

    def gpus(self, configs: Sequence[RunConfig]) -> list[str]:
        """Return the GPUs that the controller hands out to jobs; none where the engine does so, or on a CPU."""

    def open(self, sweep: Path, parallelism: Parallelism, delivers: bool) -> Engine:
        """Return the engine. sweep: the sweep's folder. delivers: whether jobs send to the store what they record."""

    def where(self, sweep: Path) -> Mapping[int, str]:
        """Return what the engine says of the jobs that it knows of, for `status`: ``queued``, ``on node7`` …

        Of those that have ended it may say how: `base.ENDED` and its word.
        """


def join_placed(name: str, options: Mapping[str, Any], sweeps: Iterable[Path]) -> Mapping[str, Any]:
    """Return a launcher's options with the cluster on which jobs of a sweep may still run, unless they name another.

    Else a shell without RAY_ADDRESS would train them again elsewhere. sweeps: the folders of those to be joined.
    """
    if options.get("address") not in (None, "auto"):
        return options
    for placement in map(read_placement, sweeps):
        if placement is not None and placement.engine == name and placement.options.get("address") is not None:
            return {**options, "address": placement.options["address"]}
    return options


def make_setup(name: str, options: Mapping[str, Any]) -> EngineSetup:
    """Return the setup of a launcher of ours from its options. Raises ConfigError for what is not known."""
    try:
        module, _, kind = _SETUPS[name].rpartition(".")
    except KeyError:
        raise ConfigError(f"{name}: is no engine of this version; there are {', '.join(_SETUPS)}") from None
    try:
        setup: EngineSetup = getattr(importlib.import_module(module), kind)(**options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        key = str(error).rpartition("argument ")[2].strip("'")
        raise ConfigError(f"hydra.launcher.{key}: hydra/launcher={name} has no such key; leave it out") from None
    return setup


def check_count(key: str, configured: object) -> int:
    """Return a number of the launcher's config that must be a whole one of at least 1. Raises ConfigError."""
    if isinstance(configured, int) and not isinstance(configured, bool) and configured >= 1:
        return configured
    raise ConfigError(f"{key}={configured}: must be an integer of at least 1")


def check_n_jobs(configured: int | str) -> int | None:
    """Return ``hydra.launcher.n_jobs``, None for auto. Raises ConfigError."""
    if configured == "auto":
        return None
    if isinstance(configured, int) and not isinstance(configured, bool) and configured >= 1:
        return configured
    raise ConfigError(f"hydra.launcher.n_jobs={configured}: must be auto, or at least 1")
