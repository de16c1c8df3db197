"""All jobs of a sweep, composed and checked before the first one starts."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, open_dict

from cifar_sweeps.config import build
from cifar_sweeps.config.hydra_messages import explain_composition_error, is_composition_error
from cifar_sweeps.config.parse import parse_config
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.data.dataset import ImageData
from cifar_sweeps.errors import CifarSweepsError, ConfigError, DataError
from cifar_sweeps.models.summary import Summary
from cifar_sweeps.runs.identity import training_hash
from cifar_sweeps.runs.initial_weights import check_initial_weights
from cifar_sweeps.runs.setup import check_data
from cifar_sweeps.sweeps.current import OpenSweep
from cifar_sweeps.sweeps.manifest import run_name
from cifar_sweeps.sweeps.resume import PreviousJob

LOG_NAME = "run.log"
_MOST_NAMED = 4


@dataclass(frozen=True)
class PlannedJob:
    """A job that can run. ``node`` is its composed config, Hydra's part included; ``earlier``: if it began before."""

    number: int
    overrides: tuple[str, ...]
    name: str
    node: DictConfig
    config: RunConfig
    summary: Summary
    previous: PreviousJob | None

    @property
    def needs_training(self) -> bool:
        """Whether it is to be trained, or to go on, in this start of the sweep."""
        if self.previous is None:
            return True
        return not self.previous.is_finished and self.config.sweep.rerun == "failed"

    @property
    def log_file(self) -> Path:
        """What its process prints."""
        return Path(self.node.hydra.sweep.dir, self.node.hydra.sweep.subdir, LOG_NAME).absolute()


def plan_jobs(
    loader: ConfigLoader,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    sweep: OpenSweep,
) -> list[PlannedJob]:
    """Compose and check every job, and make the caches of the data that they need.

    Raises ConfigError with the faults of all jobs, each fault once.
    """
    jobs: list[PlannedJob] = []
    faults: dict[str, list[str]] = {}
    sweep.numbers()  # if earlier jobs are in the way, that is the first thing to say
    known = PlanCache()
    for place, overrides in enumerate(job_overrides):
        try:
            jobs.append(_plan_job(loader, master, list(overrides), sweep, known))
        except CifarSweepsError as error:
            name = run_name(list(overrides), sweep.facts.swept) or f"job {place}"
            for fault in error.errors if isinstance(error, ConfigError) else (str(error),):
                faults.setdefault(fault, []).append(name)
    if faults:
        raise ConfigError(_by_job(faults, len(job_overrides)))
    return jobs


def _plan_job(
    loader: ConfigLoader,
    master: DictConfig,
    overrides: list[str],
    sweep: OpenSweep,
    known: "PlanCache",
) -> PlannedJob:
    try:
        node = loader.load_sweep_config(master, overrides)
    except Exception as error:
        if not is_composition_error(error):
            raise
        raise ConfigError(explain_composition_error(error)) from error
    with open_dict(node):  # the job's part of Hydra's config says MISSING until it is numbered
        node.hydra.job.id, node.hydra.job.num = "0", 0
    config = dataclasses.replace(parse_config(_without_hydra(node)), overrides=tuple(overrides))
    _check_same_store(master, config)
    summary = known.summary(config)
    images = known.images(config)
    check_data(config, summary, images)
    check_initial_weights(config)
    number, earlier = sweep.numbers().assign(training_hash(config, images.fingerprint))
    with open_dict(node):
        node.hydra.job.id, node.hydra.job.num = str(number), number
        node.hydra.sweep.dir = str(sweep.folder)
    name = run_name(overrides, sweep.facts.swept) or f"job {number}"
    return PlannedJob(number, tuple(overrides), name, node, config, summary, earlier)


def _check_same_store(master: DictConfig, config: RunConfig) -> None:
    """Refuse a job that would be recorded elsewhere than its sweep."""
    there = (master.study_name, master.outputs, master.tracking.backend, master.tracking.uri)
    if (config.study_name, config.outputs, config.tracking.backend, config.tracking.uri) != there:
        raise ConfigError(
            "study_name, outputs and tracking: are a sweep's own and cannot be swept; start a sweep for each"
        )


def _without_hydra(node: DictConfig) -> DictConfig:
    task = node.copy()
    with open_dict(task):
        del task["hydra"]
    return task


class PlanCache:
    """What is the same for several jobs of a sweep, looked at once."""

    def __init__(self) -> None:
        self._images: dict[str, ImageData | DataError] = {}
        self._summaries: dict[str, Summary] = {}

    def images(self, config: RunConfig) -> ImageData:
        """Load each data set once; one that fails, fails once. Raises DataError."""
        key = repr(sorted(config.data.source.items()))
        if key not in self._images:
            try:
                self._images[key] = build.images(config)
            except DataError as error:
                self._images[key] = error
        found = self._images[key]
        if isinstance(found, DataError):
            raise found
        return found

    def summary(self, config: RunConfig) -> Summary:
        """Check the parts of jobs that differ in their seeds alone once. Raises ConfigError."""
        key = repr({**config.as_dict, "seed": None})
        if key not in self._summaries:
            self._summaries[key] = build.check_config(config)
        return self._summaries[key]


def _by_job(faults: dict[str, list[str]], jobs: int) -> list[str]:
    """Name the jobs of a fault that only some have, by their swept values."""
    return [
        fault if len(names) == jobs else f"{fault} [in {len(names)} of {jobs} jobs: {_listed(names)}]"
        for fault, names in faults.items()
    ]


def _listed(names: list[str]) -> str:
    return "; ".join(names[:_MOST_NAMED]) + ("; …" if len(names) > _MOST_NAMED else "")
