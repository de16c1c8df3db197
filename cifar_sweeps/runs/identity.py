"""What a run is known by: which training it is, and what a reader must know to trust and repeat it."""

import functools
from pathlib import Path
from typing import Any

import torch

from cifar_sweeps.config.parse import config_hash
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.models.parameter_groups import weights_hash
from cifar_sweeps.runs.setup import TrainingSetup
from cifar_sweeps.system.files import sha256
from cifar_sweeps.tracking.provenance import provenance
from cifar_sweeps.tracking.store import PREFIX
from cifar_sweeps.training.precision import resolve_device, resolve_precision


def training_hash(config: RunConfig, fingerprint: str) -> str:
    """Return what two runs have in common if they are the same training: config and images, whoever does it."""
    device = resolve_device(config.trainer.device)
    chosen = {"precision": resolve_precision(config.trainer.precision, device).name, "device": device.type}
    model = dict(config.as_dict["model"])
    for node, key, path in ((chosen, "init_from", config.trainer.init_from), (model, "weights", model.get("weights"))):
        if path is not None and Path(path).is_file():  # what it holds counts, not what it is called
            node[key] = _file_hash(Path(path).resolve(), Path(path).stat().st_mtime_ns)
    plain = {**config.as_dict, "trainer": {**config.as_dict["trainer"], **chosen}, "model": model}
    return f"{config_hash(plain)}-{fingerprint}"


@functools.cache  # all jobs of a sweep ask for the same few files
def _file_hash(path: Path, _changed: int) -> str:
    return sha256(path)


def provenance_tags(setup: TrainingSetup) -> dict[str, str]:
    """Return what a reader needs to trust and repeat the run, under the tags' names in MLflow."""
    facts = {
        "config_hash": config_hash(_resolved_config(setup)),
        "initial_weights": weights_hash(setup.net),
        "data": setup.data.name,
        "data_fingerprint": setup.data.fingerprint,
        "device": setup.device.type,
        "gpu": torch.cuda.get_device_name(setup.device) if setup.device.type == "cuda" else "none",
        "precision": setup.precision.name,
        "threads": str(torch.get_num_threads()),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        **provenance(),
    }
    facts["budget"] = setup.describe_budget()
    facts["validated_on"] = "test" if setup.splits.val_on_test else "validation"
    if setup.splits.notes:
        facts["split_notes"] = "; ".join(setup.splits.notes)
    return {f"{PREFIX}{key}": value for key, value in facts.items()}


def _resolved_config(setup: TrainingSetup) -> dict[str, Any]:
    """Return the config with what the machine chose where the config left it open."""
    plain = setup.config.as_dict
    chosen = {"threads": torch.get_num_threads(), "precision": setup.precision.name, "device": setup.device.type}
    return {**plain, "trainer": {**plain["trainer"], **chosen}}
