"""Set up the Ray engine: whether Ray is there, which cluster, how many jobs at once."""

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.engines.code_snapshot import take_snapshot
from cifar_sweeps.sweeps.engines.ray.cluster import ActorNeeds, RayCluster, import_ray
from cifar_sweeps.sweeps.engines.ray.engine import RayEngine
from cifar_sweeps.sweeps.engines.ray.follower import FollowerSettings
from cifar_sweeps.sweeps.engines.ray.job_record import find_records
from cifar_sweeps.sweeps.engines.ray.shared_folder import leave_token
from cifar_sweeps.sweeps.engines.setup import check_n_jobs
from cifar_sweeps.sweeps.tasks import tasks_folder
from cifar_sweeps.system.cores import Parallelism, available_cores
from cifar_sweeps.system.gpus import CUDA_VISIBLE_DEVICES, visible_gpus

_PASSED_ON = ("MLFLOW_", "CIFAR_SWEEPS_", "OMP_", "MKL_")
"""Beginnings of the names of environment variables that the jobs have as the command has them: the store, for one."""
_OF_OBJECT_STORES = ("AWS_", "GOOGLE_", "AZURE_")
"""Such beginnings, with logins, that only jobs have which deliver: to a store that keeps artifacts there."""
_OF_THE_WEB = frozenset(
    {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
"""Variables that say how the web is reached, in capitals; proxies are named in small letters, too."""


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


class RaySetup:
    """Each job in an actor of a Ray cluster; see ``conf/hydra/launcher/ray.yaml``. Raises ConfigError.

    say: prints a line.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        n_jobs: int | str = "auto",
        num_cpus: float = 1,
        num_gpus: float = 0,
        memory: float | None = None,
        resources: Mapping[str, float] | None = None,
        shared: bool | str = "auto",
        folder: str | None = None,
        say: Callable[[str], None] = _print,
    ) -> None:
        errors = []
        if not _is_number(num_cpus) or num_cpus <= 0:
            errors.append(f"hydra.launcher.num_cpus={num_cpus}: must be more than 0")
        if not _is_number(num_gpus) or num_gpus < 0:
            errors.append(f"hydra.launcher.num_gpus={num_gpus}: must be at least 0")
        if memory is not None and (not _is_number(memory) or memory < 1):
            errors.append(f"hydra.launcher.memory={memory}: must be a number of bytes, such as 4e9, or null")
        for name, amount in (resources or {}).items():
            if not _is_number(amount) or amount <= 0:
                errors.append(f"hydra.launcher.resources.{name}={amount}: must be more than 0")
        if shared not in ("auto", False):
            errors.append(f"hydra.launcher.shared={shared}: must be auto or false")
        if errors:
            raise ConfigError(errors)
        self._n_jobs = check_n_jobs(n_jobs)
        bytes_a_job = None if memory is None else math.ceil(memory)
        self._needs = ActorNeeds(num_cpus, num_gpus, bytes_a_job, dict(resources or {}))
        self._use_shared, self._folder, self._say = shared == "auto", folder, say
        self._cluster = RayCluster(address)
        self.device = "cuda" if num_gpus else "cpu"
        self.has_queue = False  # n_jobs=auto is what the nodes have room for
        self.can_be_left = not self._cluster.is_local  # a cluster that the command has started ends with it

    @property
    def found(self) -> Mapping[str, object]:
        """The cluster's address, which ``auto`` and RAY_ADDRESS leave open."""
        return {} if self._cluster.is_local else {"address": self._cluster.found_address}

    def prepare(self, with_export: bool) -> None:
        """Import Ray and join the cluster; one of this machine alone is started when the engine is opened.

        Raises ConfigError or MachineError.
        """
        import_ray()
        if not self._cluster.is_local:
            self._cluster.connect()

    def choose_parallelism(self, configs: Sequence[RunConfig], jobs: int) -> Parallelism:
        """Return how many jobs run at once: as many as the nodes have room for; and with how many threads each."""
        needs, nodes = self._needs, self._nodes()
        if needs.num_gpus == 0 and any(node.get("GPU") for node in nodes):
            self._say("hydra.launcher.num_gpus=0: the jobs train on CPUs, though the cluster has GPUs")
        room = sum(needs.fit_into(node) for node in nodes)
        if room == 0:
            self._refuse_or_wait()
        threads = max(1, int(needs.num_cpus))
        given = [int(config.trainer.threads) for config in configs if config.trainer.threads != "auto"]
        if given and max(given) > needs.num_cpus:
            self._say(
                f"trainer.threads={max(given)}: more than hydra.launcher.num_cpus={needs.num_cpus:g}, which is what "
                "Ray keeps for a job"
            )
        at_once = room if self._n_jobs is None else self._n_jobs
        return Parallelism(max(1, min(at_once, jobs)), threads)

    def gpus(self, configs: Sequence[RunConfig]) -> list[str]:
        """Return none: Ray gives each job its GPUs."""
        return []

    def open(self, sweep: Path, parallelism: Parallelism, delivers: bool) -> RayEngine:
        """Connect to the cluster, if that has not been done, and return the engine. Raises MachineError or OSError."""
        gpus = len(visible_gpus()) if self._cluster.is_local else 0
        self._cluster.connect(available_cores(), gpus)
        environment = _passed_on(os.environ, delivers)
        if self._needs.num_gpus == 0:
            environment[CUDA_VISIBLE_DEVICES] = ""
        settings = FollowerSettings(
            sweep=sweep.absolute(),
            token=leave_token(sweep.absolute()),
            needs=self._needs,
            use_shared=self._use_shared,
            base=self._folder,
            outlives_us=self.can_be_left,
            delivers=delivers,
            code=str(take_snapshot(sweep.absolute())),
            environment=environment,
        )
        return RayEngine(self._cluster, settings)

    def where(self, sweep: Path) -> Mapping[int, str]:
        """Return on which node each job's actor lives, or that it waits for one. Raises MachineError."""
        if not self.can_be_left:
            return {}
        import_ray()
        self._cluster.connect()
        try:
            living = [each for each in find_records(tasks_folder(sweep)) if self._cluster.find_actor(each.actor)]
        finally:
            self._cluster.disconnect()
        return {each.job: f"on {each.node}" if each.node else "queued until a node has room" for each in living}

    def _nodes(self) -> list[Mapping[str, float]]:
        """Return the nodes' resources; a cluster of this machine alone is not started to know them."""
        if not self._cluster.is_local:
            self._cluster.connect()
            return self._cluster.nodes()
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return [{"CPU": available_cores(), "GPU": len(visible_gpus()), "memory": float(memory)}]

    def _refuse_or_wait(self) -> None:
        needs = ", ".join(f"{name} {amount:g}" for name, amount in self._needs.by_name().items())
        if self._cluster.is_local:
            raise ConfigError(
                f"hydra.launcher: a job needs {needs}, and this machine has not as much; ask for less, or join a "
                "cluster: hydra.launcher.address=auto"
            )
        one_by_one = "" if self._n_jobs else ", and run one at a time; hydra.launcher.n_jobs=N asks for room for N"
        self._say(f"No node of the cluster has {needs} now: the jobs wait until one joins{one_by_one}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _passed_on(environment: Mapping[str, str], delivers: bool) -> dict[str, str]:
    """Return the variables that the jobs have as this process has them. Logins go to the actors alone, into no file."""
    beginnings = _PASSED_ON + (_OF_OBJECT_STORES if delivers else ())
    return {
        key: value for key, value in environment.items() if key.startswith(beginnings) or key.upper() in _OF_THE_WEB
    }
