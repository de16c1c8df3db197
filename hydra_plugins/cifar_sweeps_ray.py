"""Hydra's launcher `ray`. As light as `cifar_sweeps_launcher`, and for the same reason."""

from hydra_plugins.cifar_sweeps_launcher import EngineLauncher


class RayLauncher(EngineLauncher):
    """Runs each job of a sweep in an actor of a Ray cluster; see ``conf/hydra/launcher/ray.yaml``."""

    engine = "ray"
