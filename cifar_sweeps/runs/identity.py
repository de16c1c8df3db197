"""What a run is known by: which training it is, and what a reader must know to trust and repeat it."""

import functools
from pathlib import Path
from typing import Any

import torch

from cifar_sweeps.config.parse import config_hash
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.models.parameter_groups import weights_digest
from cifar_sweeps.runs.setup import Scene
from cifar_sweeps.system.files import sha256
from cifar_sweeps.tracking.provenance import provenance
from cifar_sweeps.tracking.store import PREFIX
from cifar_sweeps.training.precision import resolve_device, resolve_precision


def identity(config: RunConfig, fingerprint: str) -> str:
    """Return what two runs have in common if they are the same training: config and images, whoever does it."""
    device = resolve_device(config.trainer.device)
    chosen = {"precision": resolve_precision(config.trainer.precision, device).name, "device": device.type}
    model = dict(config.plain["model"])
    for node, key, path in ((chosen, "init_from", config.trainer.init_from), (model, "weights", model.get("weights"))):
        if path is not None and Path(path).is_file():  # what it holds counts, not what it is called
            node[key] = _digest(Path(path).resolve(), Path(path).stat().st_mtime_ns)
    plain = {**config.plain, "trainer": {**config.plain["trainer"], **chosen}, "model": model}
    return f"{config_hash(plain)}-{fingerprint}"


@functools.cache  # all jobs of a sweep ask for the same few files
def _digest(path: Path, _changed: int) -> str:
    return sha256(path)


def run_tags(scene: Scene) -> dict[str, str]:
    """Return what a reader needs to trust and repeat the run, under the tags' names in MLflow."""
    facts = {
        "config_hash": config_hash(_as_run(scene)),
        "initial_weights": weights_digest(scene.net),
        "data": scene.data.name,
        "data_fingerprint": scene.data.fingerprint,
        "device": scene.device.type,
        "gpu": torch.cuda.get_device_name(scene.device) if scene.device.type == "cuda" else "none",
        "precision": scene.precision.name,
        "threads": str(torch.get_num_threads()),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        **provenance(),
    }
    facts["budget"] = scene.budget()
    facts["validated_on"] = "test" if scene.splits.val_on_test else "validation"
    if scene.splits.notes:
        facts["split_notes"] = "; ".join(scene.splits.notes)
    return {f"{PREFIX}{key}": value for key, value in facts.items()}


def _as_run(scene: Scene) -> dict[str, Any]:
    """Return the config with what the machine chose where the config left it open."""
    plain = scene.config.plain
    chosen = {"threads": torch.get_num_threads(), "precision": scene.precision.name, "device": scene.device.type}
    return {**plain, "trainer": {**plain["trainer"], **chosen}}
