"""Tell in what a launch differs from a previous one besides its swept values: then it is another sweep."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.identity import NUMBERS
from cifar_sweeps.studies.pooling import CODE, IMAGES, arm_values
from cifar_sweeps.sweeps.manifest import SweepManifest, swept_values
from cifar_sweeps.sweeps.previous.launches import PreviousJob
from cifar_sweeps.system.files import safe_load_yaml
from cifar_sweeps.tracking.store import PREFIX
from cifar_sweeps.training.precision import resolve_device, resolve_precision

_MAX_SHOWN = 3


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
    recorded = [_recorded_values(job) for job in previous if job.identity not in known]
    for job in jobs:
        own = _own_values(job)
        choice = _without_seed(swept_values(list(job.overrides), manifest.swept))
        for values, swept in recorded:
            keys = {IMAGES, CODE} if _read_alike(values, own) else {CODE}
            # The same arm, perhaps with another seed, has all values in common.
            changed = _changed(values, own, None if swept == choice else keys) if values else ""
            if changed:
                return changed
    return ""


def _own_values(job: NewJob) -> dict[str, str]:
    device = resolve_device(job.config.trainer.device)
    precision = resolve_precision(job.config.trainer.precision, device).name
    tags = {
        "data_fingerprint": job.fingerprint,
        "numbers": str(NUMBERS),
        "device": device.type,
        "precision": precision,
    }
    return arm_values(flatten(job.config.as_dict), tags)


def _recorded_values(job: PreviousJob) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a previous job was trained from, by key, and its swept values without the seed."""
    tags = {key.removeprefix(PREFIX): value for key, value in job.run.tags.items()}
    try:
        config = safe_load_yaml(job.folder / "config.yaml")
    except (OSError, ValueError):  # stopped before it was written
        return {}, {}
    if not isinstance(config, dict) or "data_fingerprint" not in tags:
        return {}, {}
    compared = ("data_fingerprint", "numbers", "device", "precision")
    kept = {str(key): tags[key] for key in compared if key in tags}
    return arm_values(flatten(config), kept), _without_seed(json.loads(tags.get("swept", "{}")))


def _without_seed(values: Mapping[str, str]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if key != "seed"}


def _read_alike(values: Mapping[str, str], own: Mapping[str, str]) -> bool:
    """Return whether two jobs name the same images: then these can differ only where the files have changed."""
    keys = {key for key in (*values, *own) if key.startswith("data.source.") or key == "data.image_size"}
    return all(values.get(key) == own.get(key) for key in keys)


def _changed(before: Mapping[str, str], now: Mapping[str, str], only: Iterable[str] | None = None) -> str:
    """Return the keys whose values differ, with both: ``optimizer.lr was 0.001, is 0.002``."""
    keys = sorted({*before, *now} if only is None else only, key=lambda key: (key not in (IMAGES, CODE), key))
    texts = [_text(key, before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)]
    more = f", and {len(texts) - _MAX_SHOWN} more" if len(texts) > _MAX_SHOWN else ""
    return "; ".join(texts[:_MAX_SHOWN]) + more


def _text(key: str, before: str | None, now: str | None) -> str:
    if key == IMAGES:
        return "the images have changed"
    if key == CODE:
        return "another version of the code's numbers"
    return f"{key} was {'not there' if before is None else before}, is {'not there' if now is None else now}"
