"""Build data, model, optimizer and schedule of one run from its config, and check them before the first step."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from cifar_sweeps.config import build
from cifar_sweeps.config.budget import describe_budget
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.data.augment import Unchanged
from cifar_sweeps.data.batches import Augmentation, EvalBatches, TrainBatches
from cifar_sweeps.data.dataset import ImageData, LabelledImages, Progress
from cifar_sweeps.data.frozen_features import Extractor, LabelledFeatures, cached_features
from cifar_sweeps.data.splits import Splits, class_notes, split
from cifar_sweeps.data.whitening import Whitening, cached_whitening
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models.pretrained.transfer_net import TransferNet
from cifar_sweeps.models.summary import Summary
from cifar_sweeps.runs.reporters import RunDescription
from cifar_sweeps.system.cores import available_cores
from cifar_sweeps.system.malloc import retain_freed_memory
from cifar_sweeps.training.checkpoint_file import load_weights
from cifar_sweeps.training.determinism import make_deterministic, seed_everything, set_threads
from cifar_sweeps.training.optimizer import RegularizedOptimizer
from cifar_sweeps.training.precision import Precision, resolve_device, resolve_precision
from cifar_sweeps.training.schedules import Schedule


@dataclass(frozen=True)
class TrainingSetup:
    """Data, network, optimizer and schedule of one run, on the device that it trains on."""

    config: RunConfig
    data: ImageData
    splits: Splits
    net: nn.Module
    summary: Summary
    device: torch.device
    precision: Precision
    train: TrainBatches
    val: EvalBatches | None
    optimizer: RegularizedOptimizer
    schedule: Schedule
    whitening: Whitening | None

    def test_batches(self, augmented: bool = False) -> EvalBatches:
        """Return the test batches. Only for the final weights, and for the epochs in ``trainer.test_at``."""
        augmentation = build.augmentation(self.config) if augmented else None
        indices = torch.arange(len(self.data.test))
        inputs = _inputs(self.config, self.data, "test", indices, self.net, self.precision, self.device)
        return _eval_batches(self.config, inputs, indices, self.device, augmentation, self.whitening)

    def describe_budget(self) -> str:
        """Return which part of the full training this run is, in one line."""
        config = self.config
        return describe_budget(
            config.budget.name,
            config.trainer.epochs,
            config.published_epochs or config.full_epochs or (config.budget.full or {}).get("epochs"),
            self.splits.num_train,
            self.splits.available,
            "epochs on each part" if config.trainer.parts > 1 else "epochs",
        )

    def describe(self, name: str, folder: Path) -> RunDescription:
        """Return a description of the run for its log and the terminal."""
        counts = (self.splits.num_train, len(self.splits.val), len(self.data.test))
        images = "{}: {:,} training, {:,} validation, {:,} test images".format(self.data.name, *counts)
        if self.config.trainer.parts > 1:
            images += f"; {self.config.trainer.parts} parts, {self.config.trainer.epochs} epochs on each"
        adds = self.summary.multiply_adds / 1e6
        size = f"{self.summary.parameters:,} parameters, {adds:,.1f} M multiply-adds an image"
        count = torch.get_num_threads()
        machine = f"{self.device.type}, {self.precision.name}, {count} thread{'s' if count > 1 else ''}"
        text = self.describe_budget()
        budget = () if text == "full" else (f"budget {text}",)
        notes = (*self.data.notes, *self.splits.notes, *setting_notes(self.config, self.data, self.splits))
        notes += () if self.whitening is None else self.whitening.notes
        lines = (images, *notes, *budget, size, machine)
        return RunDescription(name, str(folder), self.config.total_epochs, lines)


def build_setup(config: RunConfig, initial: Path | None = None, progress: Progress | None = None) -> TrainingSetup:
    """Build the setup of a run. Raises ConfigError or DataError with everything that is wrong.

    initial: a checkpoint with the net's initial weights; the optimizer starts anew. progress: told what is loaded. Its
    ``config`` has the data's number of classes where that was left to the data.
    """
    set_threads(resolve_threads(config))
    make_deterministic()
    retain_freed_memory()
    device = resolve_device(config.trainer.device)
    precision = resolve_precision(config.trainer.precision, device)
    summary = build.check_config(config)
    data = build.images(config, progress)
    if build.with_classes_of(config, data) is not config:
        config = build.with_classes_of(config, data)
        summary = build.summarize_model(config)
    splits = check_data(config, summary, data)
    whitening = fitted_whitening(config, data, splits, progress)
    seed_everything(config.seed)
    layout = torch.channels_last if config.trainer.channels_last else torch.contiguous_format
    net = build.model(config)
    if initial is not None:
        load_weights(initial, net)
    net = net.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    used = splits.train if splits.val_from != "train" else torch.cat([splits.train, splits.val])
    train_inputs = _inputs(config, data, "train", used, net, precision, device)
    train = TrainBatches(
        train_inputs,
        splits.parts,
        config.trainer.batch_size,
        seed=config.seed,
        epochs_a_part=config.trainer.epochs,
        least=splits.least_batch,
        augmentation=build.augmentation(config),
        mean=config.data.mean,
        std=config.data.std,
        whitening=whitening,
        device=device,
        channels_last=config.trainer.channels_last,
    )
    val_inputs = train_inputs
    if splits.val_from != "train":
        val_inputs = _inputs(config, data, splits.val_from, splits.val, net, precision, device)
    val = None
    if len(splits.val):
        val = _eval_batches(config, val_inputs, splits.val, device, whitening=whitening)
    optimizer, schedule = build.optimizer(config, net), build.schedule(config)
    return TrainingSetup(
        config, data, splits, net, summary, device, precision, train, val, optimizer, schedule, whitening
    )


def resolve_threads(config: RunConfig) -> int:
    """Return the number of threads of a run: ``trainer.threads``, or all available cores if it is auto."""
    configured = config.trainer.threads
    return available_cores() if configured == "auto" else int(configured)


def check_data(config: RunConfig, summary: Summary, data: ImageData) -> Splits:
    """Split ``data`` as configured.

    Raises ConfigError if that is not possible, or if model and data differ in classes or image size.
    """
    outputs = summary.layers[-1].output_shape[-1]
    if outputs != len(data.classes):
        key = "data.num_classes" if config.data.num_classes == outputs else "model.num_classes"
        raise ConfigError(
            f"{key}={outputs}: {data.name} has {len(data.classes)} classes; "
            f"set {key}={len(data.classes)}, or leave it out"
        )
    height, width = data.train.images.shape[-2:]
    if (height, width) != config.data.image_shape:
        fitting = str(height) if height == width else f"[{height},{width}]"
        raise ConfigError(
            f"data.image_size={config.data.image_size}: {data.name} has images of {width}×{height} pixels; "
            f"set data.image_size={fitting}"
        )
    splits = split(
        data,
        config.data.val_fraction,
        config.data.split,
        config.data.train_size,
        config.seed,
        train_fraction=config.data.train_fraction,
        val_size=config.data.val_size,
        parts=config.trainer.parts,
        fold=config.data.fold,
        folds=config.data.folds,
    )
    return dataclasses.replace(splits, least_batch=_least_batch(config, splits))


def fitted_whitening(
    config: RunConfig, data: ImageData, splits: Splits, progress: Progress | None = None
) -> Whitening | None:
    """Return the whitening of the run's images, fitted on all that it trains on; None if it has none."""
    if config.data.whitening is None:
        return None
    folder = Path(config.outputs) / "data" / "whitening"
    return cached_whitening(folder, data, splits.train, config.data.whitening_epsilon, progress)


def setting_notes(config: RunConfig, data: ImageData, splits: Splits) -> tuple[str, ...]:
    """Return notes on settings that have no effect on these images, or another than one would think."""
    trainer, notes = config.trainer, [*class_notes(data, splits)]
    least = min(len(part) for part in splits.parts)
    if trainer.batch_size > least:
        notes.append(
            f"trainer.batch_size={trainer.batch_size}: is above the {least:,} training images, so an epoch is one step"
        )
    patience = trainer.early_stopping.patience
    if patience is not None and patience >= config.total_epochs:
        notes.append(
            f"trainer.early_stopping.patience={patience}: never stops a training of {config.total_epochs} epochs"
        )
    milestones = config.lr_schedule.get("milestones")
    if isinstance(milestones, list) and milestones and all(milestone >= trainer.epochs for milestone in milestones):
        notes.append(f"lr_schedule.milestones={milestones}: are not reached in {trainer.epochs} epochs")
    return tuple(notes)


def _least_batch(config: RunConfig, splits: Splits) -> int:
    """Return how many images the smallest batch needs, so that the model can train on it: one, or two.

    Two only where one would fail: a model that trains on a single image keeps the batches that it has always had.
    Raises ConfigError if some batch has one image whatever is joined.
    """
    batch, sizes = config.trainer.batch_size, [len(part) for part in splits.parts]
    if all(size % batch != 1 and batch > 1 for size in sizes) or build.trains_on_one_image(config):
        return 1
    why = "the model's batch norm cannot train on a batch of one image"
    if batch == 1:
        raise ConfigError(f"trainer.batch_size=1: {why}; use at least 2, or a model without batch norm")
    if 1 in sizes:
        key = f"trainer.parts={config.trainer.parts}" if len(sizes) > 1 else "data.train_size"
        raise ConfigError(f"{key}: leaves one image to train on, and {why}; train on more images")
    return 2


def _inputs(
    config: RunConfig,
    data: ImageData,
    split_name: Literal["train", "test", "val"],
    used: Tensor,
    net: nn.Module,
    precision: Precision,
    device: torch.device,
) -> LabelledImages | LabelledFeatures:
    """Return the images of one split, or their features if a frozen backbone always gets the same images."""
    images = {"train": data.train, "test": data.test, "val": data.val}[split_name]
    assert images is not None
    if not (isinstance(net, TransferNet) and net.frozen and isinstance(build.augmentation(config), Unchanged)):
        return images

    def apply(batch: Tensor) -> Tensor:
        with precision.autocast(device):
            features: Tensor = net.backbone(batch)
        return features

    # Under bf16 the head's first layer rounds its input to bf16 anyway, so that storing it as such loses nothing.
    backbone = net.backbone
    dtype = precision.dtype or torch.float32
    extractor = Extractor(f"{backbone.name}-{backbone.cut}", backbone.identity(), backbone.width, dtype, apply)
    trainer = config.trainer
    # Whatever changes the last bits, such as the number of threads, is part of the key: runs repeat bit for bit.
    computed_with = (device.type, torch.get_num_threads(), trainer.eval_batch_size, trainer.channels_last)
    return cached_features(
        Path(config.outputs) / "data" / "features",
        extractor,
        key=f"{data.fingerprint} {split_name} {config.data.mean} {config.data.std} {computed_with}",
        labels=images.labels,
        used=used,
        batches=lambda indices: _eval_batches(config, images, indices, device),
    )


def _eval_batches(
    config: RunConfig,
    images: LabelledImages | LabelledFeatures,
    indices: Tensor,
    device: torch.device,
    augmentation: Augmentation | None = None,
    whitening: Whitening | None = None,
) -> EvalBatches:
    return EvalBatches(
        images,
        indices,
        config.trainer.eval_batch_size,
        augmentation=augmentation,
        mean=config.data.mean,
        std=config.data.std,
        whitening=whitening,
        device=device,
        channels_last=config.trainer.channels_last,
    )
