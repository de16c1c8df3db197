"""Hydra's launcher `ray`. As light as `cifar_sweeps_launcher`, and for the same reason."""

from typing import Any

from hydra_plugins.cifar_sweeps_launcher import EngineLauncher


class RayLauncher(EngineLauncher):
    """Runs each job of a sweep in an actor of a Ray cluster; see ``conf/hydra/launcher/ray.yaml``."""

    engine = "ray"

    def __init__(
        self,
        address: str | None = None,
        n_jobs: int | str = "auto",
        num_cpus: float = 1,
        num_gpus: float = 0,
        memory: float | None = None,
        resources: Any = None,  # noqa: ANN401 (a mapping, which Hydra hands over as a node of the config)
        shared: bool | str = "auto",
        folder: str | None = None,
    ) -> None:
        super().__init__(
            address=address,
            n_jobs=n_jobs,
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            memory=memory,
            resources=resources,
            shared=shared,
            folder=folder,
        )
