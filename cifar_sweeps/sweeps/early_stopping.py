"""Early stopping in a sweep: from its jobs to the scheduler that pauses and promotes them, and what is said of it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cifar_sweeps.config.schema import RunConfig, Sweep
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.search.decisions import NAME, DecisionLog, read_decisions
from cifar_sweeps.search.early_stopping import Candidate, EarlyStoppingScheduler
from cifar_sweeps.search.rungs import Ladder, make_ladder, who_goes_on
from cifar_sweeps.search.scheduler import Ending, GridScheduler, Scheduler
from cifar_sweeps.sweeps.checks.arms import ArmOfJob
from cifar_sweeps.sweeps.plan import PlannedJob
from cifar_sweeps.sweeps.previous.launches import read_previous_jobs
from cifar_sweeps.tracking.journal_reader import read_curve

ENDINGS: dict[str, Ending] = {"FINISHED": "finished", "PAUSED": "paused", "FAILED": "failed"}
"""How a recorded run ended; all others were killed."""
_READ_BY = {"none": (), "asha": ("metric", "eta", "grace_epochs"), "median": ("metric", "grace_epochs")}
"""Which of the settings each rule uses."""


def make_scheduler(jobs: Sequence[PlannedJob], swept: tuple[str, ...], folder: Path) -> Scheduler:
    """Return the scheduler that the sweep's config asks for. folder: the sweep's, which holds its decisions.

    Raises ConfigError if the jobs do not ask for the same, TrackingError if the decisions cannot be read.
    """
    settings = sweep_settings(jobs)
    if settings is None or settings.early_stopping == "none":
        return GridScheduler(job.number for job in jobs if job.needs_training)
    candidates = [
        Candidate(
            job.number,
            ArmOfJob.of(job.config, swept).name,
            job.config.total_epochs,
            None if job.previous is None else ENDINGS.get(job.previous.run.state, "killed"),
            {} if job.previous is None else read_curve(job.previous.folder, settings.metric),
            is_left=not job.needs_training,
        )
        for job in jobs
        if job.needs_training or (job.previous is not None and job.previous.run.state in ("FINISHED", "PAUSED"))
    ]
    return EarlyStoppingScheduler(
        candidates, _ladder(settings), DecisionLog(folder / NAME), rises=settings.metric == "val/accuracy"
    )


def sweep_settings(jobs: Sequence[PlannedJob]) -> Sweep | None:
    """Return how all jobs are run; None without jobs. Raises ConfigError if early stopping differs among them."""
    return common_settings(job.config for job in jobs)


def common_settings(configs: Iterable[RunConfig]) -> Sweep | None:
    """Return how the jobs of these configs are run; see `sweep_settings`."""
    settings = {
        (each.early_stopping, each.metric, each.eta, each.grace_epochs): each
        for each in (config.sweep for config in configs)
    }
    if len(settings) > 1:
        raise ConfigError(
            "sweep.early_stopping, metric, eta and grace_epochs: are the sweep's own and cannot be swept; "
            "start a sweep for each"
        )
    return next(iter(settings.values()), None)


def describe_early_stopping(jobs: Sequence[PlannedJob]) -> Iterator[str]:
    """Yield a line on where the jobs pause, and how many go on; none without early stopping."""
    settings = sweep_settings(jobs)
    if settings is None:
        return
    if settings.early_stopping == "none":
        paused = sum(job.needs_training and is_paused(job) for job in jobs)
        if paused:
            yield (
                f"{_count(paused, 'job')} of before, paused by early stopping: trained to the end, as this command has "
                "none."
            )
        yield from idle_settings(settings)
        return
    yield from idle_settings(settings)
    yield describe_rungs(settings, sorted({job.config.total_epochs for job in jobs}))


def idle_settings(settings: Sweep, keys: Sequence[str] = ("metric", "eta", "grace_epochs")) -> Iterator[str]:
    """Yield a line if settings of early stopping were changed that have no effect on this sweep."""
    rule = settings.early_stopping
    idle = [key for key in keys if key not in _READ_BY[rule] and getattr(settings, key) != getattr(Sweep, key)]
    if idle:
        named = ", ".join(f"sweep.{key}={getattr(settings, key)}" for key in idle)
        other = "" if "eta" in idle else " (or median)"
        yield (
            f"{named}: {'has' if len(idle) == 1 else 'have'} no effect with sweep.early_stopping={rule}; "
            f"set sweep.early_stopping=asha{other}, or leave {'it' if len(idle) == 1 else 'them'} out"
        )


def describe_rungs(settings: Sweep, lengths: Sequence[int]) -> str:
    """Return a line on where runs of these lengths, in epochs, pause, and which go on."""
    assert settings.early_stopping != "none"
    rungs = sorted({rung for length in lengths for rung in _ladder(settings).rungs(length)})
    option = f"Early stopping ({settings.early_stopping})"
    if not rungs:
        return (
            f"{option}: pauses nothing: the first comparison would be after epoch {settings.grace_epochs}, and the "
            f"runs are {lengths[-1]} epochs long; lower sweep.grace_epochs, or leave it out"
        )
    of = "/".join(map(str, lengths))
    goes_on = who_goes_on(settings.early_stopping, settings.eta)
    return f"{option}: runs pause after epochs {_join(rungs)} of {of}; by {settings.metric} there, {goes_on}."


def unmet_promotions(jobs: Sequence[PlannedJob], folder: Path) -> Iterator[str]:
    """Yield a line if `promote` has asked for jobs of a previous launch that are none of this one's."""
    asked = {number for each in read_decisions(folder / NAME) if each.kind == "asked" for number in each.jobs}
    missing = sorted(asked - {job.number for job in jobs})
    left = [job.number for job in read_previous_jobs(folder) if job.number in missing and not job.is_finished]
    if left:
        yield (
            f"Asked for by cifar-sweeps promote, and not trained: {', '.join(map(str, left))}: of an earlier command "
            "with other values; repeat that one, or add its values to this one."
        )


def is_paused(job: PlannedJob) -> bool:
    """Whether early stopping has paused a job in a previous launch."""
    return job.previous is not None and job.previous.run.state == "PAUSED"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _ladder(settings: Sweep) -> Ladder:
    assert settings.early_stopping != "none"
    return make_ladder(settings.early_stopping, eta=settings.eta, grace_epochs=settings.grace_epochs)


def _join(numbers: Sequence[int]) -> str:
    texts = [str(number) for number in numbers]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
