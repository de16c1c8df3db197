"""Learning rate schedules, as factors of the optimizer's learning rate.

A schedule is called before every step with ``progress``: the epochs done so far, with the fraction of the current one
(0.0 at the first step; 2.5 in the middle of the third epoch). After each epoch it may observe the validation loss.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from cifar_sweeps.errors import ConfigError

# Fraction of the full learning rate at which a warm-up starts: at exactly 0 the first step would have no effect.
WARMUP_START = 0.01


class Schedule:
    """Base class of schedules. They depend only on the progress and have no state, except `Plateau`."""

    needs_validation = False

    def factor(self, progress: float) -> float:
        """Return the factor of the base learning rate. progress: in epochs, at least 0."""
        raise NotImplementedError

    def observe(self, val_loss: float) -> None:
        """Observe an epoch's validation loss (mean cross-entropy in nats); ignored by default."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resume needs, as plain numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`."""


class Constant(Schedule):
    """Constant learning rate."""

    def factor(self, progress: float) -> float:
        """Return 1."""
        return 1.0


class Step(Schedule):
    """Learning rate times ``gamma`` after each milestone: ``milestones=[170]`` lowers it from epoch 171 on.

    milestones: increasing integers of at least 1, in epochs; one after the last epoch is never reached.
    gamma: in (0, 1]. Raises ConfigError with all errors.
    """

    def __init__(self, milestones: Sequence[int], gamma: float) -> None:
        _raise_if_any(_step_errors(milestones, gamma))
        self.milestones = tuple(milestones)
        self.gamma = gamma

    def factor(self, progress: float) -> float:
        """Return gamma to the power of the milestones passed."""
        return float(self.gamma ** sum(progress >= milestone for milestone in self.milestones))


class Cosine(Schedule):
    """A linear warm-up over ``warmup_epochs``, then half a cosine from 1 down to ``final_fraction`` at ``epochs``.

    epochs: length of the training, warm-up included. Loshchilov & Hutter 2017 (SGDR) without restarts.
    Raises ConfigError unless 0 <= warmup_epochs < epochs and 0 <= final_fraction <= 1.
    """

    def __init__(self, epochs: int, warmup_epochs: float = 0.0, final_fraction: float = 0.0) -> None:
        _raise_if_any(_cosine_errors(epochs, warmup_epochs, final_fraction))
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.final_fraction = final_fraction

    def factor(self, progress: float) -> float:
        """Return a factor in [WARMUP_START, 1] while warming up, then in [final_fraction, 1]."""
        if progress < self.warmup_epochs:
            return WARMUP_START + (1 - WARMUP_START) * progress / self.warmup_epochs
        done = min(1.0, (progress - self.warmup_epochs) / (self.epochs - self.warmup_epochs))
        return self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + math.cos(math.pi * done))


class Plateau(Schedule):
    """Learning rate times ``factor`` whenever the validation loss has not fallen for ``patience`` epochs.

    As Keras' ReduceLROnPlateau: an epoch counts as better if it lies more than ``min_delta`` (nats) below the best so
    far, and after a reduction the count starts again. The product of all reductions stays at least ``min_factor``.
    Raises ConfigError with all errors.
    """

    needs_validation = True

    def __init__(
        self, factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4, min_factor: float = 0.0
    ) -> None:
        _raise_if_any(_plateau_errors(factor, patience, min_delta, min_factor))
        self.reduction = factor
        self.patience = patience
        self.min_delta = min_delta
        self.min_factor = min_factor
        self._current = 1.0
        self._best = math.inf
        self._waited = 0

    def factor(self, progress: float) -> float:
        """Return the product of the reductions so far, which does not depend on the progress."""
        return self._current

    def observe(self, val_loss: float) -> None:
        """Count an epoch (validation loss in nats); reduce the rate after ``patience`` epochs without improvement."""
        if val_loss < self._best - self.min_delta:
            self._best, self._waited = val_loss, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            self._current, self._waited = max(self.min_factor, self._current * self.reduction), 0

    def state_dict(self) -> dict[str, Any]:
        """Return the current factor, the best validation loss (nats) and the epochs waited since."""
        return {"current": self._current, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`."""
        self._current, self._best, self._waited = state["current"], state["best"], state["waited"]


def _raise_if_any(errors: Iterator[str]) -> None:
    messages = tuple(errors)
    if messages:
        raise ConfigError(messages)


def _step_errors(milestones: Sequence[int], gamma: float) -> Iterator[str]:
    increasing = all(earlier < later for earlier, later in itertools.pairwise(milestones))
    if not milestones or not increasing or not all(isinstance(m, int) and m >= 1 for m in milestones):
        yield (
            f"lr_schedule.milestones={list(milestones)}: must be increasing integers of at least 1, such as [30, 40]; "
            "use lr_schedule=constant for none"
        )
    if not 0 < gamma <= 1:
        yield f"lr_schedule.gamma={gamma}: must be above 0 and at most 1; use e.g. 0.1"


def _cosine_errors(epochs: int, warmup_epochs: float, final_fraction: float) -> Iterator[str]:
    if not epochs >= 1:
        yield f"lr_schedule.epochs={epochs}: must be at least 1; use ${{trainer.epochs}}"
    if not 0 <= warmup_epochs < epochs:
        yield (
            f"lr_schedule.warmup_epochs={warmup_epochs}: must be at least 0 and below lr_schedule.epochs={epochs}; "
            "use a shorter warm-up or a larger trainer.epochs"
        )
    if not 0 <= final_fraction <= 1:
        yield f"lr_schedule.final_fraction={final_fraction}: must be in [0, 1]; use e.g. 0.01"


def _plateau_errors(factor: float, patience: int, min_delta: float, min_factor: float) -> Iterator[str]:
    if not 0 < factor < 1:
        yield f"lr_schedule.factor={factor}: must be above 0 and below 1; use e.g. 0.1"
    if not (isinstance(patience, int) and patience >= 1):
        yield f"lr_schedule.patience={patience}: must be a whole number of epochs of at least 1; use e.g. 5"
    if not (math.isfinite(min_delta) and min_delta >= 0):
        yield f"lr_schedule.min_delta={min_delta}: must be finite and not negative; use e.g. 0.0001"
    if not 0 <= min_factor <= 1:
        yield f"lr_schedule.min_factor={min_factor}: must be in [0, 1]; use e.g. 0.001"
