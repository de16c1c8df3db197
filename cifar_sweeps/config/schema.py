"""The schema of the whole config, and its validation: a composed config in, a typed `RunConfig` out.

Hydra composes anything that YAML can say. Here the composed config meets its schema: every unknown key, wrong type and
impossible value is found, and all of them are told in one `ConfigError`. Nodes with a ``_target_`` (model, optimizer)
are only checked for their shape; `cifar_sweeps.config.build` knows what their targets accept.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from cifar_sweeps.config.budget import Budget
from cifar_sweeps.config.type_checks import Target

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
    as_dict: dict[str, Any] = field(default_factory=dict, repr=False)
    overrides: tuple[str, ...] = ()

    @property
    def validates(self) -> bool:
        """Whether there are images to validate on."""
        return self.data.val_fraction > 0 or self.data.split in ("batch_1", "test")

    @property
    def total_epochs(self) -> int:
        """Epochs in all: ``trainer.epochs`` on each part of the training images."""
        return self.trainer.epochs * self.trainer.parts
