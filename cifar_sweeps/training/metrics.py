"""Training metrics by epoch and by step, and the sums from which they are computed."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_sweeps.errors import TrainingError


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one epoch. Losses are means in nats, accuracies fractions in [0, 1]; all weigh each image equally.

    Training metrics are running means over the epoch's steps, dropout on, as Keras prints them. An objective is the
    loss with the L2/L1 penalty, None where there is no penalty: for training the running mean, for validation the
    validation loss plus the penalty of the weights at the epoch's end. Validation metrics are None without validation.
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
    """Learning rate at the epoch's first step; a warm-up or a cosine changes it at every step."""
    epoch_seconds: float
    """Of training only, without validation."""
    images_per_second: float

    def by_name(self) -> dict[str, float]:
        """Return the metrics that are not None by their logged names, without the epoch."""
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
    """Progress within an epoch; metrics are means over its steps so far."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True)
class Evaluation:
    """Predictions for all images. loss: mean in nats; logits: (N, C) float32, labels: (N,) int64, both on the CPU."""

    loss: float
    accuracy: float
    logits: Tensor
    labels: Tensor


class DivergedError(TrainingError):
    """The loss is no longer finite; has the first epoch and step (both from 1) where it was not, and its value."""

    def __init__(self, epoch: int, step: int, value: float) -> None:
        self.epoch, self.step, self.value = epoch, step, value
        super().__init__(
            f"the loss is {value} at epoch {epoch}, step {step}: the training diverged; "
            "use a smaller optimizer.lr, or a warm-up (lr_schedule=cosine lr_schedule.warmup_epochs=1)"
        )

    def __reduce__(self) -> tuple[type["DivergedError"], tuple[int, int, float]]:
        return type(self), (self.epoch, self.step, self.value)


class MetricSums:
    """Sums of metrics over one epoch's images, kept on the device."""

    def __init__(self, device: torch.device) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self.started = time.perf_counter()
        self.images = 0
        self.loss = torch.zeros((), dtype=dtype, device=device)
        self.correct = torch.zeros((), dtype=dtype, device=device)
        self.penalty: Tensor | None = None
        # Steps up to and including the first with a non-finite loss, and the loss of the last of these.
        self.steps = torch.zeros((), dtype=dtype, device=device)
        self.last_loss = torch.zeros((), dtype=dtype, device=device)

    @torch.no_grad()
    def add(self, loss: Tensor, correct: Tensor, penalty: Tensor | None, images: int) -> None:
        """Add a step: its mean loss, number of correct predictions, the weights' penalty and number of images."""
        self.images += images
        finite = self.loss.isfinite()
        self.steps += finite
        self.last_loss = torch.where(finite, loss, self.last_loss)
        self.loss += loss * images
        self.correct += correct
        if penalty is not None:
            self.penalty = penalty * images if self.penalty is None else self.penalty + penalty * images

    def read(self, epoch: int) -> "RunningMeans":
        """Return the means so far, which waits for the device. Raises DivergedError if the loss is not finite."""
        penalty = torch.zeros_like(self.loss) if self.penalty is None else self.penalty
        sums = torch.stack([self.loss, self.correct, penalty.to(self.loss), self.steps, self.last_loss])
        loss, correct, penalty_sum, steps, last_loss = sums.tolist()  # .tolist() waits for the device: one read for all
        if not math.isfinite(loss):
            raise DivergedError(epoch, int(steps), last_loss)
        seconds = time.perf_counter() - self.started
        objective = None if self.penalty is None else (loss + penalty_sum) / self.images
        return RunningMeans(loss / self.images, correct / self.images, objective, seconds, self.images / seconds)


@dataclass(frozen=True)
class RunningMeans:
    """An epoch's running means so far; see `EpochMetrics` for their units."""

    loss: float
    accuracy: float
    objective: float | None
    seconds: float
    images_per_second: float
