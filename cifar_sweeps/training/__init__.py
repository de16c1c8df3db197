"""Training: loop, regularized optimizer, schedules, checkpoints, precision, determinism."""

from cifar_sweeps.training.checkpoint_file import restore
from cifar_sweeps.training.checkpoint_manager import CheckpointManager
from cifar_sweeps.training.determinism import make_deterministic, seed_everything, set_threads
from cifar_sweeps.training.early_stopping import EarlyStopper
from cifar_sweeps.training.loop import evaluate, fit
from cifar_sweeps.training.metrics import DivergedError, EpochMetrics, Evaluation, StepProgress
from cifar_sweeps.training.optimizer import RegularizedOptimizer, make_optimizer
from cifar_sweeps.training.precision import Precision, resolve_device, resolve_precision
from cifar_sweeps.training.schedules import Schedule

__all__ = [
    "CheckpointManager",
    "DivergedError",
    "EarlyStopper",
    "EpochMetrics",
    "Evaluation",
    "Precision",
    "RegularizedOptimizer",
    "Schedule",
    "StepProgress",
    "evaluate",
    "fit",
    "make_deterministic",
    "make_optimizer",
    "resolve_device",
    "resolve_precision",
    "restore",
    "seed_everything",
    "set_threads",
]
