"""The schema of the whole config, and its validation: a composed config in, a typed `RunConfig` out.

Hydra composes anything that YAML can say. Here the composed config meets its schema: every unknown key, wrong type and
impossible value is found, and all of them are told in one `ConfigError`. Nodes with a ``_target_`` (model, optimizer)
are only checked for their shape; `cifar_sweeps.build` knows what their targets accept.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.schema import Target, fits, shape_faults, typed

Rates = float | list[float]
"""A scalar for all blocks, or one value a block."""


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how the training side is divided. ``source`` is the loader."""

    source: Target
    image_size: int
    val_fraction: float
    split: Literal["stratified", "tail", "batch_1"]
    train_size: int | None
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
    """How long, how large, on what, and whose weights are tested."""

    epochs: int
    batch_size: int
    eval_batch_size: int
    precision: Literal["auto", "fp32", "bf16"]
    device: str
    channels_last: bool
    threads: int | Literal["auto"]
    select: Literal["last", "best"]
    early_stopping: EarlyStopping


@dataclass(frozen=True)
class Tracking:
    """Where the run is recorded."""

    backend: Literal["mlflow", "none"]
    uri: str | None


@dataclass(frozen=True)
class Analysis:
    """What is made of the trained model when the training has ended."""

    pictures: bool
    log_model: bool


@dataclass(frozen=True)
class Sweep:
    """How a sweep goes about its jobs."""

    dry_run: bool


@dataclass(frozen=True)
class RunConfig:
    """One run, whole. ``plain`` is the same as nested plain values, as it is recorded."""

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
    published: dict[str, object] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    plain: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def validates(self) -> bool:
        """Whether a part of the training side is held out."""
        return self.data.val_fraction > 0 or self.data.split == "batch_1"


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
    named = {str(key): value for key, value in plain.items()}
    faults = [*shape_faults(named, RunConfig)]
    if not faults:
        faults = [*_value_faults(named)]
    if faults:
        raise ConfigError(faults)
    config = typed(named, RunConfig)
    assert isinstance(config, RunConfig)
    return dataclasses.replace(config, plain=named)


# What cannot change a run's result: where things lie and what they are called, what is drawn afterwards.
_WITHOUT_EFFECT = frozenset({"outputs", "study_name", "tracking", "analysis", "sweep", "published", "assumptions"})
_PLACES = frozenset({"root", "cache"})


def config_hash(plain: Mapping[str, Any]) -> str:
    """Sixteen hex digits that are equal for two configs if, on the same images, they ask for the same training."""

    def relevant(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: relevant(entry) for key, entry in value.items() if key not in _PLACES}
        return value

    kept = {key: relevant(value) for key, value in plain.items() if key not in _WITHOUT_EFFECT}
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


def _value_faults(plain: Mapping[str, Any]) -> Iterator[str]:
    """Yield what no schema of types can say: ranges."""
    trainer, data = plain["trainer"], plain["data"]
    for key in ("epochs", "batch_size", "eval_batch_size"):
        if trainer[key] < 1:
            yield f"trainer.{key}={trainer[key]}: must be at least 1"
    if trainer["threads"] != "auto" and trainer["threads"] < 1:
        yield f"trainer.threads={trainer['threads']}: must be at least 1, or auto"
    patience = trainer["early_stopping"]["patience"]
    if patience is not None and patience < 1:
        yield f"trainer.early_stopping.patience={patience}: must be at least 1, or null for never"
    if not 0 <= data["val_fraction"] < 1:  # NaN fails this, too
        yield f"data.val_fraction={data['val_fraction']}: must be at least 0 and below 1; use e.g. 0.1"
    if data["train_size"] is not None and data["train_size"] < 1:
        yield f"data.train_size={data['train_size']}: must be at least 1, or null for all"
    min_delta = trainer["early_stopping"]["min_delta"]
    if not (math.isfinite(min_delta) and min_delta >= 0):
        yield f"trainer.early_stopping.min_delta={min_delta}: must be finite and not negative"
    if data["image_size"] < 8:
        yield f"data.image_size={data['image_size']}: must be at least 8 pixels"
    for key in ("mean", "std"):
        channels = data[key]
        if channels is not None and (len(channels) != 3 or not all(math.isfinite(x) for x in channels)):
            yield f"data.{key}={channels}: must be three finite numbers, one a channel, or null"
    if data["std"] is not None and any(x == 0 for x in data["std"]):
        yield f"data.std={data['std']}: must not hold 0"
    if not 0 <= plain["seed"] < 2**63:
        yield f"seed={plain['seed']}: must be at least 0 and below 2**63"
    yield from _rate_faults(plain)
    if data["val_fraction"] == 0 and data["split"] != "batch_1":
        if trainer["select"] == "best":
            yield "trainer.select=best: needs validation data, but data.val_fraction=0; use trainer.select=last"
        if patience is not None:
            yield "trainer.early_stopping.patience: needs validation data, but data.val_fraction=0; use null"


def _rate_faults(plain: Mapping[str, Any]) -> Iterator[str]:
    regularization, optimizer = plain["regularization"], plain["optimizer"]
    for key in ("l2", "l1", "weight_decay"):
        if not (math.isfinite(regularization[key]) and regularization[key] >= 0):
            yield f"regularization.{key}={regularization[key]}: must be finite and not negative"
    for key, rates in regularization["dropout"].items():
        for rate in rates if isinstance(rates, list) else [rates]:
            if not 0 <= rate < 1:
                yield f"regularization.dropout.{key}={rates}: {rate} is not a rate; use at least 0 and below 1"
    lr = optimizer.get("lr")
    if not fits(lr, float) or not (math.isfinite(lr) and lr > 0):
        yield f"optimizer.lr={lr}: must be a finite number above 0; use e.g. 0.001"
    if optimizer.get("weight_decay"):
        yield (
            f"optimizer.weight_decay={optimizer['weight_decay']}: decay has one home; "
            "use regularization.weight_decay (decoupled) or regularization.l2 (Keras' penalty)"
        )
    if regularization["weight_decay"] * lr >= 1 if fits(lr, float) else False:
        yield f"regularization.weight_decay={regularization['weight_decay']}: times optimizer.lr={lr} is 1 or more"
