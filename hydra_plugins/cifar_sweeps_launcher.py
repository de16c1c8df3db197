"""Hydra's launcher `local`, and what it shares with `slurm` and `ray`: they hand a sweep to `cifar_sweeps.sweeps`.

Hydra accepts launchers only from this namespace, imports this module at every start and executes it anew, so it stays
light.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class EngineLauncher(Launcher):
    """Runs the jobs of a sweep on an engine. engine: its name; options: see its setup in `cifar_sweeps.sweeps.engines`.

    Abstract to Hydra, which has no config of it. checks_jobs: it composes and checks all jobs before it starts one.
    """

    engine: str
    checks_jobs = True

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 (whatever the launcher's config holds)
        self.options = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in options.items()
        }
        self._setup: tuple[HydraContext, DictConfig] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need. The task function is cifar-train's own, and needs no keeping."""
        self._setup = (hydra_context, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what each returned, in their order."""
        from cifar_sweeps.system.gc_control import imports_without_gc

        assert self._setup is not None
        context, config = self._setup
        _say(f"Checking {len(job_overrides)} job{'s' if len(job_overrides) > 1 else ''} …")
        with imports_without_gc():
            from cifar_sweeps.sweeps.launch import launch

        return launch(context, config, job_overrides, self.engine, self.options)

    def search(self, arguments: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Train what is proposed, one job after another. settings: of `cifar_sweeps_optuna.OptunaSweeper`."""
        from cifar_sweeps.system.gc_control import imports_without_gc

        assert self._setup is not None
        context, config = self._setup
        _say("Checking the space …")
        with imports_without_gc():
            from cifar_sweeps.sweeps.search.launch_search import launch_search
            from cifar_sweeps.sweeps.search.settings import SearchSettings

        of_search = SearchSettings(**{key: settings[key] for key in SearchSettings.__dataclass_fields__})
        launch_search(context, config, arguments, of_search, self.engine, self.options)


class LocalLauncher(EngineLauncher):
    """Runs each job of a sweep in a process of its own on this machine; see ``conf/hydra/launcher/local.yaml``."""

    engine = "local"

    def __init__(self, n_jobs: int | str = "auto", jobs_per_gpu: int = 1) -> None:
        super().__init__(n_jobs=n_jobs, jobs_per_gpu=jobs_per_gpu)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # the imports that follow take seconds, on a cold disk many
