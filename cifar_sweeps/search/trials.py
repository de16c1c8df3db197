"""The trials of a search, as what is proposed next depends on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cifar_sweeps.search.scheduler import Ending

Objective = Literal["val/accuracy", "val/loss", "epoch_seconds", "model/parameters"]
OBJECTIVES: dict[str, bool] = {
    "val/accuracy": True,
    "val/loss": False,
    "epoch_seconds": False,
    "model/parameters": False,
}
"""What a search can look for, and whether more of it is better."""


def objective_metrics(objectives: Sequence[Objective], select: str) -> dict[str, str]:
    """Return the metrics of a finished run that are its objectives. select: ``trainer.select``, best or last."""
    accuracy = "best/val_accuracy" if select == "best" else "final/val_accuracy"
    names: dict[str, str] = {"val/accuracy": accuracy, "epoch_seconds": "seconds_an_epoch"}
    return {each: names.get(each, each) for each in objectives}


def format_objective(objective: str, value: float) -> str:
    """Return the value of an objective as it is shown."""
    return f"{value:,.0f}" if objective == "model/parameters" else f"{value:.4f}"


@dataclass(frozen=True)
class Trial:
    """One trial: a job of the same number.

    values: of the keys that are searched, as they were typed. ending: None while it waits or trains. objectives: what
    came out, in the order of the search's; empty where it has not finished. curve: of a paused one, the metric that
    early stopping compares, by epoch.
    """

    number: int
    values: Mapping[str, str]
    ending: Ending | None = None
    objectives: tuple[float, ...] = ()
    curve: Mapping[int, float] = field(default_factory=dict)
