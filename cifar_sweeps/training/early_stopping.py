"""When to give up: the caller asks after each epoch, and stops its loop itself."""

import math

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training.metrics import EpochMetrics


class EarlyStopper:
    """Exhausted after so many epochs in a row without an improvement by more than ``min_delta``.

    epochs: None means never. monitor: ``val/accuracy`` (must rise) or ``val/loss`` (must fall, in nats).
    A resume shows it the earlier epochs' metrics first, in order; that is all the state it needs.
    """

    def __init__(self, epochs: int | None, min_delta: float = 0.0, monitor: str = "val/accuracy") -> None:
        if monitor not in ("val/accuracy", "val/loss"):
            raise ConfigError(f"trainer.early_stopping.monitor={monitor}: must be val/accuracy or val/loss")
        self.epochs = epochs
        self.min_delta = min_delta
        self.monitor = monitor
        self._best = -math.inf
        self._waited = 0

    def should_stop(self, metrics: EpochMetrics) -> bool:
        """Count an epoch and say whether the patience is at its end.

        Raises ConfigError if the epoch has no validation figures.
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
            self._best, self._waited = score, 0
        else:
            self._waited += 1
        return self._waited >= self.epochs
