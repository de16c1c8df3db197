"""Dataclasses of the whole config: `RunConfig` and its groups.

`cifar_sweeps.config.parse` validates a composed config against them and reports every unknown key, wrong type and
impossible value in one `ConfigError`. Of nodes with a ``_target_`` (model, optimizer) only the shape is checked;
`cifar_sweeps.config.build` checks their arguments.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from cifar_sweeps.config.budget import Budget
from cifar_sweeps.config.type_checks import Target

Rates = float | list[float]
"""A scalar for all blocks, or one value a block."""


@dataclass(frozen=True)
class DataConfig:
    """The data set and its splits. ``source`` is the loader.

    num_classes: None: as many as the data has. fit, background: of image folders alone, see `load_image_folder`.
    labels: of CIFAR-100 alone. whitening: ``zca``, fitted on the training images; see `fit_whitening`.
    fold: of ``folds`` parts, the one that validates; with ``split=fold`` alone.
    """

    source: Target
    image_size: int | list[int]
    val_fraction: float
    split: Literal["stratified", "tail", "batch_1", "fold", "test", "folder"]
    val_size: int | None
    train_size: int | None
    train_fraction: float
    mean: list[float] | None
    std: list[float] | None
    root: str | None = None
    num_classes: int | None = None
    fit: Literal["squash", "crop", "pad"] = "squash"
    background: str = "white"
    labels: Literal["fine", "coarse"] = "fine"
    fold: int = 0
    folds: int = 5
    whitening: Literal["zca"] | None = None
    whitening_epsilon: float = 1e-6

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])


@dataclass(frozen=True)
class KernelSize:
    """Kernel sizes: ``conv`` is one integer, or a list by block of integers or of lists by convolution."""

    conv: int | list[Any]


@dataclass(frozen=True)
class Dropout:
    """Dropout rates of the convolution blocks and of the dense head."""

    conv: Rates
    dense: Rates


@dataclass(frozen=True)
class Regularization:
    """Regularization strengths: Keras' l2 and l1 on convolution kernels, decoupled weight decay, dropout."""

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
    """Settings of the training loop: epochs, batch size, device, initial weights, validation, tests."""

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
    """Where the run is recorded, and which checkpoints are kept when it has finished."""

    backend: Literal["mlflow", "none"]
    uri: str | None
    keep: Literal["auto", "best", "last", "all"]


@dataclass(frozen=True)
class Analysis:
    """What is logged of the trained model: figures as metrics, files and pictures, and the model itself.

    log_model: of which runs; ``best``: of a single run, and of a sweep's best one.
    """

    pictures: bool
    log_model: Literal["best", "all", "none"]
    report: bool = True
    details: bool = False


@dataclass(frozen=True)
class Sweep:
    """How a sweep runs its jobs. exclude: rules that name the jobs to leave out, see `config.grid.exclusion`."""

    dry_run: bool
    report: bool = True
    rerun: Literal["failed", "never", "all"] = "failed"
    retries: int = 0
    timeout: float | None = None
    fail_fast: bool = False
    early_stopping: Literal["none", "asha", "median"] = "none"
    metric: Literal["val/accuracy", "val/loss"] = "val/accuracy"
    eta: int = 4
    grace_epochs: int = 4
    exclude: list[str] = field(default_factory=list)
    detach: bool = False


@dataclass(frozen=True)
class Published:
    """What a document printed of a metric: one ``value``, or ``values`` by epoch, or ``by_class``, or a ``matrix``.

    value: after ``epoch`` (null: at the end); with ``extreme``, the lowest or highest of the epochs from
    ``first_epoch`` to ``epoch``. values: the first is of ``first_epoch``. by_class: of a metric such as
    ``test/recall``, by the names of CIFAR-10's classes. matrix: counts, a row a true class, null where the document
    shows none.
    """

    metric: str
    where: str
    value: float | None = None
    values: list[float] | None = None
    by_class: dict[str, float] | None = None
    matrix: list[list[int | None]] | None = None
    epoch: int | None = None
    first_epoch: int = 1
    extreme: Literal["min", "max"] | None = None


@dataclass(frozen=True)
class Claim:
    """A document's claim: a comparison of ``metric`` of ``arm`` with that of ``against``, or with ``than``.

    arm, against: a mapping of swept keys to values, or the name of an experiment. expects: the expected sign of
    arm − against; ``same`` means within ``margin``, ``not_higher`` and ``not_lower`` by no more than it.
    at, against_at: the epoch at which each side is compared; null: the last. against_metric: the other side's metric,
    if it is another one. strength: how sure the document is; a ``hedged`` claim ("could", "may") is supported or not,
    and never contradicted. needs_full_budget: of lengths and levels. copy_allowance: by how much a figure may be lower
    on a copy of CIFAR-10 with other pixels; null: of no such copy is it judged. own_document: what the document itself
    prints against it.
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
    against_metric: str | None = None
    strength: Literal["stated", "hedged"] = "stated"
    needs_original_images: bool = False
    copy_allowance: float | None = None
    own_document: str | None = None


@dataclass(frozen=True)
class RunConfig:
    """The whole config of one run. ``as_dict``: the same as nested plain values, as it is recorded.

    ``overrides``: the overrides that it was composed from, if known.
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
    full_epochs: int | None = None
    published_parts: int = 1
    assumptions: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    as_dict: dict[str, Any] = field(default_factory=dict, repr=False)
    overrides: tuple[str, ...] = ()

    @property
    def validates(self) -> bool:
        """Whether there are images to validate on."""
        return self.data.val_fraction > 0 or self.data.split in ("batch_1", "fold", "test", "folder")

    @property
    def total_epochs(self) -> int:
        """Total epochs: ``trainer.epochs`` on each part of the training images."""
        return self.trainer.epochs * self.trainer.parts
