"""Budgets: shorten a training by fixed factors, and describe how much of the full training is left.

``budget=short`` multiplies epochs and training images by its factors. Everything counted in epochs is scaled too: the
schedule's length, milestones, warm-up and patience, the patience of early stopping, the epochs of ``trainer.test_at``.
Validation and test images are not cut.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Budget:
    """Factors in (0, 1] for epochs and training images, and the minimum number of epochs (capped at the config's own).

    ``full``: the original epochs and training images of a config that has been scaled; None in one that has not.
    """

    name: str
    epochs: float
    images: float
    least_epochs: int
    full: dict[str, Any] | None = None


def apply_budget(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config (nested plain values) scaled to its budget; one that is scaled already is returned unchanged."""
    config = copy.deepcopy(dict(plain))
    budget, trainer, data = config["budget"], config["trainer"], config["data"]
    if budget.get("full") is not None or (budget["epochs"] == 1 and budget["images"] == 1):
        return config
    budget["full"] = {"epochs": trainer["epochs"], "train_size": data["train_size"]}
    least = min(budget["least_epochs"], trainer["epochs"])
    # The factor after rounding to whole epochs, so that everything counted in epochs still fits.
    factor = max(least, round(trainer["epochs"] * budget["epochs"])) / trainer["epochs"]
    trainer["epochs"] = round(trainer["epochs"] * factor)
    trainer["test_at"] = _sorted_unique([_scale_count(epoch, factor) for epoch in trainer["test_at"]])
    stopping = trainer["early_stopping"]
    if stopping["patience"] is not None:
        stopping["patience"] = _scale_count(stopping["patience"], factor)
    _scale_schedule(config["lr_schedule"], factor)
    _scale_epochs([*config.get("published", []), *config.get("claims", [])], factor)
    if data["train_size"] is None:
        data["train_fraction"] = data["train_fraction"] * budget["images"]
    else:
        data["train_size"] = _scale_count(data["train_size"], budget["images"])
    return config


def scale_claim_epochs(claims: list[dict[str, Any]], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return claims with their epochs scaled as those of a config that has been scaled to its budget, in place."""
    budget, trainer = config.get("budget"), config.get("trainer")
    full = budget.get("full") if isinstance(budget, Mapping) else None
    if isinstance(full, Mapping) and full.get("epochs") and isinstance(trainer, Mapping):
        _scale_epochs(claims, trainer["epochs"] / full["epochs"])
    return claims


def describe_budget(
    name: str, epochs: int, published_epochs: int | None, images: int, all_images: int, epochs_unit: str = "epochs"
) -> str:
    """Return how much of the full training a run is: ``full``, or ``short: 4 of 35 epochs, 2,000 of 40,000 images``.

    A run shortened by overrides, not by a budget, is called ``own``.
    """
    cuts = []
    if published_epochs is not None and epochs != published_epochs:
        cuts.append(f"{epochs:,} of {published_epochs:,} {epochs_unit}")
    if images < all_images:
        cuts.append(f"{images:,} of {all_images:,} training images")
    if not cuts and name == "full":
        return "full"
    return f"{'own' if name == 'full' else name}: {', '.join(cuts) or 'as long as the full one'}"


def _scale_epochs(entries: list[dict[str, Any]], factor: float) -> None:
    for entry in entries:
        scaled = ("epoch", "at", "against_at", *(("first_epoch",) if entry.get("extreme") else ()))
        for key in scaled:  # the values of a curve stay those of their epochs
            if entry.get(key) is not None:
                entry[key] = _scale_count(entry[key], factor)


def _scale_schedule(schedule: dict[str, Any], factor: float) -> None:
    for key in ("epochs", "patience"):
        if isinstance(schedule.get(key), int):
            schedule[key] = _scale_count(schedule[key], factor)
    if isinstance(schedule.get("milestones"), list):
        schedule["milestones"] = _sorted_unique([_scale_count(epoch, factor) for epoch in schedule["milestones"]])
    if isinstance(schedule.get("warmup_epochs"), int | float):
        schedule["warmup_epochs"] = schedule["warmup_epochs"] * factor


def _scale_count(count: int, factor: float) -> int:
    return max(1, round(count * factor))


def _sorted_unique(epochs: list[int]) -> list[int]:
    """Return the epochs in order; those that scale to the same number count once."""
    return sorted(set(epochs))
