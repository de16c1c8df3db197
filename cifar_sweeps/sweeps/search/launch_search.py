"""Run a search: its space, what is proposed, and each trial as a job of a sweep."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from cifar_sweeps.errors import CifarSweepsError, ConfigError
from cifar_sweeps.hydra_support import AbortHydra
from cifar_sweeps.search.optuna_search.proposals import Proposer
from cifar_sweeps.search.trials import OBJECTIVES, objective_metrics
from cifar_sweeps.sweeps.dry_run import disk_bytes, plan_line
from cifar_sweeps.sweeps.engines.setup import join_placed
from cifar_sweeps.sweeps.launch import check_left_sweep, checked_setup, current_sweep, run_jobs, start_parent
from cifar_sweeps.sweeps.plan import JobPlanner
from cifar_sweeps.sweeps.previous.differences import NewJob
from cifar_sweeps.sweeps.previous.launches import read_previous_jobs
from cifar_sweeps.sweeps.search.settings import SearchSettings, check_objectives, check_settings, describe_search
from cifar_sweeps.sweeps.search.space_of_overrides import SearchSpace, explain_errors, read_space
from cifar_sweeps.sweeps.search.trial_jobs import TrialJobs


def launch_search(
    context: HydraContext,
    master: DictConfig,
    arguments: Sequence[str],
    settings: SearchSettings,
    engine: str,
    options: Mapping[str, Any],
) -> None:
    """Check the space, then train proposed trials until there are ``n_trials``, those of previous launches included.

    arguments: overrides as typed. The others: see `launch.launch`. Raises AbortHydra, before any trial has started.
    """
    command, parent_run = current_sweep(context)
    try:
        check_settings(settings)
        setup = checked_setup(engine, join_placed(engine, options, parent_run.may_join), master)
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
        planner.total = total
        at_once = options.get("n_jobs", "auto")
        if setup.has_queue and at_once == "auto":
            raise ConfigError(
                "hydra.launcher.n_jobs=auto: a queue takes any number of trials at once, and a search learns from "
                "those that have ended; say how many it may have there at a time, such as hydra.launcher.n_jobs=4"
            )
        # A queue takes all that is proposed, and what is proposed before a trial has ended has learned nothing from it.
        parallelism = setup.choose_parallelism(configs, min(total, at_once) if setup.has_queue else total)
        for line in describe_search(space, settings, total, configs[0]):
            console.print(line, markup=False, soft_wrap=True)
        if master.sweep.dry_run:
            parent_run.choose_folder(samples, total)
            left = total - sum(
                job.is_finished or master.sweep.rerun != "failed" for job in read_previous_jobs(parent_run.folder)
            )
            size = fmean(disk_bytes(config, planner.summary(config), total) for config in configs)
            console.print(plan_line("trial", max(0, left), parallelism, left * size), markup=False, soft_wrap=True)
            raise AbortHydra(None)
        parent_run.choose_folder(samples, total)
        check_left_sweep(parent_run.folder, setup, None)
        parent_run.objectives = objective_metrics(settings.objectives, configs[0].trainer.select)
        tags = {"jobs": str(total), "objectives": json.dumps(parent_run.objectives), "sampler": settings.sampler}
        search = TrialJobs(space, settings, total, proposer, planner, parent_run, configs[0], console)
        scheduler = search.scheduler()
        start_parent(parent_run, setup, options, configs, parallelism, tags)
        _keep_config(master, parent_run.folder)
        search.open_study_file()
    except CifarSweepsError as error:
        raise AbortHydra(error) from error
    run_jobs(
        context,
        command,
        parent_run,
        [],
        scheduler,
        search.rows,
        setup,
        parallelism,
        plan_job=search.plan_job,
        metric=configs[0].sweep.metric,
        total=search.left,
        pauses=configs[0].sweep.early_stopping != "none",
        configs=configs,
    )
    search.close()


def _check_samples(planner: JobPlanner, space: SearchSpace) -> list[NewJob]:
    """Compose and check trials with each value of the space. Raises ConfigError."""
    try:
        return planner.check([space.overrides(values) for values in space.space.samples()])
    except ConfigError as error:
        raise ConfigError(explain_errors(error.errors, space)) from error


def _keep_config(master: DictConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(master, folder / "multirun.yaml")
