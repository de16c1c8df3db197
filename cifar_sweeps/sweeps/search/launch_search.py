"""Run a search on this machine: its space, what is proposed, and each trial as a job of a sweep."""

import json
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from cifar_sweeps.errors import CifarSweepsError, ConfigError
from cifar_sweeps.hydra_support import AbortHydra, get_callbacks
from cifar_sweeps.search.optuna_search.proposals import Proposer
from cifar_sweeps.search.trials import OBJECTIVES, objective_metrics
from cifar_sweeps.sweeps.callback import SweepCallback
from cifar_sweeps.sweeps.launch import (
    check_jobs_per_gpu,
    check_n_jobs,
    choose_parallelism,
    run_jobs,
    usable_gpus,
)
from cifar_sweeps.sweeps.plan import JobPlanner
from cifar_sweeps.sweeps.previous.differences import NewJob
from cifar_sweeps.sweeps.search.settings import SearchSettings, check_objectives, check_settings, describe_search
from cifar_sweeps.sweeps.search.space_of_overrides import SearchSpace, read_space
from cifar_sweeps.sweeps.search.trial_jobs import TrialJobs


def launch_search(
    context: HydraContext,
    master: DictConfig,
    arguments: Sequence[str],
    settings: SearchSettings,
    n_jobs: int | str,
    jobs_per_gpu: int,
    processes: BaseContext | None,
) -> None:
    """Check the space, then train proposed trials until there are ``n_trials``, those of previous launches included.

    arguments: overrides as typed. The others: see `launch.launch`. Raises AbortHydra, before any trial has started.
    """
    callback = next((each for each in get_callbacks(context) if isinstance(each, SweepCallback)), None)
    if callback is None or callback.command is None or callback.parent_run is None:
        raise RuntimeError("the launcher 'local' runs inside a multirun of cifar-train only")
    parent_run = callback.parent_run
    try:
        check_settings(settings)
        limit, per_gpu = check_n_jobs(n_jobs), check_jobs_per_gpu(jobs_per_gpu)
        loader, console = context.config_loader, Console(highlight=False)
        space = read_space(settings.params, arguments, settings.conditions, loader)
        rises = [OBJECTIVES[each] for each in settings.objectives]
        proposer = Proposer(space.space, settings.sampler, settings.seed, rises)
        planner = JobPlanner(loader, master, parent_run, console)
        samples = _check_samples(planner, space)
        configs = [sample.config for sample in samples]
        check_objectives(configs, settings)
        combinations = space.space.combinations()
        total = settings.n_trials if combinations is None else min(settings.n_trials, len(combinations))
        gpus = usable_gpus(configs)
        parallelism = choose_parallelism([configs[0]] * total, limit, gpus, per_gpu)
        for line in describe_search(space, settings, total, configs[0]):
            console.print(line, markup=False, soft_wrap=True)
        if processes is None:
            console.print(f"{total} trials, {parallelism.jobs} at once. Nothing was started.")
            raise AbortHydra(None)
        parent_run.choose_folder(samples, total)
        tags = {"jobs": str(total), "n_jobs": str(parallelism.jobs), "threads": str(parallelism.threads)}
        parent_run.objectives = objective_metrics(settings.objectives, configs[0].trainer.select)
        tags |= {"objectives": json.dumps(parent_run.objectives), "sampler": settings.sampler}
        search = TrialJobs(space, settings, total, proposer, planner, parent_run, configs[0], console)
        scheduler = search.scheduler()
        parent_run.start(tags | ({"gpus": ",".join(gpus)} if gpus else {}))
        _keep_config(master, parent_run.folder)
        search.open_study_file()
    except CifarSweepsError as error:
        raise AbortHydra(error) from error
    run_jobs(
        context,
        callback.command,
        parent_run,
        [],
        scheduler,
        search.rows,
        parallelism,
        gpus,
        processes,
        plan_job=search.plan_job,
        metric=configs[0].sweep.metric,
        total=search.left,
        pauses=configs[0].sweep.early_stopping != "none",
    )
    search.close()


def _check_samples(planner: JobPlanner, space: SearchSpace) -> list[NewJob]:
    """Compose and check trials with each value of the space. Raises ConfigError."""
    try:
        return planner.check([space.overrides(values) for values in space.space.samples()])
    except ConfigError as error:
        raise ConfigError(
            f"{message}; or search the key there alone, such as 'hydra.sweeper.conditions=[\"KEY if optimizer=sgd\"]'"
            if "unknown key" in message and " jobs: " in message
            else message
            for message in error.errors
        ) from error


def _keep_config(master: DictConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(master, folder / "multirun.yaml")
