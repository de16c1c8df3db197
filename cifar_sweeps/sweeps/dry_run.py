"""Print what a sweep would run, without running it: ``sweep.dry_run=true``."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.models.summary import Summary
from cifar_sweeps.sweeps.plan import MOST_WITH_ALL_CHECKPOINTS, PlannedJob, kept_checkpoints
from cifar_sweeps.system.cores import Parallelism

_BYTES_A_WEIGHT = 4
_BYTES_COMPRESSED = 3.7
"""Of a weight in a file of weights alone, which is compressed."""
_STATES = {"SGD": 1, "RMSprop": 1, "KerasRMSprop": 1}
"""Numbers that an optimizer keeps for each weight in the last checkpoint; Adam and its kin, and any other, two."""
_PICTURES_BYTES = 450_000
"""Of photos in ten classes; drawn images take less."""
_REPORT_BYTES, _BYTES_A_PROBABILITY = 30_000, 3.8
_RECORD_BYTES, _BYTES_AN_EPOCH = 75_000, 3_000
"""Of a run in the embedded store and in its journal, with config and log."""
_TEST_IMAGES, _CLASSES = 10_000, 10
"""Where the images are not at hand."""


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
        size = _megabytes(_bytes_of(job))
        table.add_row(str(job.number), Text(name), *[f"{n:,}" for n in numbers], size)
    console = Console(highlight=False)
    console.print(table)
    to_run = [job for job in jobs if job.needs_training]
    total = sum(_bytes_of(job) for job in to_run)
    of_best = [served_bytes(job.config, job.summary) for job in to_run if job.config.analysis.log_model == "best"]
    total += max(of_best, default=0)
    console.print(plan_line("job", len(to_run), parallelism, total))
    if len(jobs) > MOST_WITH_ALL_CHECKPOINTS and any(job.config.tracking.keep == "tested" for job in to_run):
        console.print(
            "Each keeps only the weights that were tested; tracking.keep=all keeps the last checkpoint, too, "
            "from which cifar-sweeps extend makes a run longer."
        )


def plan_line(noun: str, count: int, parallelism: Parallelism, size: float) -> str:
    """Return the last line on a sweep that is only shown: how many jobs would be trained, and how. size: in bytes."""
    threads = f"{parallelism.threads} thread{'' if parallelism.threads == 1 else 's'}"
    at_once = f", {min(count, parallelism.jobs)} at once with {threads} each" if count > 1 else f" with {threads}"
    jobs = f"{count} {noun}{'' if count == 1 else 's'}"
    how = f"{at_once}, about {_megabytes(size)} of disk" if count else " to be trained"
    return f"{jobs}{how}. Nothing was started."


def disk_bytes(config: RunConfig, summary: Summary, jobs: int, test_images: int = _TEST_IMAGES) -> int:
    """Estimate what a run of a sweep leaves: checkpoints, its analysis, its record, the served model if all log it.

    jobs: of the sweep. In the embedded store the large artifacts are the run's own files under a second name, which
    takes no place; what a server keeps is not counted, nor the model that the best job alone gets: `served_bytes`.
    """
    analysis = config.analysis
    last = 1 + _optimizer_states(config)
    alone = dict.fromkeys(("tested", "best"), _BYTES_COMPRESSED)
    each = {**alone, "last": last * _BYTES_A_WEIGHT}.get(kept_checkpoints(config, jobs), (last + 1) * _BYTES_A_WEIGHT)
    size = summary.parameters * each + _RECORD_BYTES + config.total_epochs * _BYTES_AN_EPOCH
    size += served_bytes(config, summary) if analysis.log_model == "all" else 0
    size += _PICTURES_BYTES if analysis.pictures else 0
    if analysis.report:
        size += _REPORT_BYTES + test_images * (config.data.num_classes or _CLASSES) * _BYTES_A_PROBABILITY
    return round(size)


def served_bytes(config: RunConfig, summary: Summary) -> int:
    """Estimate the size of a run's model for ``mlflow.pyfunc``, where the run is recorded."""
    if config.tracking.backend != "mlflow":
        return 0
    # With whitening it holds the matrix.
    matrix = (3 * math.prod(config.data.image_shape)) ** 2 if config.data.whitening is not None else 0
    return (summary.parameters + matrix) * _BYTES_A_WEIGHT


def _optimizer_states(config: RunConfig) -> int:
    """Return how many numbers the optimizer keeps for each weight."""
    target, arguments = str(config.optimizer.get("_target_", "")), config.optimizer
    states = _STATES.get(target.rpartition(".")[2], 2)
    return 0 if target.endswith(".SGD") and not arguments.get("momentum") else states


def _bytes_of(job: PlannedJob) -> int:
    return disk_bytes(job.config, job.summary, 1, job.test_images or _TEST_IMAGES)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
