"""Run a multirun: plan, engine, controller, and Hydra's JobReturns."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig
from rich.console import Console

from cifar_sweeps.config.grid.dimensions import dimensions, flat
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.config.upgrades import logged_models
from cifar_sweeps.errors import CifarSweepsError, ConfigError, JobFailedError
from cifar_sweeps.hydra_support import AbortHydra, completed_return, failed_return, get_callbacks, task_overrides
from cifar_sweeps.search.scheduler import Scheduler
from cifar_sweeps.sweeps.callback import SweepCallback
from cifar_sweeps.sweeps.checks.arms import ArmOfJob, check_claims, equal_arms
from cifar_sweeps.sweeps.command import Command
from cifar_sweeps.sweeps.controller import Controller
from cifar_sweeps.sweeps.dry_run import print_plan
from cifar_sweeps.sweeps.early_stopping import describe_early_stopping, make_scheduler, sweep_settings, unmet_promotions
from cifar_sweeps.sweeps.engines.local.engine import LocalEngine
from cifar_sweeps.sweeps.engines.setup import EngineSetup, join_placed, make_setup
from cifar_sweeps.sweeps.engines.worker import make_payload, pack_shared
from cifar_sweeps.sweeps.jobs import JobResult, JobSpec
from cifar_sweeps.sweeps.manifest import swept_values
from cifar_sweeps.sweeps.parent_run import ParentRun
from cifar_sweeps.sweeps.plan import PlannedJob, plan_jobs
from cifar_sweeps.sweeps.previous.launches import queued_jobs, read_previous_jobs
from cifar_sweeps.sweeps.tasks import Placement, read_placement, write_placement
from cifar_sweeps.sweeps.terminal.progress import JobProgress, SweepProgress
from cifar_sweeps.system.cores import Parallelism
from cifar_sweeps.system.signals import defer_signals
from cifar_sweeps.tracking.delivery_thread import FolderDelivery
from cifar_sweeps.tracking.journal_reader import read_best, read_curve
from cifar_sweeps.training.precision import assume_device


def launch(
    context: HydraContext,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    engine: str,
    options: Mapping[str, Any],
) -> list[JobReturn]:
    """Check all jobs, then run each in a process of its own; return what each returned, in their order.

    master: the sweep's config. engine, options: of the launcher. Raises AbortHydra, before any job has started, with
    the errors of all of them, or with none when the sweep was shown.
    """
    command, parent_run = current_sweep(context)
    try:
        setup = checked_setup(engine, join_placed(engine, options, parent_run.may_join), master)
        console = Console(highlight=False)
        jobs = plan_jobs(context.config_loader, master, job_overrides, parent_run, console)
        check_left_sweep(parent_run.folder, setup, {job.number for job in jobs})
        parent_run.requested |= {job.number: job.name for job in jobs}
        _check_arms(jobs, master, parent_run.manifest.swept)
        for line in (*describe_early_stopping(jobs), *unmet_promotions(jobs, parent_run.folder)):
            console.print(line, markup=False, soft_wrap=True)
        configs = [job.config for job in jobs]
        parallelism = setup.choose_parallelism(configs, len(jobs))
        if master.sweep.dry_run:
            print_plan(jobs, parallelism)
            raise AbortHydra(None)
        scheduler = make_scheduler(jobs, parent_run.manifest.swept, parent_run.folder)
        start_parent(parent_run, setup, options, configs, parallelism, {"jobs": str(len(jobs))})
    except CifarSweepsError as error:
        raise AbortHydra(error) from error
    settings = sweep_settings(jobs)
    results = run_jobs(
        context,
        command,
        parent_run,
        jobs,
        scheduler,
        [progress_row(job) for job in jobs if job.needs_training],
        setup,
        parallelism,
        pauses=settings is not None and settings.early_stopping != "none",
    )
    return [_job_return(job, result, parent_run.is_left) for job, result in zip(jobs, results, strict=True)]


def current_sweep(context: HydraContext) -> tuple[Command, ParentRun]:
    """Return the command that runs, and the parent run of its sweep."""
    callback = next((each for each in get_callbacks(context) if isinstance(each, SweepCallback)), None)
    if callback is None or callback.command is None or callback.parent_run is None:
        raise RuntimeError("the launchers of cifar_sweeps run inside a multirun of cifar-train only")
    return callback.command, callback.parent_run


def checked_setup(engine: str, options: Mapping[str, Any], master: DictConfig) -> EngineSetup:
    """Return the engine's setup, ready to be opened; from now on configs are resolved for its machines.

    Raises ConfigError or MachineError.
    """
    setup = make_setup(engine, options)
    if master.sweep.get("detach") and not setup.can_be_left:
        raise ConfigError(
            f"sweep.detach=true: jobs of hydra/launcher={engine} end with their command here; leave it out (in tmux or "
            "behind nohup the command itself goes on when you leave), or use hydra/launcher=slurm"
            + (", or an address of a Ray cluster" if engine == "ray" else "")
        )
    assume_device(setup.device)
    if not master.sweep.dry_run:
        setup.prepare(logged_models(master.analysis.log_model) == "all")
    return setup


def check_left_sweep(folder: Path, setup: EngineSetup, jobs: Collection[int] | None) -> None:
    """Raise ConfigError if jobs of the sweep in a folder may run elsewhere, where this launch does not watch them.

    setup: of this launch's engine. jobs: its jobs' numbers; None: a search, which goes on with all.
    """
    placement = read_placement(folder)
    if placement is None:
        return
    first = f"first cifar-sweeps attach {folder.name}, or stop it"
    address = setup.found.get("address")
    there = placement.options.get("address")
    if placement.engine != setup.name or (address and there and address != there):
        here = f"hydra/launcher={setup.name}" + (f" at {address}" if address else "")
        place = placement.engine + (f" at {there}" if there else "")
        raise ConfigError(f"{here}: sweep {folder.name} was left to run on {place}; {first}")
    previous = read_previous_jobs(folder)
    running = [job.number for job in previous if job.run.state == "RUNNING"]
    unknown = sorted({*running, *queued_jobs(folder, previous)} - {*(jobs or ())}) if jobs is not None else []
    if unknown:
        shown = ", ".join(map(str, unknown[:5])) + (" …" if len(unknown) > 5 else "")
        raise ConfigError(
            f"sweep {folder.name} was left to run on {placement.engine}, and its jobs {shown} are none of this "
            f"command's; {first}, or give their values, too"
        )


def start_parent(
    parent_run: ParentRun,
    setup: EngineSetup,
    options: Mapping[str, Any],
    configs: Sequence[RunConfig],
    parallelism: Parallelism,
    tags: Mapping[str, str],
) -> None:
    """Start the parent run, with tags of how the jobs are run. Raises TrackingError."""
    gpus = setup.gpus(configs)
    of_engine = {"n_jobs": str(parallelism.jobs), "threads": str(parallelism.threads), "engine": setup.name}
    parent_run.start({**tags, **of_engine, **({"gpus": ",".join(gpus)} if gpus else {})})
    if setup.can_be_left:
        write_placement(parent_run.folder, Placement(setup.name, {**options, **setup.found}))


def run_jobs(
    context: HydraContext,
    command: Command,
    parent_run: ParentRun,
    jobs: Sequence[PlannedJob],
    scheduler: Scheduler,
    rows: list[JobProgress],
    setup: EngineSetup,
    parallelism: Parallelism,
    plan_job: Callable[[int], PlannedJob | None] | None = None,
    metric: str = "val/accuracy",
    total: int | None = None,
    pauses: bool = False,
    configs: Sequence[RunConfig] | None = None,
) -> list[JobResult]:
    """Run jobs until the scheduler has none; return what came of each, in their order.

    rows: what is shown of the jobs that are trained. plan_job: see `Controller`. metric: what the scheduler is told of
    where there are no jobs yet that say so. total: how many jobs there will be. pauses: whether early stopping decides
    over them. configs: of jobs like those that will be; None: of the jobs.
    """
    delivers = parent_run.jobs_deliver
    engine = setup.open(parent_run.folder, parallelism, delivers)
    parent_run.warm_up()
    if isinstance(engine, LocalEngine):
        command.on_exit(engine.remove_files)  # at a second Ctrl-C nothing else removes them
    delivery = contextlib.nullcontext() if delivers else FolderDelivery(parent_run.folder)
    with defer_signals(command.clean_up) as signals, delivery:
        controller = Controller(
            jobs,
            engine,
            scheduler,
            make_spec=partial(_make_spec, pack_shared(context), parallelism.threads, parent_run.manifest.swept),
            n_jobs=parallelism.jobs,
            gpus=setup.gpus([job.config for job in jobs] if configs is None else configs),
            display=SweepProgress(rows, Console(highlight=False), parallelism.jobs, total, pauses, setup.has_queue),
            record=parent_run,
            read_curve=partial(read_curve, metric=jobs[0].config.sweep.metric if jobs else metric),
            plan_job=plan_job,
            can_be_left=setup.can_be_left,
        )
        results = controller.run(signals, parent_run.folder, parent_run.detaches)
        parent_run.is_left = controller.was_left
        return results


def progress_row(job: PlannedJob) -> JobProgress:
    """Return what is shown of a job before it begins."""
    return JobProgress(job.number, job.name, job.config.total_epochs, best=_best_so_far(job))


def _check_arms(jobs: Sequence[PlannedJob], master: DictConfig, swept: tuple[str, ...]) -> None:
    """Print what is to be known of the arms. Raises ConfigError if the study makes a claim about a missing one."""
    arms = [ArmOfJob.of(job.config, swept) for job in jobs]
    overrides = flat(dimensions({}, task_overrides(master.hydra)))
    typed = [override.get_key_element().lstrip("+~") for override in overrides]
    for line in (*check_claims(arms, typed), *equal_arms(arms)):
        Console(highlight=False).print(line, markup=False, soft_wrap=True)


def _make_spec(
    shared: bytes, threads: int, keys: tuple[str, ...], job: PlannedJob, gpu: str | None, until: int | None
) -> JobSpec:
    payload = make_payload(shared, job.node)
    timeout, swept = job.config.sweep.timeout, swept_values(list(job.overrides), keys)
    return JobSpec(job.number, job.folder, job.log_file, payload, threads, timeout, gpu, until, job.identity, swept)


def _best_so_far(job: PlannedJob) -> float | None:
    """Return the best validation accuracy that a previous launch recorded; a resumed job does not report it again."""
    return None if job.previous is None else read_best(job.previous.folder, "val/accuracy")


def _job_return(job: PlannedJob, result: JobResult, is_left: bool) -> JobReturn:
    if result.state in ("finished", "paused") or (is_left and result.state not in ("failed", "killed")):
        return completed_return(job.overrides, job.node, result.value)
    return failed_return(job.overrides, job.node, JobFailedError(result.reason))
