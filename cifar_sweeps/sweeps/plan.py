"""Compose and check all jobs of a sweep before the first one starts."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, open_dict, read_write
from rich.console import Console

from cifar_sweeps.config import build
from cifar_sweeps.config.hydra_messages import explain_composition_error
from cifar_sweeps.config.parse import parse_config
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.data.dataset import ImageData, Progress
from cifar_sweeps.errors import CifarSweepsError, ConfigError, DataError, NotDownloadedError
from cifar_sweeps.hydra_support import hydra_config, is_composition_error
from cifar_sweeps.models.summary import Summary
from cifar_sweeps.runs.identity import training_hash
from cifar_sweeps.runs.initial_weights import check_initial_weights
from cifar_sweeps.runs.loading import LoadingBar
from cifar_sweeps.runs.setup import check_data, setting_notes
from cifar_sweeps.sweeps.checks.early_stopping import early_stopping_errors
from cifar_sweeps.sweeps.checks.job_folders import check_job_folders
from cifar_sweeps.sweeps.checks.resolvers import replace_task, resolve_task, resolved_overrides
from cifar_sweeps.sweeps.manifest import run_name
from cifar_sweeps.sweeps.parent_run import ParentRun
from cifar_sweeps.sweeps.previous.differences import NewJob
from cifar_sweeps.sweeps.previous.launches import PreviousJob
from cifar_sweeps.system.gc_control import collect_rarely
from cifar_sweeps.tracking.recorded_run import RecordedRun

LOG_NAME = "run.log"
MOST_WITH_ALL_CHECKPOINTS = 100
"""Jobs of a sweep up to which each keeps its last checkpoint beside its best weights."""
Kept: TypeAlias = Literal["auto", "tested", "best", "last", "all"]
_MAX_NAMED_JOBS = 4


@dataclass(frozen=True)
class PlannedJob:
    """A job that has been composed and checked.

    node: its composed config, Hydra's part included. identity: the training hash. previous: what a previous launch of
    the sweep left of it, if any.
    """

    number: int
    overrides: tuple[str, ...]
    name: str
    node: DictConfig
    config: RunConfig
    summary: Summary
    previous: PreviousJob | None
    identity: str = ""
    test_images: int | None = None
    """How many there are; None where the images are not at hand."""

    @property
    def needs_training(self) -> bool:
        """Whether this launch trains it, from the start or from where it was stopped."""
        if self.previous is None:
            return True
        return not self.previous.is_finished and self.config.sweep.rerun == "failed"

    @cached_property
    def folder(self) -> Path:
        """The folder of its run."""
        with hydra_config(self.node):  # its name may refer to it
            return Path(self.node.hydra.sweep.dir, self.node.hydra.sweep.subdir).absolute()

    @property
    def log_file(self) -> Path:
        """The file of its output."""
        return self.folder / LOG_NAME

    def recorded_value(self, run: RecordedRun) -> float | None:
        """Return what its task function returned, read from its recorded run."""
        return run.metrics.get("best/val_accuracy" if self.config.trainer.select == "best" else "final/val_accuracy")


def plan_jobs(
    loader: ConfigLoader,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    parent_run: ParentRun,
    console: Console | None = None,
) -> list[PlannedJob]:
    """Compose and check every job, and fill the caches of the data that they need.

    console: where it is shown that images are being read, and once what was changed in them.
    Raises ConfigError with the errors of all jobs, each error once.
    """
    collect_rarely()  # also while the command reads all runs at its end
    drafts: list[_Draft] = []
    errors: dict[str, list[str]] = {}
    bar = None if console is None else LoadingBar(console)
    cache = PlanCache(bar)
    for place, overrides in enumerate(job_overrides):
        try:
            drafts.append(_compose_job(loader, master, list(overrides), place, cache))
        except CifarSweepsError as error:
            name = run_name(list(overrides), parent_run.manifest.swept) or f"job {place}"
            for message in error.errors if isinstance(error, ConfigError) else (str(error),):
                errors.setdefault(message, []).append(name)
    if bar is not None:
        bar.close()
    if errors:
        raise ConfigError(_by_job(errors, len(job_overrides)))
    numbering = parent_run.choose_folder([draft.job for draft in drafts])
    jobs = [with_checkpoints_of(_number_job(draft, parent_run, numbering), len(drafts)) for draft in drafts]
    check_job_folders([(job.name, job.folder) for job in jobs], parent_run.folder)
    if console is not None:
        notes: dict[str, list[str]] = {}
        for draft, job in zip(drafts, jobs, strict=True):
            for note in draft.notes:
                notes.setdefault(note, []).append(job.name)
        for line in _by_job(notes, len(jobs)):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return jobs


class JobPlanner:
    """Composes and checks the jobs of a search, whose overrides come one after another.

    Arguments: as `plan_jobs` has them.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig, parent_run: ParentRun, console: Console) -> None:
        self._loader, self._master, self._parent_run = loader, master, parent_run
        self._bar = LoadingBar(console)
        self._cache = PlanCache(self._bar)
        self.total = 1
        """How many trials the search will have."""

    def check(self, job_overrides: Sequence[Sequence[str]]) -> list[NewJob]:
        """Compose and check jobs without planning them. Raises ConfigError with the errors of all of them."""
        errors: dict[str, list[str]] = {}
        jobs: list[NewJob] = []
        for place, overrides in enumerate(job_overrides):
            try:
                jobs.append(_compose_job(self._loader, self._master, list(overrides), place, self._cache).job)
            except CifarSweepsError as error:
                name = run_name(list(overrides), self._parent_run.manifest.swept) or f"job {place}"
                for message in error.errors if isinstance(error, ConfigError) else (str(error),):
                    errors.setdefault(message, []).append(name)
        self._bar.close()
        if errors:
            raise ConfigError(_by_job(errors, len(job_overrides)))
        return jobs

    def summary(self, config: RunConfig) -> Summary:
        """Return the summary of the model of a config that was checked."""
        return self._cache.summary(config)

    def plan(self, number: int, overrides: Sequence[str], previous: PreviousJob | None) -> PlannedJob:
        """Return one job. previous: what a previous launch left of it. Raises ConfigError or DataError."""
        draft = _compose_job(self._loader, self._master, list(overrides), number, self._cache)
        if previous is not None and previous.identity != draft.job.identity:
            raise ConfigError(f"{previous.folder}: was trained by other code, or on other images, and is not resumed")
        return with_checkpoints_of(_number_job(draft, self._parent_run, _OneNumber(number, previous)), self.total)


@dataclass(frozen=True)
class _OneNumber:
    """Gives a job of a search the number of its trial."""

    number: int
    previous: PreviousJob | None

    def assign(self, identity: str) -> tuple[int, PreviousJob | None]:
        return self.number, self.previous


class _Numbering(Protocol):
    def assign(self, identity: str) -> tuple[int, PreviousJob | None]: ...


@dataclass(frozen=True)
class _Draft:
    """A job before it has a number."""

    job: NewJob
    node: DictConfig
    summary: Summary
    notes: tuple[str, ...]
    test_images: int | None


def _compose_job(
    loader: ConfigLoader, master: DictConfig, overrides: list[str], place: int, cache: "PlanCache"
) -> _Draft:
    try:
        node = loader.load_sweep_config(master, overrides)
    except Exception as error:
        if not is_composition_error(error):
            raise
        raise ConfigError(explain_composition_error(error)) from error
    with open_dict(node):  # the job's part of Hydra's config says MISSING until it is numbered
        node.hydra.job.id, node.hydra.job.num = str(place), place
    task = resolve_task(node)  # once: in the job's own process the time, for one, is another
    overrides = resolved_overrides(overrides, node, task)
    replace_task(node, task)
    with open_dict(node):
        node.hydra.overrides.task = overrides
    config = dataclasses.replace(parse_config(task), overrides=tuple(overrides))
    _check_same_store(master, config)
    summary = cache.summary(config)
    images = cache.images(config)
    notes: tuple[str, ...] = ()
    validation: int | None = None
    if images is not None:
        if build.with_classes_of(config, images) is not config:
            config = build.with_classes_of(config, images)
            summary = cache.summary(config)
        splits = check_data(config, summary, images)
        validation = len(splits.val)
        notes = (*images.notes, *splits.notes, *setting_notes(config, images, splits))
    check_initial_weights(config)
    problems = [*early_stopping_errors(config, validation)]
    if problems:
        raise ConfigError(problems)
    fingerprint = "" if images is None else images.fingerprint
    return _Draft(
        NewJob(tuple(overrides), config, fingerprint, training_hash(config, fingerprint)),
        node,
        summary,
        notes,
        None if images is None else len(images.test),
    )


def _number_job(draft: _Draft, parent_run: ParentRun, numbering: _Numbering) -> PlannedJob:
    job, node = draft.job, draft.node
    number, previous = numbering.assign(job.identity)
    with open_dict(node):
        node.hydra.job.id, node.hydra.job.num = str(number), number
        node.hydra.sweep.dir = str(parent_run.folder)
        if previous is not None:  # also where its name would be another one today
            node.hydra.sweep.subdir = os.path.relpath(previous.folder, parent_run.folder)
    name = run_name(list(job.overrides), parent_run.manifest.swept) or f"job {number}"
    return PlannedJob(
        number, job.overrides, name, node, job.config, draft.summary, previous, job.identity, draft.test_images
    )


def kept_checkpoints(config: RunConfig, jobs: int) -> Kept:
    """Return which checkpoints a job of a sweep of so many keeps: what ``tracking.keep=auto`` means there.

    The last one, with the optimizer's state, is three times as large as the weights that were tested, and only making a
    run longer needs it.
    """
    if config.tracking.keep != "auto":
        return config.tracking.keep
    return "tested" if jobs > MOST_WITH_ALL_CHECKPOINTS else "all"


def with_checkpoints_of(job: PlannedJob, jobs: int) -> PlannedJob:
    """Return a job of a sweep of so many jobs with its ``tracking.keep=auto`` resolved, in its recorded config, too."""
    keep, config = kept_checkpoints(job.config, jobs), job.config
    if keep == config.tracking.keep:
        return job
    with read_write(job.node), open_dict(job.node):
        job.node.tracking.keep = keep
    as_dict = {**config.as_dict, "tracking": {**config.as_dict["tracking"], "keep": keep}}
    tracking = dataclasses.replace(config.tracking, keep=keep)
    return dataclasses.replace(job, config=dataclasses.replace(config, tracking=tracking, as_dict=as_dict))


def _check_same_store(master: DictConfig, config: RunConfig) -> None:
    """Raise ConfigError for a job that would be recorded elsewhere than its sweep."""
    there = (master.study_name, master.outputs, master.tracking.backend, master.tracking.uri)
    if (config.study_name, config.outputs, config.tracking.backend, config.tracking.uri) != there:
        raise ConfigError(
            "study_name, outputs and tracking: are a sweep's own and cannot be swept; start a sweep for each"
        )


class PlanCache:
    """Images and model summaries that several jobs of a sweep share, each made once.

    progress: told what is loaded.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._images: dict[str, ImageData | DataError | None] = {}
        self._summaries: dict[str, Summary] = {}

    def images(self, config: RunConfig) -> ImageData | None:
        """Load a config's data set, or raise the DataError of its first loading.

        None: a sweep that is only shown downloads nothing, which one line says.
        """
        key = repr(sorted(config.data.source.items()))
        if key not in self._images:
            try:
                self._images[key] = build.images(_offline(config) if config.sweep.dry_run else config, self._progress)
            except NotDownloadedError as error:
                self._images[key] = error
                if config.sweep.dry_run and config.data.source["download"]:
                    self._images[key] = None
                    where = f"to {Path(config.data.source['root']).expanduser().absolute()}"
                    sys.stdout.write(f"The images would be downloaded {where}; what depends on them is not checked\n")
            except DataError as error:
                self._images[key] = error
        images = self._images[key]
        if isinstance(images, DataError):
            raise images
        return images

    def summary(self, config: RunConfig) -> Summary:
        """Check a config and summarize its model; once for jobs that differ in their seeds alone."""
        key = repr({**config.as_dict, "seed": None})
        if key not in self._summaries:
            self._summaries[key] = build.check_config(config, download=not config.sweep.dry_run)
            if config.sweep.dry_run and build.needs_download(config):
                sys.stdout.write("Pretrained weights would be downloaded; they are not checked\n")
        return self._summaries[key]


def _offline(config: RunConfig) -> RunConfig:
    source = config.data.source
    if "download" not in source:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source={**source, "download": False}))


def _by_job(errors: dict[str, list[str]], jobs: int) -> list[str]:
    """Append to each error that not all jobs have the names of those that have it."""
    return [
        message if len(names) == jobs else f"{message} [in {len(names)} of {jobs} jobs: {_join_names(names)}]"
        for message, names in errors.items()
    ]


def _join_names(names: list[str]) -> str:
    return "; ".join(names[:_MAX_NAMED_JOBS]) + ("; …" if len(names) > _MAX_NAMED_JOBS else "")
