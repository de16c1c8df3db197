"""Run a multirun on this machine: plan, engine, controller, and Hydra's JobReturns."""

from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.context import BaseContext

from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig
from rich.console import Console

from cifar_sweeps.config.grid.dimensions import dimensions, flat
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import CifarSweepsError, ConfigError, JobFailedError
from cifar_sweeps.hydra_support import (
    AbortHydra,
    completed_return,
    failed_return,
    get_callbacks,
    task_overrides,
)
from cifar_sweeps.search.scheduler import Scheduler
from cifar_sweeps.sweeps.callback import SweepCallback
from cifar_sweeps.sweeps.checks.arms import ArmOfJob, check_claims, equal_arms
from cifar_sweeps.sweeps.command import Command
from cifar_sweeps.sweeps.controller import Controller
from cifar_sweeps.sweeps.dry_run import print_plan
from cifar_sweeps.sweeps.early_stopping import describe_early_stopping, make_scheduler, sweep_settings, unmet_promotions
from cifar_sweeps.sweeps.engines.local.engine import LocalEngine
from cifar_sweeps.sweeps.engines.worker import make_payload
from cifar_sweeps.sweeps.jobs import JobResult, JobSpec
from cifar_sweeps.sweeps.parent_run import ParentRun
from cifar_sweeps.sweeps.plan import PlannedJob, plan_jobs
from cifar_sweeps.sweeps.terminal.progress import JobProgress, SweepProgress
from cifar_sweeps.system.cores import Parallelism, available_cores, plan_parallelism
from cifar_sweeps.system.gpus import visible_gpus
from cifar_sweeps.system.signals import defer_signals
from cifar_sweeps.tracking.journal_reader import read_best, read_curve
from cifar_sweeps.training.precision import resolve_device


def launch(
    context: HydraContext,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    n_jobs: int | str,
    jobs_per_gpu: int,
    processes: BaseContext | None,
) -> list[JobReturn]:
    """Check all jobs, then run each in a process of its own; return what each returned, in their order.

    master: the sweep's config. n_jobs, jobs_per_gpu: of the launcher's config. processes: how they are made; None if
    the sweep is only to be shown. Raises AbortHydra, before any job has started, with the errors of all of them, or
    with none when the sweep was shown.
    """
    callback = next((each for each in get_callbacks(context) if isinstance(each, SweepCallback)), None)
    if callback is None or callback.command is None or callback.parent_run is None:
        raise RuntimeError("the launcher 'local' runs inside a multirun of cifar-train only")
    parent_run = callback.parent_run
    try:
        limit, per_gpu = check_n_jobs(n_jobs), check_jobs_per_gpu(jobs_per_gpu)
        console = Console(highlight=False)
        jobs = plan_jobs(context.config_loader, master, job_overrides, parent_run, console)
        parent_run.requested |= {job.number: job.name for job in jobs}
        _check_arms(jobs, master, parent_run.manifest.swept)
        for line in (*describe_early_stopping(jobs), *unmet_promotions(jobs, parent_run.folder)):
            console.print(line, markup=False, soft_wrap=True)
        configs = [job.config for job in jobs]
        gpus = usable_gpus(configs)
        parallelism = choose_parallelism(configs, limit, gpus, per_gpu)
        if processes is None:
            print_plan(jobs, parallelism)
            raise AbortHydra(None)
        tags = {"jobs": str(len(jobs)), "n_jobs": str(parallelism.jobs), "threads": str(parallelism.threads)}
        scheduler = make_scheduler(jobs, parent_run.manifest.swept, parent_run.folder)
        parent_run.start(tags | ({"gpus": ",".join(gpus)} if gpus else {}))
    except CifarSweepsError as error:
        raise AbortHydra(error) from error
    rows = [progress_row(job) for job in jobs if job.needs_training]
    settings = sweep_settings(jobs)
    results = run_jobs(
        context,
        callback.command,
        parent_run,
        jobs,
        scheduler,
        rows,
        parallelism,
        gpus,
        processes,
        pauses=settings is not None and settings.early_stopping != "none",
    )
    return [_job_return(job, result) for job, result in zip(jobs, results, strict=True)]


def run_jobs(
    context: HydraContext,
    command: Command,
    parent_run: ParentRun,
    jobs: Sequence[PlannedJob],
    scheduler: Scheduler,
    rows: list[JobProgress],
    parallelism: Parallelism,
    gpus: Sequence[str],
    processes: BaseContext,
    plan_job: Callable[[int], PlannedJob | None] | None = None,
    metric: str = "val/accuracy",
    total: int | None = None,
    pauses: bool = False,
) -> list[JobResult]:
    """Run jobs on this machine until the scheduler has none; return what came of each, in their order.

    rows: what is shown of the jobs that are trained. plan_job: see `Controller`. metric: what the scheduler is told of
    where there are no jobs yet that say so. total: how many jobs there will be. pauses: whether early stopping decides
    over them.
    """
    engine = LocalEngine(processes, parallelism.jobs)
    command.on_exit(engine.remove_files)  # at a second Ctrl-C nothing else removes them
    with defer_signals(command.clean_up) as signals:
        controller = Controller(
            jobs,
            engine,
            scheduler,
            make_spec=partial(_make_spec, context, parallelism.threads),
            n_jobs=parallelism.jobs,
            gpus=gpus,
            display=SweepProgress(rows, Console(highlight=False), parallelism.jobs, total, pauses),
            record=parent_run,
            read_curve=partial(read_curve, metric=jobs[0].config.sweep.metric if jobs else metric),
            plan_job=plan_job,
        )
        return controller.run(signals, parent_run.folder)


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


def check_n_jobs(configured: int | str) -> int | None:
    """Return ``hydra.launcher.n_jobs``, None for auto. Raises ConfigError."""
    if configured == "auto":
        return None
    if isinstance(configured, int) and not isinstance(configured, bool) and configured >= 1:
        return configured
    raise ConfigError(f"hydra.launcher.n_jobs={configured}: must be auto, or at least 1")


def check_jobs_per_gpu(configured: int) -> int:
    """Return ``hydra.launcher.jobs_per_gpu``. Raises ConfigError."""
    if isinstance(configured, int) and not isinstance(configured, bool) and configured >= 1:
        return configured
    raise ConfigError(f"hydra.launcher.jobs_per_gpu={configured}: must be an integer of at least 1")


def usable_gpus(configs: Sequence[RunConfig]) -> list[str]:
    """Return the GPUs that the jobs are spread over; none unless all of them train on CUDA."""
    on_cuda = all(resolve_device(config.trainer.device).type == "cuda" for config in configs)
    return visible_gpus() if on_cuda else []


def choose_parallelism(
    configs: Sequence[RunConfig], n_jobs: int | None, gpus: Sequence[str], jobs_per_gpu: int
) -> Parallelism:
    """Return how many jobs of these configs run at once, and with how many threads each."""
    devices = {resolve_device(config.trainer.device).type for config in configs}
    threads = [config.trainer.threads for config in configs if config.trainer.threads != "auto"]
    return plan_parallelism(
        available_cores(),
        len(configs),
        device="cpu" if devices == {"cpu"} else "gpu",
        gpus=max(1, len(gpus)),
        jobs_per_gpu=jobs_per_gpu,
        n_jobs=n_jobs,
        threads=max(int(count) for count in threads) if threads else None,
    )


def _make_spec(context: HydraContext, threads: int, job: PlannedJob, gpu: str | None, until: int | None) -> JobSpec:
    payload = make_payload(context, job.node)
    return JobSpec(job.number, job.folder, job.log_file, payload, threads, job.config.sweep.timeout, gpu, until)


def _best_so_far(job: PlannedJob) -> float | None:
    """Return the best validation accuracy that a previous launch recorded; a resumed job does not report it again."""
    return None if job.previous is None else read_best(job.previous.folder, "val/accuracy")


def _job_return(job: PlannedJob, result: JobResult) -> JobReturn:
    if result.state in ("finished", "paused"):
        return completed_return(job.overrides, job.node, result.value)
    return failed_return(job.overrides, job.node, JobFailedError(result.reason))
