"""Early stopping: decide after each epoch whether the caller should stop training."""

import math

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training.metrics import EpochMetrics


class EarlyStopper:
    """Stops training after ``epochs`` epochs in a row without an improvement by more than ``min_delta``.

    epochs: None means never. monitor: ``val/accuracy`` (must rise) or ``val/loss`` (must fall, in nats).
    On resume, pass it the metrics of the earlier epochs first, in order; it keeps no other state.
    """

    def __init__(self, epochs: int | None, min_delta: float = 0.0, monitor: str = "val/accuracy") -> None:
        if monitor not in ("val/accuracy", "val/loss"):
            raise ConfigError(f"trainer.early_stopping.monitor={monitor}: must be val/accuracy or val/loss")
        self.epochs = epochs
        self.min_delta = min_delta
        self.monitor = monitor
        self._best = -math.inf
        self._epochs_without_improvement = 0

    def should_stop(self, metrics: EpochMetrics) -> bool:
        """Count an epoch, and return whether to stop.

        Raises ConfigError if the epoch has no validation metrics.
        """
        if self.epochs is None:
            return False
        score = metrics.val_accuracy if self.monitor == "val/accuracy" else metrics.val_loss
        if score is None:
            raise ConfigError(
                f"trainer.early_stopping.monitor={self.monitor}: there is no validation data; "
                "set data.val_fraction above 0, or trainer.early_stopping.patience=null"
            )
        if self.monitor == "val/loss":
            score = -score
        if score > self._best + self.min_delta:
            self._best, self._epochs_without_improvement = score, 0
        else:
            self._epochs_without_improvement += 1
        return self._epochs_without_improvement >= self.epochs
