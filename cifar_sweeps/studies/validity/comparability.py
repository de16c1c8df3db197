"""Say how a run was trained otherwise than its arm's file says: then its document's figures are of another training."""

import copy
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from cifar_sweeps.config.budget import apply_budget
from cifar_sweeps.config.compose import compose_all
from cifar_sweeps.config.parse import is_place
from cifar_sweeps.config.upgrades import with_added_keys
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import parse_overrides
from cifar_sweeps.studies.arms import STAGED
from cifar_sweeps.studies.study import StudyRun

_GROUPS = ("model", "optimizer", "augmentation", "lr_schedule")
"""Groups of one object: of another class, its arguments say nothing more."""
_PENALTIES = ("l2", "l1", "weight_decay")
"""Of `regularization`; the rest of it, as kernel sizes, is what a model's file takes of it."""
_OF_DATA = ("val_fraction", "val_size", "split", "fold", "folds", "mean", "std", "image_size")
"""Of `data`: how it is used. Which images they are, and how many are trained on, is said elsewhere."""
_UNHEEDED_OF_TRAINER = frozenset(
    {"epochs", "device", "precision", "threads", "channels_last", "resume", "eval_batch_size", "test_at"}
    | {"test_augmented", "validate_every"}
)
_NAMES = {
    "trainer.batch_size": "batch size",
    "trainer.parts": "parts of the data",
    "optimizer.lr": "learning rate",
    "data.val_size": "validation images",
    "data.val_fraction": "validation fraction",
    "data.split": "split",
    "data.image_size": "image size",
    "model.kernel_sizes": "kernel size",
    "regularization.l2": "L2",
    "trainer.init_from": "initial weights",
}


@dataclass(frozen=True)
class Departure:
    """A value in which a run was trained otherwise than its arm says."""

    key: str
    arm: object
    run: object

    @property
    def text(self) -> str:
        """``batch size 10 instead of 256``."""
        missing = "all" if self.key == "data.val_size" else "none"
        shown = [missing if value is None else _shown(value) for value in (self.run, self.arm)]
        return f"{_NAMES.get(self.key, self.key)} {shown[0]} instead of {shown[1]}"


def departures(arm: Mapping[str, Any], run: Mapping[str, Any]) -> list[Departure]:
    """Return in what a run was trained otherwise than its arm, besides length, images, seed, device and precision.

    arm, run: two resolved configs of nested plain values. All that is counted in epochs (milestones, patience) is
    taken relative to the length of the training, which the budget scales.
    """
    wanted, found = _trained(_of_equal_length(with_added_keys(arm), run)), _trained(with_added_keys(run))
    keys = [key for key in dict.fromkeys((*wanted, *found)) if not _equal(wanted.get(key), found.get(key))]
    classes = {key.removesuffix("._target_") for key in keys if key.endswith("._target_")}
    return [
        Departure(key.removesuffix("._target_"), wanted.get(key), found.get(key))
        for key in keys
        if key.endswith("._target_") or key.partition(".")[0] not in classes
    ]


def departures_by_arm(configs: Mapping[str, Mapping[str, Any]], runs: Sequence[StudyRun]) -> dict[str, list[Departure]]:
    """Return the departures of each arm whose runs name an experiment that there is; of others nothing is known.

    configs: one per arm, as recorded.
    """
    chosen: dict[str, tuple[str, Path | None]] = {}
    for run in runs:
        experiment = experiment_of(run)
        if experiment is not None and is_whole(configs.get(run.arm, {})):
            folder = run.tag("config_dir")
            chosen[run.arm] = (experiment, Path(folder) if folder and Path(folder).is_dir() else None)
    arms = _documented(chosen.values())
    found = {
        arm: departures(arms[choice], configs[arm]) for arm, choice in chosen.items() if arms.get(choice) is not None
    }
    for run in runs:
        if run.tag(STAGED) and run.arm in found:
            staged = f"extended after epoch {run.tag('extended_after')}"
            found[run.arm] = [*found[run.arm], Departure("training", "at once", staged)]
    return found


def is_whole(config: Mapping[str, Any]) -> bool:
    """Return whether a recorded config has all that is compared: of a damaged one, nothing is known."""
    groups = (*_GROUPS, "regularization", "data", "trainer")
    return all(isinstance(config.get(group), Mapping) for group in groups) and "epochs" in config["trainer"]


def _documented(
    chosen: Iterable[tuple[str, Path | None]],
) -> dict[tuple[str, Path | None], Mapping[str, Any]]:
    """Compose each experiment alone; one that is gone, or that cannot be composed any more, is left out."""
    found: dict[tuple[str, Path | None], Mapping[str, Any]] = {}
    by_folder: dict[Path | None, list[str]] = {}
    for experiment, folder in dict.fromkeys(chosen):
        by_folder.setdefault(folder, []).append(experiment)
    for folder, experiments in by_folder.items():
        try:
            composed = compose_all([[f"experiment={name}"] for name in experiments], folder)
            found.update({(name, folder): each.as_dict for name, each in zip(experiments, composed, strict=True)})
        except ConfigError:
            for name in experiments:  # one of them: the others count
                found.update(_documented_alone(name, folder))
    return found


def _documented_alone(name: str, folder: Path | None) -> dict[tuple[str, Path | None], Mapping[str, Any]]:
    try:
        return {(name, folder): compose_all([[f"experiment={name}"]], folder)[0].as_dict}
    except ConfigError:
        return {}


def experiment_of(run: StudyRun) -> str | None:
    """Return the arm that a run chose, by its sweep or by an override."""
    if run.swept.get("experiment"):
        return run.swept["experiment"]
    typed = run.tag("overrides") or ""
    if "experiment=" not in typed:
        return None
    try:
        lines = [line for line in shlex.split(typed) if line.lstrip("+").startswith("experiment=")]
        overrides = parse_overrides(lines)
    except (HydraException, ValueError):  # cut at what MLflow keeps
        return None
    named = [each for each in overrides if each.key_or_group == "experiment" and not each.is_sweep_override()]
    return str(named[-1].value()) if named else None


def _of_equal_length(arm: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    scaled = copy.deepcopy(dict(arm))
    factor = run["trainer"]["epochs"] / scaled["trainer"]["epochs"]
    scaled["budget"] = {"name": "equal", "epochs": factor, "images": 1, "least_epochs": 1, "full": None}
    return apply_budget(scaled)


def _trained(config: Mapping[str, Any]) -> dict[str, object]:
    """Return what decides over a training, by dotted key."""
    chosen: dict[str, Any] = {group: config[group] for group in _GROUPS}
    chosen["model"] = {key: value for key, value in config["model"].items() if key not in ("num_classes", "weights")}
    chosen["regularization"] = {key: config["regularization"][key] for key in _PENALTIES}
    chosen["data"] = {key: config["data"].get(key) for key in _OF_DATA}
    chosen["trainer"] = {key: value for key, value in config["trainer"].items() if key not in _UNHEEDED_OF_TRAINER}
    return {key: value for key, value in _leaves(chosen, "") if not is_place(key)}


def _leaves(value: object, path: str) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _equal(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):  # epochs that were scaled by a factor
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other


def _shown(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    name = text.rpartition(".")[2] if text.count(".") > 1 and text[:1].isalpha() else text  # a class's own name
    return name if len(name) <= 40 else f"{name[:39]}…"
