"""The schema of the whole config, and its validation: a composed config in, a typed `RunConfig` out.

Hydra composes anything that YAML can say. Here the composed config meets its schema: every unknown key, wrong type and
impossible value is found, and all of them are told in one `ConfigError`. Nodes with a ``_target_`` (model, optimizer)
are only checked for their shape; `cifar_sweeps.build` knows what their targets accept.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.budget import Budget, scaled
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.schema import Target, shape_faults, typed
from cifar_sweeps.values import value_faults

Rates = float | list[float]
"""A scalar for all blocks, or one value a block."""


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how the training side is divided. ``source`` is the loader."""

    source: Target
    image_size: int
    val_fraction: float
    split: Literal["stratified", "tail", "batch_1", "test"]
    val_size: int | None
    train_size: int | None
    train_fraction: float
    mean: list[float] | None
    std: list[float] | None
    root: str | None = None


@dataclass(frozen=True)
class KernelSize:
    """``conv``: one integer, or a list by block whose entries are integers or lists by convolution."""

    conv: int | list[Any]


@dataclass(frozen=True)
class Dropout:
    """Rates of the convolution blocks and of the dense head."""

    conv: Rates
    dense: Rates


@dataclass(frozen=True)
class Regularization:
    """Numbers only: Keras' l2 and l1 on convolution kernels, decoupled weight decay, dropout."""

    l2: float
    l1: float
    weight_decay: float
    dropout: Dropout


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after ``patience`` epochs (None: never) without an improvement of ``monitor`` by more than ``min_delta``."""

    patience: int | None
    min_delta: float
    monitor: Literal["val/accuracy", "val/loss"]


@dataclass(frozen=True)
class Trainer:
    """How long, how large, on what, from which weights, and whose weights are tested."""

    epochs: int
    parts: int
    init_from: str | None
    resume: Literal["auto", "never"]
    batch_size: int
    eval_batch_size: int
    precision: Literal["auto", "fp32", "bf16"]
    device: str
    channels_last: bool
    threads: int | Literal["auto"]
    validate_every: int
    select: Literal["last", "best"]
    test_at: list[int]
    test_augmented: bool
    early_stopping: EarlyStopping


@dataclass(frozen=True)
class Tracking:
    """Where the run is recorded, and which checkpoints stay when it has finished."""

    backend: Literal["mlflow", "none"]
    uri: str | None
    keep: Literal["best", "last", "all"]


@dataclass(frozen=True)
class Analysis:
    """What is made of the trained model when the training has ended."""

    pictures: bool
    log_model: bool


@dataclass(frozen=True)
class Sweep:
    """How a sweep goes about its jobs."""

    dry_run: bool
    report: bool = True
    rerun: Literal["failed", "never", "all"] = "failed"
    retries: int = 0
    timeout: float | None = None
    fail_fast: bool = False


@dataclass(frozen=True)
class Published:
    """What a document printed: one ``value``, after ``epoch`` (null: at the end), or ``values`` by epoch from 1."""

    metric: str
    where: str
    value: float | None = None
    values: list[float] | None = None
    epoch: int | None = None


@dataclass(frozen=True)
class Claim:
    """A comparison that a document makes: ``metric`` of ``arm`` beside that of ``against``, or beside ``than``.

    A side is a mapping of swept keys to values, or the name of an experiment. expects: what the claim says of the
    difference arm − against; ``same`` means within ``margin``, ``not_higher`` and ``not_lower`` by no
    more than it. at, against_at: after
    which epoch each side is taken; null: at the end.
    """

    says: str
    where: str
    metric: str
    arm: str | dict[str, Any]
    expects: Literal["higher", "lower", "same", "not_higher", "not_lower"]
    against: str | dict[str, Any] | None = None
    than: float | None = None
    at: int | None = None
    against_at: int | None = None
    margin: float = 0.01
    needs_full_budget: bool = False


@dataclass(frozen=True)
class RunConfig:
    """One run, whole. ``plain`` is the same as nested plain values, as it is recorded.

    ``overrides``: what was typed to get it, where that is known.
    """

    seed: int
    outputs: str
    study_name: str | None
    data: DataConfig
    augmentation: Target
    model: Target
    kernel_size: KernelSize
    regularization: Regularization
    optimizer: Target
    lr_schedule: Target
    trainer: Trainer
    tracking: Tracking
    analysis: Analysis
    sweep: Sweep
    budget: Budget
    published: list[Published] = field(default_factory=list)
    published_epochs: int | None = None
    published_parts: int = 1
    assumptions: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    plain: dict[str, Any] = field(default_factory=dict, repr=False)
    overrides: tuple[str, ...] = ()

    @property
    def validates(self) -> bool:
        """Whether there are images to validate on."""
        return self.data.val_fraction > 0 or self.data.split in ("batch_1", "test")

    @property
    def total_epochs(self) -> int:
        """Epochs in all: ``trainer.epochs`` on each part of the training images."""
        return self.trainer.epochs * self.trainer.parts


def conf_folder() -> Path:
    """Return the folder of YAML groups: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def parse(cfg: DictConfig) -> RunConfig:
    """Check a composed config against the schema and return it typed, with all interpolations resolved.

    Raises ConfigError with every fault that was found.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    assert isinstance(plain, dict)
    return from_plain({str(key): value for key, value in plain.items()})


def from_plain(named: Mapping[str, Any]) -> RunConfig:
    """Check nested plain values, as a run's ``config.yaml`` holds them, and return them typed and cut to their budget.

    Raises ConfigError with every fault that was found.
    """
    faults = [*shape_faults(named, RunConfig)]
    if not faults:
        faults = [*value_faults(named)]
    if faults:
        raise ConfigError(faults)
    named = scaled(named)
    config = typed(named, RunConfig)
    assert isinstance(config, RunConfig)
    return dataclasses.replace(config, plain=named)


# What cannot change a run's result: where things lie and what they are called, what is drawn afterwards.
_WITHOUT_EFFECT = frozenset(
    {"outputs", "study_name", "tracking", "analysis", "sweep", "published", "published_epochs", "published_parts"}
    | {"assumptions", "claims"}
    | {"budget"}  # what it changed stands in the epochs and images themselves
)
_PLACES = frozenset({"root", "cache"})
_MANNERS = frozenset({"resume"})  # of the trainer: how it goes on after a stop, with the same bits


def config_hash(plain: Mapping[str, Any]) -> str:
    """Sixteen hex digits that are equal for two configs if, on the same images, they ask for the same training."""

    def relevant(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: relevant(entry) for key, entry in value.items() if key not in _PLACES}
        return value

    kept: dict[str, Any] = {key: relevant(value) for key, value in plain.items() if key not in _WITHOUT_EFFECT}
    kept["trainer"] = {key: value for key, value in plain["trainer"].items() if key not in _MANNERS}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as ``{"optimizer.lr": "0.001"}``: the parameters of an MLflow run. Lists stay whole."""
    pairs: dict[str, str] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping):
            pairs.update(flat(value, f"{prefix}{key}."))
        else:
            pairs[f"{prefix}{key}"] = str(value)
    return pairs
