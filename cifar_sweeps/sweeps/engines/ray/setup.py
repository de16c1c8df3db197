"""Set up the Ray engine: whether Ray is there, which cluster, how many jobs at once."""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.engines.ray.cluster import ActorNeeds, RayCluster, import_ray
from cifar_sweeps.sweeps.engines.ray.engine import RayEngine
from cifar_sweeps.sweeps.engines.ray.follower import FollowerSettings
from cifar_sweeps.sweeps.engines.ray.shared_folder import leave_token
from cifar_sweeps.system.cores import Parallelism, available_cores
from cifar_sweeps.system.gpus import visible_gpus

_PASSED_ON = ("MLFLOW_", "CIFAR_SWEEPS_", "OMP_", "MKL_")
"""Beginnings of the names of environment variables that the jobs have as the command has them: the store, for one."""


@dataclass(frozen=True)
class RayOptions:
    """The launcher's config, ``hydra.launcher``; see conf/hydra/launcher/ray.yaml."""

    address: str | None = None
    n_jobs: int | str = "auto"
    num_cpus: float = 1
    num_gpus: float = 0
    memory: float | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    shared: bool | str = "auto"
    folder: str | None = None

    def check(self) -> None:
        """Raise ConfigError with all that is wrong."""
        errors = []
        if self.n_jobs != "auto" and not _is_count(self.n_jobs):
            errors.append(f"hydra.launcher.n_jobs={self.n_jobs}: must be auto, or at least 1")
        if not _is_number(self.num_cpus) or self.num_cpus <= 0:
            errors.append(f"hydra.launcher.num_cpus={self.num_cpus}: must be more than 0")
        if not _is_number(self.num_gpus) or self.num_gpus < 0:
            errors.append(f"hydra.launcher.num_gpus={self.num_gpus}: must be at least 0")
        if self.memory is not None and (not _is_number(self.memory) or self.memory < 1):
            errors.append(f"hydra.launcher.memory={self.memory}: must be a number of bytes, such as 4e9, or null")
        for name, amount in self.resources.items():
            if not _is_number(amount) or amount <= 0:
                errors.append(f"hydra.launcher.resources.{name}={amount}: must be more than 0")
        if self.shared not in ("auto", False):
            errors.append(f"hydra.launcher.shared={self.shared}: must be auto or false")
        if errors:
            raise ConfigError(errors)

    @property
    def needs(self) -> ActorNeeds:
        """What each job takes of a node."""
        memory = None if self.memory is None else math.ceil(self.memory)
        return ActorNeeds(self.num_cpus, self.num_gpus, memory, dict(self.resources))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


class RaySetup:
    """Sets up the engine of a sweep. is_detached: whether its jobs go on without this process (``sweep.detach``).

    say: prints a line.
    """

    name = "ray"

    def __init__(self, options: RayOptions, is_detached: bool = False, say: Callable[[str], None] = _print) -> None:
        self._options, self._is_detached, self._say = options, is_detached, say
        self._cluster = RayCluster(options.address)

    @property
    def can_be_left(self) -> bool:
        """Whether the jobs can go on without this process: not on a cluster that ends with it."""
        return not self._cluster.is_local

    def check(self) -> None:
        """Raise ConfigError or MachineError if the options are wrong, Ray is missing, or the cluster is not there."""
        self._options.check()
        import_ray()
        if not self._cluster.is_local:
            self._cluster.connect()

    def choose_parallelism(self, configs: Sequence[RunConfig], jobs: int) -> Parallelism:
        """Return how many jobs run at once: as many as the nodes have room for; and with how many threads each."""
        options, nodes = self._options, self._nodes()
        if options.num_gpus == 0 and any(str(config.trainer.device).startswith("cuda") for config in configs):
            raise ConfigError("trainer.device=cuda: jobs have no GPU; set hydra.launcher.num_gpus=1, or a part of one")
        if options.num_gpus == 0 and any(node.get("GPU") for node in nodes):
            self._say("hydra.launcher.num_gpus=0: the jobs train on CPUs, though the cluster has GPUs")
        room = sum(options.needs.fit_into(node) for node in nodes)
        if room == 0:
            self._refuse_or_wait()
        threads = max(1, int(options.num_cpus))
        given = [int(config.trainer.threads) for config in configs if config.trainer.threads != "auto"]
        if given and max(given) > options.num_cpus:
            self._say(
                f"trainer.threads={max(given)}: more than hydra.launcher.num_cpus={options.num_cpus:g}, which is what "
                "Ray keeps for a job"
            )
        at_once = room if options.n_jobs == "auto" else int(options.n_jobs)
        return Parallelism(max(1, min(at_once, jobs)), threads)

    def gpus(self, configs: Sequence[RunConfig]) -> list[str]:
        """Return none: Ray gives each job its GPUs."""
        return []

    def open(self, sweep: Path, parallelism: Parallelism) -> RayEngine:
        """Connect to the cluster, if that has not been done, and return the engine. sweep: its folder."""
        gpus = len(visible_gpus()) if self._cluster.is_local else 0
        self._cluster.connect(available_cores(), gpus)
        options = self._options
        environment = {key: value for key, value in os.environ.items() if key.startswith(_PASSED_ON)}
        if options.num_gpus == 0:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        settings = FollowerSettings(
            sweep.absolute(),
            leave_token(sweep.absolute()),
            options.needs,
            options.shared == "auto",
            options.folder,
            self._is_detached,
            environment,
        )
        return RayEngine(self._cluster, settings)

    def _nodes(self) -> list[Mapping[str, float]]:
        """Return the nodes' resources; a cluster of this machine alone is not started to know them."""
        if not self._cluster.is_local:
            self._cluster.connect()
            return self._cluster.nodes()
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return [{"CPU": available_cores(), "GPU": len(visible_gpus()), "memory": float(memory)}]

    def _refuse_or_wait(self) -> None:
        needs = ", ".join(f"{name} {amount:g}" for name, amount in self._options.needs.by_name().items())
        if self._cluster.is_local:
            raise ConfigError(
                f"hydra.launcher: a job needs {needs}, and this machine has not as much; ask for less, or join a "
                "cluster: hydra.launcher.address=auto"
            )
        self._say(f"No node of the cluster has {needs} now: the jobs wait until one joins")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
