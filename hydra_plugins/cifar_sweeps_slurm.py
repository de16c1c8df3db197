"""Hydra's launcher `slurm`: each job of a sweep as a task of a Slurm job array. Hydra imports it at every start."""

from hydra_plugins.cifar_sweeps_launcher import EngineLauncher


class SlurmLauncher(EngineLauncher):
    """Runs each job of a sweep in Slurm; see ``conf/hydra/launcher/slurm.yaml``."""

    engine = "slurm"
