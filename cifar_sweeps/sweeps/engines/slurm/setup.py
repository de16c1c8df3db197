"""Set up the Slurm engine for a sweep: settings, checks before anything is planned, and how many jobs run at once."""

import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError, MachineError
from cifar_sweeps.sweeps.engines.slurm import adoption, commands
from cifar_sweeps.sweeps.engines.slurm.commands import NotAnsweredError, PolicyError, SlurmError
from cifar_sweeps.sweeps.engines.slurm.engine import SlurmEngine
from cifar_sweeps.sweeps.engines.slurm.script import overruling_variables, write_script
from cifar_sweeps.sweeps.engines.slurm.settings import check_settings
from cifar_sweeps.system.cores import Parallelism


class SlurmSetup:
    """What the launch needs of the Slurm engine; the options are those of `conf/hydra/launcher/slurm.yaml`.

    Raises ConfigError for options that are wrong.
    """

    name = "slurm"
    can_be_left = True
    has_queue = True
    found: Mapping[str, object] = {}

    def __init__(self, **options: object) -> None:
        self.settings = check_settings(**options)
        self.device = "cpu" if self.settings.gpus is None else "cuda"

    def prepare(self, with_export: bool) -> None:
        """Ask Slurm whether it would take such a job.

        Raises ConfigError or MachineError where Slurm is missing, does not answer, or would not.
        """
        settings = self.settings
        commands.check_installed()
        with tempfile.TemporaryDirectory(prefix="cifar-sweeps-") as folder:
            script = write_script(Path(folder) / "test.sh", settings)
            try:
                commands.check_submission(script, overruling_variables(settings))
            except NotAnsweredError as error:
                raise MachineError(f"hydra/launcher=slurm: Slurm does not answer ({error}); try again later") from error
            except PolicyError:  # a limit that is reached now may not be when the jobs are submitted
                return
            except SlurmError as error:
                if "configuration source" in str(error):
                    raise MachineError(
                        f"hydra/launcher=slurm: {error}; this machine knows of no cluster, unless SLURM_CONF names its "
                        "slurm.conf"
                    ) from error
                raise ConfigError(
                    f"hydra/launcher=slurm: Slurm would take no such job ({error}); change hydra.launcher.partition, "
                    "account, time, memory, cpus, gpus or extra"
                ) from error

    def choose_parallelism(self, configs: Sequence[RunConfig], jobs: int) -> Parallelism:
        """Return how many jobs are in Slurm's hands at once, and the threads of each: all, for it has the queue.

        Under early stopping no more than n_jobs: which job is promoted is decided by those that have come to a rung.
        Raises ConfigError if a job wants more threads than it has CPUs: they would only take turns.
        """
        cpus = self.settings.cpus
        wanted = max((int(config.trainer.threads) for config in configs if config.trainer.threads != "auto"), default=1)
        if wanted > cpus:
            raise ConfigError(
                f"trainer.threads={wanted}: a job has hydra.launcher.cpus={cpus} in Slurm; set both to the same, or "
                "trainer.threads=auto"
            )
        limit = self.settings.n_jobs
        if limit is not None and any(config.sweep.early_stopping != "none" for config in configs):
            jobs = min(jobs, limit)
        return Parallelism(max(1, jobs), cpus)

    def gpus(self, configs: Sequence[RunConfig]) -> list[str]:
        """Return none: Slurm gives each job its own."""
        return []

    def open(self, sweep: Path, parallelism: Parallelism, delivers: bool) -> SlurmEngine:
        """Return the engine for a sweep's folder. Raises MachineError where Slurm is missing, as `stop` may find it."""
        commands.check_installed()
        console = Console(highlight=False)
        say = functools.partial(console.print, markup=False, soft_wrap=True)
        return SlurmEngine(sweep.absolute(), self.settings, say, delivers)  # jobs start in other folders

    def where(self, sweep: Path) -> Mapping[int, str]:
        """Return where the jobs wait or run. Raises MachineError if Slurm does not answer."""
        try:
            return adoption.places(sweep.absolute())
        except NotAnsweredError as error:
            raise MachineError(str(error)) from error
