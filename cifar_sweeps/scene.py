"""The scene of one run: everything that its training needs, built from its config and checked before the first step."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cifar_sweeps import build
from cifar_sweeps.config import RunConfig
from cifar_sweeps.cores import available_cores
from cifar_sweeps.data.batches import EvalBatches, TrainBatches
from cifar_sweeps.data.images import ImageData, LabelledImages
from cifar_sweeps.data.splits import Splits, split
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models.summary import Summary
from cifar_sweeps.training.determinism import make_deterministic, seed_everything, set_threads
from cifar_sweeps.training.optim import Stepper
from cifar_sweeps.training.precision import Precision, resolve_device, resolve_precision
from cifar_sweeps.training.schedules import Schedule
from cifar_sweeps.watching import RunFacts


@dataclass(frozen=True)
class Scene:
    """Data, network and optimizer of one run, on the device where it will compute."""

    config: RunConfig
    data: ImageData
    splits: Splits
    net: nn.Module
    summary: Summary
    device: torch.device
    precision: Precision
    train: TrainBatches
    val: EvalBatches | None
    stepper: Stepper
    schedule: Schedule

    def test_batches(self) -> EvalBatches:
        """Open the test set: once, when the training has ended and the weights have been chosen."""
        return _eval_batches(self.config, self.data.test, torch.arange(len(self.data.test)), self.device)

    def facts(self, name: str, folder: Path) -> RunFacts:
        """Return what a person should know before the first epoch."""
        sides = (self.train.num_images, len(self.splits.val), len(self.data.test))
        images = "{}: {:,} training, {:,} validation, {:,} test images".format(self.data.name, *sides)
        adds = self.summary.multiply_adds / 1e6
        size = f"{self.summary.parameters:,} parameters, {adds:,.1f} M multiply-adds an image"
        count = torch.get_num_threads()
        machine = f"{self.device.type}, {self.precision.name}, {count} thread{'s' if count > 1 else ''}"
        return RunFacts(name, str(folder), self.config.trainer.epochs, (images, *self.splits.notes, size, machine))


def set_up(config: RunConfig) -> Scene:
    """Build the scene. Raises ConfigError or DataError with all that stands against the run."""
    set_threads(threads(config))
    make_deterministic()
    device = resolve_device(config.trainer.device)
    precision = resolve_precision(config.trainer.precision, device)
    summary = build.check(config)
    data = build.images(config)
    splits = check_data(config, summary, data)
    seed_everything(config.seed)
    layout = torch.channels_last if config.trainer.channels_last else torch.contiguous_format
    net = build.model(config).to(device=device, memory_format=layout)  # type: ignore[call-overload]
    train = TrainBatches(
        data.train,
        splits.train,
        config.trainer.batch_size,
        seed=config.seed,
        augmentation=build.augmentation(config),
        mean=config.data.mean,
        std=config.data.std,
        device=device,
        channels_last=config.trainer.channels_last,
    )
    val = _eval_batches(config, data.train, splits.val, device) if len(splits.val) else None
    stepper, schedule = build.stepper(config, net), build.schedule(config)
    return Scene(config, data, splits, net, summary, device, precision, train, val, stepper, schedule)


def threads(config: RunConfig) -> int:
    """Return how many threads a run of this config uses: as configured, else as many as it may use cores."""
    configured = config.trainer.threads
    return available_cores() if configured == "auto" else int(configured)


def check_data(config: RunConfig, summary: Summary, data: ImageData) -> Splits:
    """Divide ``data`` as the config says.

    Raises ConfigError if it cannot be divided so, or if model and data differ in classes or image size.
    """
    outputs = summary.layers[-1].output_shape[-1]
    if outputs != len(data.classes):
        raise ConfigError(
            f"model.num_classes={outputs}: {data.name} has {len(data.classes)} classes; "
            f"set model.num_classes={len(data.classes)}"
        )
    size = data.train.images.shape[-1]
    if size != config.data.image_size:
        raise ConfigError(
            f"data.image_size={config.data.image_size}: {data.name} has images of {size}×{size} pixels; "
            f"set data.image_size={size}"
        )
    return split(data, config.data.val_fraction, config.data.split, config.data.train_size, config.seed)


def _eval_batches(config: RunConfig, images: LabelledImages, indices: Tensor, device: torch.device) -> EvalBatches:
    return EvalBatches(
        images,
        indices,
        config.trainer.eval_batch_size,
        mean=config.data.mean,
        std=config.data.std,
        device=device,
        channels_last=config.trainer.channels_last,
    )
