"""Print what a sweep would run, without running it: ``sweep.dry_run=true``."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.models.summary import Summary
from cifar_sweeps.sweeps.plan import PlannedJob
from cifar_sweeps.system.cores import Parallelism

# A checkpoint holds the weights and, while Adam-like optimizers run, two more numbers for each.
_BYTES_A_WEIGHT = 4
_LAST_COPIES, _BEST_COPIES = 3, 1
_PICTURES_BYTES = 650_000
_REPORT_BYTES = 450_000  # of 10,000 test images in ten classes


def print_plan(jobs: Sequence[PlannedJob], parallelism: Parallelism) -> None:
    """Print the jobs with their swept values, parameters, multiply-adds and an estimate of the disk that they take."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("job", justify="right")
    table.add_column("values", overflow="fold")
    for title in ("epochs", "parameters", "multiply-adds", "disk"):
        table.add_column(title, justify="right")
    for job in jobs:
        numbers = [job.config.trainer.epochs, job.summary.parameters, job.summary.multiply_adds]
        name = job.name if job.needs_training else f"{job.name} (left by a previous launch, is not trained again)"
        size = _megabytes(disk_bytes(job.config, job.summary))
        table.add_row(str(job.number), Text(name), *[f"{n:,}" for n in numbers], size)
    console = Console(highlight=False)
    console.print(table)
    to_run = [job for job in jobs if job.needs_training]
    total = sum(disk_bytes(job.config, job.summary) for job in to_run)
    of_best = [served_bytes(job.config, job.summary) for job in to_run if job.config.analysis.log_model == "best"]
    total += max(of_best, default=0)
    console.print(plan_line("job", len(to_run), parallelism, total))


def plan_line(noun: str, count: int, parallelism: Parallelism, size: float) -> str:
    """Return the last line on a sweep that is only shown: how many jobs would be trained, and how. size: in bytes."""
    threads = f"{parallelism.threads} thread{'' if parallelism.threads == 1 else 's'}"
    at_once = f", {min(count, parallelism.jobs)} at once with {threads} each" if count > 1 else f" with {threads}"
    jobs = f"{count} {noun}{'' if count == 1 else 's'}"
    how = f"{at_once}, about {_megabytes(size)} of disk" if count else " to be trained"
    return f"{jobs}{how}. Nothing was started."


def disk_bytes(config: RunConfig, summary: Summary) -> int:
    """Estimate what a job leaves: checkpoints in its folder and again as artifacts, the served model, its analysis.

    Not the model that the best job alone gets: `served_bytes`.
    """
    recorded = config.tracking.backend == "mlflow"
    copies = (_LAST_COPIES + _BEST_COPIES) * (2 if recorded else 1)
    analysis = config.analysis
    written = (_PICTURES_BYTES if analysis.pictures else 0) + (_REPORT_BYTES if analysis.report else 0)
    served = served_bytes(config, summary) if analysis.log_model == "all" else 0
    return summary.parameters * copies * _BYTES_A_WEIGHT + written * (2 if recorded else 1) + served


def served_bytes(config: RunConfig, summary: Summary) -> int:
    """Estimate the size of a run's model for ``mlflow.pyfunc``, where the run is recorded."""
    if config.tracking.backend != "mlflow":
        return 0
    # With whitening it holds the matrix.
    matrix = (3 * math.prod(config.data.image_shape)) ** 2 if config.data.whitening is not None else 0
    return (summary.parameters + matrix) * _BYTES_A_WEIGHT


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
