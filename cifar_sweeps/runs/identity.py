"""Identify a run: the hash of its training, and the tags of its provenance."""

import dataclasses
import functools
import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import torch

from cifar_sweeps.config.allow_list import allowed_modules, is_in_package
from cifar_sweeps.config.parse import config_hash, flatten, from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models.parameter_groups import weights_hash
from cifar_sweeps.runs.setup import TrainingSetup
from cifar_sweeps.system.files import safe_load_yaml, sha256
from cifar_sweeps.system.gpus import visible_gpus
from cifar_sweeps.tracking.provenance import provenance
from cifar_sweeps.tracking.recorded_run import PREFIX
from cifar_sweeps.training.precision import resolve_device, resolve_precision

_BUILT = ("model", "optimizer", "augmentation", "lr_schedule")
"""Groups of which objects are built, perhaps the user's own."""
NUMBERS = 1
"""Version of the numbers that the code computes, recorded with each run: raise it with a change that alters them.

Runs of different versions are then not pooled, and a sweep does not reuse jobs of another version.
"""


def training_hash(config: RunConfig, fingerprint: str) -> str:
    """Return a hash of everything that determines a run's result: its config, its images, and the code's numbers."""
    device = resolve_device(config.trainer.device)
    resolved = {"precision": resolve_precision(config.trainer.precision, device).name, "device": device.type}
    model = dict(config.as_dict["model"])
    files, own = _weight_files(config), own_code(config)
    resolved |= {"init_from": files["init_from"]} if "init_from" in files else {}
    model |= {"weights": files["weights"]} if "weights" in files else {}
    config_dict = {**config.as_dict, "trainer": {**config.as_dict["trainer"], **resolved}, "model": model}
    others = sorted(f"{key} {content}" for key, content in files.items() if key not in ("init_from", "weights"))
    parts = [config_hash(config_dict), fingerprint, *([] if NUMBERS == 1 else [str(NUMBERS)])]
    parts += [hashlib.sha256("\n".join(others).encode()).hexdigest()[:16]] if others else []
    return "-".join([*parts, own] if own else parts)


def check_same_training(folder: Path, config: RunConfig) -> None:
    """Raise ConfigError if a folder holds a run of another config. Whether its images differ is not looked at."""
    try:
        content = safe_load_yaml(folder / "config.yaml")
        recorded = from_dict(content if isinstance(content, dict) else {})
    except (OSError, ValueError, ConfigError):  # none yet, damaged, or of another version: the journal decides
        return
    if _hash_without_classes(recorded) != _hash_without_classes(config):
        raise ConfigError(f"{folder}: holds a run of another config; choose another folder")


def _hash_without_classes(config: RunConfig) -> str:
    # How many classes there are may be known once the images are read.
    model = {key: value for key, value in config.as_dict["model"].items() if key != "num_classes"}
    return training_hash(dataclasses.replace(config, as_dict={**config.as_dict, "model": model}), "")


def _weight_files(config: RunConfig) -> dict[str, str]:
    """Return the hashes of the files that a run's parts are made from: a file is identified by its content.

    Any text among the arguments of a model, an optimizer or an augmentation may name one.
    """
    named = {"init_from": config.trainer.init_from, "weights": config.model.get("weights")}
    for group in _BUILT:
        for key, value in flatten(config.as_dict[group], f"{group}.").items():
            if key != "model.weights" and ("." in value or os.sep in value):
                named[key] = value
    return {
        key: _file_hash(Path(path).resolve(), Path(path).stat().st_mtime_ns)
        for key, path in named.items()
        if path is not None and _is_file(path)
    }


def own_tags(config: RunConfig) -> dict[str, str]:
    """Return the tags of the files and modules of the user's own that a run is made from; those that there are."""
    files, own = _weight_files(config), own_code(config)
    tags = {"weight_files": ",".join(files[key][:16] for key in sorted(files)), "own_code": own}
    return {key: value for key, value in tags.items() if value}


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a text that can be no path
        return False


def own_code(config: RunConfig) -> str:
    """Return a hash of the user's own modules that a run's parts are built from; empty if all of it is ours.

    Of each module that CIFAR_SWEEPS_ALLOW_TARGETS allows and a ``_target_`` names: its file, or all of its package's.
    """
    targets = [
        value
        for group in (*_BUILT, "data")
        for key, value in flatten(config.as_dict[group]).items()
        if key.rpartition(".")[2] == "_target_"
    ]
    modules = sorted(name for name in allowed_modules() if any(is_in_package(target, (name,)) for target in targets))
    hashes = []
    for name in modules:
        files = _source_files(name)
        hashes += [f"{name} {path.name} {_file_hash(path, path.stat().st_mtime_ns)}" for path in files]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16] if hashes else ""


def _source_files(module: str) -> list[Path]:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return []
    if found is None or found.origin is None:
        return []
    path = Path(found.origin)
    files = sorted(path.parent.rglob("*.py")) if found.submodule_search_locations else [path]
    return [file for file in files if file.is_file()]


@functools.cache  # all jobs of a sweep hash the same few files
def _file_hash(path: Path, _mtime: int) -> str:
    return sha256(path)


def provenance_tags(setup: TrainingSetup) -> dict[str, str]:
    """Return the tags of what a run was computed with: config, weights, data, machine and versions."""
    tags = {
        "config_hash": config_hash(_resolved_config(setup)),
        "initial_weights": weights_hash(setup.net),
        "data": setup.data.name,
        "data_fingerprint": setup.data.fingerprint,
        **environment_tags(setup.device, setup.precision.name, torch.get_num_threads()),
        "gpu_index": _gpu_index(setup.device),
    }
    tags |= own_tags(setup.config)
    tags |= {"classes": str(len(setup.data.classes)), "train_images": str(setup.splits.num_train)}
    tags["test_images"] = str(len(setup.data.test))
    tags["budget"] = setup.describe_budget()
    tags["validated_on"] = "test" if setup.splits.val_on_test else "validation"
    if setup.data.notes:
        tags["data_notes"] = "; ".join(setup.data.notes)
    if setup.splits.notes:
        tags["split_notes"] = "; ".join(setup.splits.notes)
    if setup.whitening is not None and setup.whitening.notes:
        tags["whitening_notes"] = "; ".join(setup.whitening.notes)
    return {f"{PREFIX}{key}": value for key, value in tags.items()}


def environment_tags(device: torch.device, precision: str, threads: int) -> dict[str, str]:
    """Return the tags of the machine, its settings and the versions, by their short names."""
    return {
        "numbers": str(NUMBERS),
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else "none",
        "precision": precision,
        "threads": str(threads),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        **provenance(),
    }


def _gpu_index(device: torch.device) -> str:
    """Return which of the machine's GPUs a run trains on, as CUDA_VISIBLE_DEVICES names it; ``none`` without CUDA."""
    if device.type != "cuda":
        return "none"
    gpus, index = visible_gpus(), device.index or 0
    return gpus[index] if index < len(gpus) else str(index)


def _resolved_config(setup: TrainingSetup) -> dict[str, Any]:
    """Return the config with the threads, precision and device that were used."""
    config_dict = setup.config.as_dict
    resolved = {"threads": torch.get_num_threads(), "precision": setup.precision.name, "device": setup.device.type}
    return {**config_dict, "trainer": {**config_dict["trainer"], **resolved}}
