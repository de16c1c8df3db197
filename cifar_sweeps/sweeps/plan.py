"""All jobs of a sweep, composed and checked before the first one starts."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, open_dict

from cifar_sweeps import build
from cifar_sweeps.config import RunConfig, parse
from cifar_sweeps.data.images import ImageData
from cifar_sweeps.errors import CifarSweepsError, ConfigError, DataError
from cifar_sweeps.faults import is_of_composition, translated
from cifar_sweeps.models.summary import Summary
from cifar_sweeps.scene import check_data
from cifar_sweeps.starting_weights import check_starting_weights
from cifar_sweeps.sweeps.sweep_file import short_name
from cifar_sweeps.training.precision import resolve_device, resolve_precision

_MOST_NAMED = 4


@dataclass(frozen=True)
class PlannedJob:
    """A job that can run. ``node`` is its composed config, Hydra's part included."""

    number: int
    overrides: tuple[str, ...]
    name: str
    node: DictConfig
    config: RunConfig
    summary: Summary


def plan(
    loader: ConfigLoader,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first_number: int,
    swept: tuple[str, ...],
) -> list[PlannedJob]:
    """Compose and check every job, and make the caches of the data that they need.

    Raises ConfigError with the faults of all jobs, each fault once.
    """
    jobs: list[PlannedJob] = []
    faults: dict[str, list[str]] = {}
    data: dict[str, ImageData | DataError] = {}
    for number, overrides in enumerate(job_overrides, start=first_number):
        try:
            jobs.append(_planned(loader, master, list(overrides), number, swept, data))
        except CifarSweepsError as error:
            name = short_name(list(overrides), swept) or f"job {number}"
            for fault in error.faults if isinstance(error, ConfigError) else (str(error),):
                faults.setdefault(fault, []).append(name)
    if faults:
        raise ConfigError(_by_job(faults, len(job_overrides)))
    return jobs


def _planned(
    loader: ConfigLoader,
    master: DictConfig,
    overrides: list[str],
    number: int,
    swept: tuple[str, ...],
    data: dict[str, ImageData | DataError],
) -> PlannedJob:
    try:
        node = loader.load_sweep_config(master, overrides)
    except Exception as error:
        if not is_of_composition(error):
            raise
        raise ConfigError(translated(error)) from error
    with open_dict(node):
        node.hydra.job.id = str(number)
        node.hydra.job.num = number
    config = dataclasses.replace(parse(_without_hydra(node)), overrides=tuple(overrides))
    _refuse_leaving(master, config)
    resolve_precision(config.trainer.precision, resolve_device(config.trainer.device))
    summary = build.check(config)
    images = _images(config, data)
    check_data(config, summary, images)
    check_starting_weights(config)
    return PlannedJob(number, tuple(overrides), short_name(overrides, swept) or f"job {number}", node, config, summary)


def _refuse_leaving(master: DictConfig, config: RunConfig) -> None:
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


def _images(config: RunConfig, known: dict[str, ImageData | DataError]) -> ImageData:
    """Load each data set once for all jobs; one that fails, fails once."""
    key = repr(sorted(config.data.source.items()))
    if key not in known:
        try:
            known[key] = build.images(config)
        except DataError as error:
            known[key] = error
    found = known[key]
    if isinstance(found, DataError):
        raise found
    return found


def _by_job(faults: dict[str, list[str]], jobs: int) -> list[str]:
    """Name the jobs of a fault that only some have, by their swept values."""
    return [
        fault if len(names) == jobs else f"{fault} [in {len(names)} of {jobs} jobs: {_listed(names)}]"
        for fault, names in faults.items()
    ]


def _listed(names: list[str]) -> str:
    return "; ".join(names[:_MOST_NAMED]) + ("; …" if len(names) > _MOST_NAMED else "")
