"""The local engine's setup: how many jobs share this machine's cores and GPUs."""

from collections.abc import Mapping, Sequence
from multiprocessing.context import BaseContext
from pathlib import Path

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.sweeps.engines.local import fork_server
from cifar_sweeps.sweeps.engines.local.engine import LocalEngine
from cifar_sweeps.sweeps.engines.setup import check_count, check_n_jobs
from cifar_sweeps.system.cores import Parallelism, available_cores, plan_parallelism
from cifar_sweeps.system.gpus import visible_gpus
from cifar_sweeps.training.precision import resolve_device


class LocalSetup:
    """Each job in a process of its own on this machine.

    n_jobs: how many train at once; ``auto``: one a core, or on CUDA jobs_per_gpu for each visible GPU.
    """

    name = "local"
    device = None
    can_be_left = False
    has_queue = False
    found: Mapping[str, object] = {}

    def __init__(self, n_jobs: int | str = "auto", jobs_per_gpu: int = 1) -> None:
        self._n_jobs = check_n_jobs(n_jobs)
        self._jobs_per_gpu = check_count("hydra.launcher.jobs_per_gpu", jobs_per_gpu)
        self._processes: BaseContext | None = None

    def prepare(self, with_export: bool) -> None:
        """Start the fork server, unless it has been importing since the sweep began. Raises MachineError."""
        self._processes = fork_server.start(with_export)

    def choose_parallelism(self, configs: Sequence[RunConfig], jobs: int) -> Parallelism:
        """Return how many jobs of these configs run at once, and with how many threads each."""
        devices = {resolve_device(config.trainer.device).type for config in configs}
        threads = [config.trainer.threads for config in configs if config.trainer.threads != "auto"]
        return plan_parallelism(
            available_cores(),
            jobs,
            device="cpu" if devices == {"cpu"} else "gpu",
            gpus=max(1, len(self.gpus(configs))),
            jobs_per_gpu=self._jobs_per_gpu,
            n_jobs=self._n_jobs,
            threads=max(int(count) for count in threads) if threads else None,
        )

    def gpus(self, configs: Sequence[RunConfig]) -> list[str]:
        """Return the GPUs that the jobs are spread over; none unless all of them train on CUDA."""
        on_cuda = all(resolve_device(config.trainer.device).type == "cuda" for config in configs)
        return visible_gpus() if on_cuda else []

    def open(self, sweep: Path, parallelism: Parallelism, delivers: bool) -> LocalEngine:
        """Return the engine."""
        assert self._processes is not None, "prepare it first"
        return LocalEngine(self._processes, parallelism.jobs, delivers)

    def where(self, sweep: Path) -> Mapping[int, str]:
        """Return nothing: the jobs' journals say all."""
        return {}
