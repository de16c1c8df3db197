"""What a training says about itself: figures by epoch and by step, and the sums that they come from."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_sweeps.errors import TrainingError


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch gave. Losses are means in nats, accuracies fractions in [0, 1]; all weigh each image alike.

    Training figures are running means over the epoch's steps, dropout on, as Keras prints them. An objective is the
    loss with the L2/L1 penalty, None where there is no penalty: for training the running mean, for validation the
    validation loss plus the penalty of the weights at the epoch's end. Validation figures are None without such data.
    """

    epoch: int
    """From 1."""
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    train_objective: float | None
    val_objective: float | None
    lr: float
    """The rate at the epoch's first step; a warm-up or a cosine changes it from step to step."""
    epoch_seconds: float
    """The training part alone; validation is not in it."""
    images_per_second: float

    def by_name(self) -> dict[str, float]:
        """Return the figures by their names in the record, without the epoch and without those that there are not."""
        named = {
            "train/loss": self.train_loss,
            "train/accuracy": self.train_accuracy,
            "train/objective": self.train_objective,
            "val/loss": self.val_loss,
            "val/accuracy": self.val_accuracy,
            "val/objective": self.val_objective,
            "lr": self.lr,
            "epoch_seconds": self.epoch_seconds,
            "images_per_second": self.images_per_second,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class StepProgress:
    """How far an epoch is: figures are means over its steps so far."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True)
class Evaluation:
    """A model's answer to every image. loss: mean in nats; logits: (N, C) float32, labels: (N,) int64, both on CPU."""

    loss: float
    accuracy: float
    logits: Tensor
    labels: Tensor


class DivergedError(TrainingError):
    """A loss that is no longer finite, with the epoch and step (both from 1) where it was so first, and its value."""

    def __init__(self, epoch: int, step: int, value: float) -> None:
        self.epoch, self.step, self.value = epoch, step, value
        super().__init__(
            f"the loss is {value} at epoch {epoch}, step {step}: the training diverged; "
            "use a smaller optimizer.lr, or a warm-up (lr_schedule=cosine lr_schedule.warmup_epochs=1)"
        )

    def __reduce__(self) -> tuple[type["DivergedError"], tuple[int, int, float]]:
        return type(self), (self.epoch, self.step, self.value)


class MetricSums:
    """Sums over one epoch's images, kept on the device."""

    def __init__(self, device: torch.device) -> None:
        real = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self.started = time.perf_counter()
        self.images = 0
        self.loss = torch.zeros((), dtype=real, device=device)
        self.hits = torch.zeros((), dtype=real, device=device)
        self.penalty: Tensor | None = None
        # The steps that began with a finite sum end with the first bad one, and its loss is the last that was noted.
        self.finite_steps = torch.zeros((), dtype=real, device=device)
        self.noted_loss = torch.zeros((), dtype=real, device=device)

    @torch.no_grad()
    def add(self, loss: Tensor, hits: Tensor, penalty: Tensor | None, images: int) -> None:
        """Add a step: its mean loss, its right answers, the weights' penalty and its number of images."""
        self.images += images
        finite = self.loss.isfinite()
        self.finite_steps += finite
        self.noted_loss = torch.where(finite, loss, self.noted_loss)
        self.loss += loss * images
        self.hits += hits
        if penalty is not None:
            self.penalty = penalty * images if self.penalty is None else self.penalty + penalty * images

    def read(self, epoch: int) -> "RunningMeans":
        """Wait for the device, and return the means so far. Raises DivergedError."""
        penalty = torch.zeros_like(self.loss) if self.penalty is None else self.penalty
        sums = torch.stack([self.loss, self.hits, penalty.to(self.loss), self.finite_steps, self.noted_loss])
        loss, hits, penalty_sum, steps, noted = sums.tolist()  # .tolist() waits for the device: one read for all
        if not math.isfinite(loss):
            raise DivergedError(epoch, int(steps), noted)
        seconds = time.perf_counter() - self.started
        objective = None if self.penalty is None else (loss + penalty_sum) / self.images
        return RunningMeans(loss / self.images, hits / self.images, objective, seconds, self.images / seconds)


@dataclass(frozen=True)
class RunningMeans:
    """An epoch's running means so far; see `EpochMetrics` for their units."""

    loss: float
    accuracy: float
    objective: float | None
    seconds: float
    images_per_second: float
