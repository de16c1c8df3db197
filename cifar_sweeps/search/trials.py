"""The trials of a search, as what is proposed next depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cifar_sweeps.search.scheduler import Ending

Objective = Literal["val/accuracy", "val/loss", "epoch_seconds", "model/parameters"]
OBJECTIVES: dict[Objective, bool] = {
    "val/accuracy": True,
    "val/loss": False,
    "epoch_seconds": False,
    "model/parameters": False,
}
"""What a search can look for, and whether more of it is better."""


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
