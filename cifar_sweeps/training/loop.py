"""Training loop and evaluation: `fit` is a generator that trains an epoch and yields its metrics."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.system.seeds import derive_seed
from cifar_sweeps.training.metrics import (
    DivergedError,
    EpochMetrics,
    Evaluation,
    MetricSums,
    RunningMeans,
    StepProgress,
)
from cifar_sweeps.training.optimizer import RegularizedOptimizer
from cifar_sweeps.training.precision import Precision
from cifar_sweeps.training.schedules import Schedule

# How often on_step is called at most: a progress bar needs no more, and each call waits for the device.
PROGRESS_SECONDS = 0.2


class Batches(Protocol):
    """Evaluation batches: images (B, 3, H, W) float32 and labels (B,) int64 on the model's device, always the same."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


class EpochBatches(Protocol):
    """Training batches, new each epoch and derived from its number alone. Shapes as in `Batches`."""

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch (from 1)."""
        ...

    def steps(self, epoch: int) -> int:
        """Return the number of batches of that epoch."""
        ...


def fit(
    model: nn.Module,
    batches: EpochBatches,
    optimizer: RegularizedOptimizer,
    schedule: Schedule,
    *,
    epochs: int,
    parts: int = 1,
    val_batches: Batches | None = None,
    validate_every: int = 1,
    first_epoch: int = 1,
    seed: int,
    precision: Precision,
    on_step: Callable[[StepProgress], None] | None = None,
) -> Iterator[EpochMetrics]:
    """Train ``model`` (images to logits (B, C)) and yield each epoch's metrics, from ``first_epoch`` to ``epochs``.

    parts: number of parts of the training images; the schedule counts passes over all of them.
    validate_every: in epochs; the last one is always validated, and epochs in between have no validation metrics.
    Between epochs the caller may log, save or stop. on_step is called every `PROGRESS_SECONDS` at most, and after
    an epoch's last step. All randomness of an epoch derives from (seed, epoch), whatever ran before.
    Raises ConfigError when called if the schedule needs validation data and there is none; DivergedError from the epoch
    in which a loss is not finite.
    """
    if schedule.needs_validation and val_batches is None:
        raise ConfigError(
            "lr_schedule=plateau: follows the validation loss, and there is no validation data; "
            "set data.val_fraction above 0, or use lr_schedule=step"
        )

    def train_epochs() -> Iterator[EpochMetrics]:
        for epoch in range(first_epoch, epochs + 1):
            first_lr = optimizer.base_lr * schedule.factor((epoch - 1) / parts)
            torch.manual_seed(derive_seed(seed, "dropout", epoch))
            train = _train_epoch(model, batches, optimizer, schedule, epoch, parts, precision, on_step)
            validation = None
            if val_batches is not None and (epoch % validate_every == 0 or epoch == epochs):
                validation = _validate(model, val_batches, precision, epoch, batches.steps(epoch))
            metrics = _metrics(epoch, first_lr, train, validation, optimizer.penalty())
            monitored_loss = metrics.val_loss if metrics.val_objective is None else metrics.val_objective
            if monitored_loss is not None:
                schedule.observe(monitored_loss)  # with the penalty, as Keras' val_loss has it
            yield metrics

    return train_epochs()


def evaluate(model: nn.Module, batches: Batches, precision: Precision) -> Evaluation:
    """Predict all images of ``batches`` (at least one) in evaluation mode, and leave the model unchanged."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        # One autocast context for all batches, so that its cache casts each weight once.
        with torch.inference_mode(), precision.autocast(_device_of(model)):
            outputs = [(model(images), labels) for images, labels in batches]
    finally:
        for module, mode in modes.items():
            module.training = mode
    logits = torch.cat([logits for logits, _ in outputs]).float().cpu()
    labels = torch.cat([labels for _, labels in outputs]).cpu()
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return Evaluation(F.cross_entropy(logits.double(), labels).item(), accuracy, logits, labels)


def _train_epoch(
    model: nn.Module,
    batches: EpochBatches,
    optimizer: RegularizedOptimizer,
    schedule: Schedule,
    epoch: int,
    parts: int,
    precision: Precision,
    on_step: Callable[[StepProgress], None] | None,
) -> RunningMeans:
    model.train()
    device, steps = _device_of(model), batches.steps(epoch)
    autocast = precision.autocast(device)
    sums = MetricSums(device)
    last_report = sums.started
    for step, (images, labels) in enumerate(batches.epoch(epoch), start=1):
        optimizer.lr = optimizer.base_lr * schedule.factor((epoch - 1 + (step - 1) / steps) / parts)
        with autocast:
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        correct = (logits.detach().argmax(1) == labels).sum()
        sums.add(loss, correct, optimizer.penalty(), len(labels))
        optimizer.step()
        if on_step is not None and (step == steps or time.perf_counter() - last_report >= PROGRESS_SECONDS):
            means = sums.read(epoch)
            on_step(StepProgress(epoch, step, steps, means.loss, means.accuracy, means.images_per_second))
            last_report = time.perf_counter()
    return sums.read(epoch)


def _validate(model: nn.Module, batches: Batches, precision: Precision, epoch: int, step: int) -> Evaluation:
    # The epoch's last step can make weights non-finite, which no training loss of this epoch shows.
    validation = evaluate(model, batches, precision)
    if not math.isfinite(validation.loss):
        raise DivergedError(epoch, step, validation.loss)
    return validation


def _metrics(
    epoch: int, lr: float, train: RunningMeans, validation: Evaluation | None, penalty: Tensor | None
) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=train.loss,
        train_accuracy=train.accuracy,
        val_loss=None if validation is None else validation.loss,
        val_accuracy=None if validation is None else validation.accuracy,
        train_objective=train.objective,
        val_objective=None if validation is None or penalty is None else validation.loss + penalty.item(),
        lr=lr,
        epoch_seconds=train.seconds,
        images_per_second=train.images_per_second,
    )


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
