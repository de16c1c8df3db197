"""Tell in what a launch differs from a previous one besides its swept values: then it is another sweep."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.identity import NUMBERS, own_tags
from cifar_sweeps.studies.pooling import CODE, FIRST_NUMBERS, IMAGES, arm_values
from cifar_sweeps.sweeps.manifest import SweepManifest, swept_values
from cifar_sweeps.sweeps.previous.launches import PreviousJob
from cifar_sweeps.system.files import safe_load_yaml
from cifar_sweeps.tracking.recorded_run import PREFIX
from cifar_sweeps.training.precision import resolve_device, resolve_precision

_MAX_SHOWN = 3
_IMAGE_KEYS = frozenset({"data.image_size", "data.fit", "data.background", "data.labels"})
"""Keys beside ``data.source`` that say how images are read."""


@dataclass(frozen=True)
class NewJob:
    """A job of this launch. identity: `runs.identity.training_hash` of its run; fingerprint: of its images."""

    overrides: tuple[str, ...]
    config: RunConfig
    fingerprint: str
    identity: str


def fixed_values(config: DictConfig, swept: Iterable[str]) -> dict[str, str]:
    """Return the values that all jobs of a sweep share, by key, as the launch resolved them.

    config: the multirun's. Left out: swept keys and groups, what cannot change a result, and all of it where a value
    can be resolved for a job alone.
    """
    plain: dict[str, Any] = {}
    try:
        for key in config:
            if key != "hydra":
                value = config[key]
                plain[str(key)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException:
        return {}
    kept = arm_values(flatten(plain), {})
    return {
        key: value
        for key, value in kept.items()
        if not any(key == each or key.startswith(f"{each.replace('/', '.')}.") for each in swept)
    }


def selection_settings(config: DictConfig, is_search: bool) -> dict[str, str]:
    """Return the settings by which a sweep's jobs are proposed and paused, by key; those without effect are left out.

    Another launch may change them and go on with the same jobs: what these have learned stays true.
    """
    settings = {}
    if is_search:
        for key in ("sampler", "seed", "objectives", "conditions"):
            value = config.hydra.sweeper.get(key)
            if value is not None:
                is_one = isinstance(value, str) and key in ("objectives", "conditions")  # which means a list of one
                settings[f"hydra.sweeper.{key}"] = f"[{value}]" if is_one else _shown(value)
    rule = str(config.sweep.early_stopping)
    settings["sweep.early_stopping"] = rule
    if rule != "none":
        keys = ("metric", "grace_epochs", "eta") if rule == "asha" else ("metric", "grace_epochs")
        settings |= {f"sweep.{key}": str(config.sweep[key]) for key in keys}
    return settings


def changed_selection(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return a line on the `selection_settings` that a launch changes in a sweep that it joins; empty without any."""
    known = {key: value for key, value in now.items() if key in before}  # others have only begun to mean something
    changed = _changed({key: before[key] for key in known}, known)
    return f"Changed since its last launch: {changed}. What its jobs have trained stays." if changed else ""


def _shown(value: object) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, ListConfig) else str(value)


def difference(
    jobs: Sequence[NewJob], fixed: Mapping[str, str], manifest: SweepManifest, previous: Sequence[PreviousJob]
) -> str:
    """Return what separates this launch from a previous one besides swept values; empty if nothing does.

    fixed: `fixed_values` of this launch. manifest, previous: of the previous one.
    """
    if manifest.fixed and fixed:
        changed = _changed(manifest.fixed, fixed)
        if changed:
            return changed
    known = {job.identity for job in jobs}
    earlier = [_Earlier(job) for job in previous if job.identity not in known]
    for job in jobs:
        choice = _without_seed(swept_values(list(job.overrides), manifest.swept))
        for one in earlier:
            changed = _difference_of(job, one, one.choice == choice)
            if changed:
                return changed
    return ""


class _Earlier:
    """What a previous job recorded. Its config is read only where it decides: there may be a thousand."""

    def __init__(self, job: PreviousJob) -> None:
        self._folder = job.folder
        self.tags = {key.removeprefix(PREFIX): value for key, value in job.run.tags.items()}
        self.choice = _without_seed(json.loads(self.tags.get("swept", "{}")))

    @property
    def has_begun(self) -> bool:
        """Whether it got as far as its images."""
        return "data_fingerprint" in self.tags

    @cached_property
    def values(self) -> dict[str, str]:
        """All that it was trained from, by key; empty if it was stopped before that was written."""
        try:
            config = safe_load_yaml(self._folder / "config.yaml")
        except (OSError, ValueError):
            return {}
        compared = ("data_fingerprint", "numbers", "own_code", "weight_files", "device", "precision")
        kept = {str(key): self.tags[key] for key in compared if key in self.tags}
        return arm_values(flatten(config), kept) if isinstance(config, dict) else {}


def _difference_of(job: NewJob, earlier: _Earlier, is_same_arm: bool) -> str:
    """Return what separates a job from an earlier one: any value if both are of one arm, else images and code."""
    if not earlier.has_begun:
        return ""
    if is_same_arm:  # perhaps with another seed
        return _changed(earlier.values, _own_values(job)) if earlier.values else ""
    if earlier.tags.get("numbers", str(FIRST_NUMBERS)) != str(NUMBERS):
        return _text(CODE, None, None)
    if earlier.tags["data_fingerprint"] != job.fingerprint and _read_alike(earlier.values, _own_values(job)):
        return _text(IMAGES, None, None)
    return ""


def _own_values(job: NewJob) -> dict[str, str]:
    device = resolve_device(job.config.trainer.device)
    precision = resolve_precision(job.config.trainer.precision, device).name
    tags = {
        "data_fingerprint": job.fingerprint,
        "numbers": str(NUMBERS),
        "device": device.type,
        "precision": precision,
        **own_tags(job.config),
    }
    return arm_values(flatten(job.config.as_dict), tags)


def _without_seed(values: Mapping[str, str]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if key != "seed"}


def _read_alike(values: Mapping[str, str], own: Mapping[str, str]) -> bool:
    """Return whether two jobs name the same images: then these can differ only where the files have changed."""
    keys = {key for key in (*values, *own) if key.startswith("data.source.") or key in _IMAGE_KEYS}
    return bool(values) and all(values.get(key) == own.get(key) for key in keys)


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the keys whose values differ, with both: ``optimizer.lr was 0.001, is 0.002``."""
    keys = sorted({*before, *now}, key=lambda key: (key not in (IMAGES, CODE), key))
    texts = [_text(key, before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)]
    more = f", and {len(texts) - _MAX_SHOWN} more" if len(texts) > _MAX_SHOWN else ""
    return "; ".join(texts[:_MAX_SHOWN]) + more


def _text(key: str, before: str | None, now: str | None) -> str:
    if key == IMAGES:
        return "the images have changed"
    if key == CODE:
        return "another version of the code's numbers"
    return f"{key} was {'not there' if before is None else before}, is {'not there' if now is None else now}"
