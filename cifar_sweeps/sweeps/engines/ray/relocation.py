"""Prepare a job for a node that does not see the controller's outputs: its paths there, and the files that it needs.

See `node_folder` for how paths correspond. Relative paths stay as they are; they mean the folder that stands for the
one in which the command was typed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.sweeps.engines.ray.actor import Place
from cifar_sweeps.system.files import expand_home

_OWN_FILES = ("model", "optimizer", "augmentation", "lr_schedule", "trainer")
"""Groups of the config whose texts may name files of the user's own: see `runs.identity`."""


@dataclass(frozen=True)
class Requirements:
    """What a job reads of the controller's disk. outputs, typed_in: absolute. images: its data.root, None without.

    may_download: whether missing images are downloaded. files: those that its config names, absolute. initial_run: the
    recorded run from whose weights it starts, None without.
    """

    outputs: str
    typed_in: str
    images: str | None
    may_download: bool
    files: tuple[str, ...]
    initial_run: str | None = None


def find_requirements(payload: bytes) -> Requirements:
    """Return what a job needs."""
    config = _config(cloudpickle.loads(payload))
    typed_in = Path(config.hydra.runtime.cwd).absolute()
    source = config.data.source
    images = source.get("root") if isinstance(source, DictConfig) else None
    initial = config.trainer.get("init_from")
    is_run = initial is not None and not _is_file(typed_in, initial) and not _is_experiment(initial)
    files = [
        str(typed_in / expand_home(text))
        for group in _OWN_FILES
        for _, _, text in _texts(config.get(group))
        if _is_file(typed_in, text)
    ]
    return Requirements(
        str(typed_in / str(config.outputs)),
        str(typed_in),
        None if images is None else str(typed_in / expand_home(str(images))),
        bool(source.get("download", False)),
        tuple(dict.fromkeys(files)),
        initial if is_run else None,
    )


def check_place(requirements: Requirements, place: Place) -> None:
    """Raise DataError if a node that does not share the outputs has no images and can get none, ConfigError if it would
    have to look a run up.
    """
    if requirements.initial_run is not None:
        raise ConfigError(
            f"trainer.init_from={requirements.initial_run}: the node {place.node} does not share the outputs folder, "
            "and cannot look a run up; give the path of its checkpoint, or use a disk that all nodes share"
        )
    if requirements.images in place.missing and not requirements.may_download:
        raise DataError(
            f"data.root={requirements.images}: is not on the node {place.node}; put the images there on every node, "
            "or keep them and the outputs on a disk that all nodes share"
        )


def relocate_payload(payload: bytes, requirements: Requirements, root: str) -> bytes:
    """Return the job with its paths in the folder ``root`` of a node."""
    shared, config, _ = cloudpickle.loads(payload)  # the last: image files that were verified on this disk
    places = [Path(requirements.typed_in), Path(requirements.outputs)]
    files = {str(file) for file in requirements.files}

    def is_moved(text: str) -> bool:
        return text.startswith("/") and (text in files or any(Path(text).is_relative_to(place) for place in places))

    with read_write(config), open_dict(config):
        for node, key, text in list(_texts(config)):
            if is_moved(text):
                node[key] = root + text
    moved: bytes = cloudpickle.dumps((shared, config, {}))
    return moved


def _config(payload: Any) -> DictConfig:  # noqa: ANN401 (what `worker.make_payload` has packed)
    config = payload[1]
    assert isinstance(config, DictConfig)
    return config


def _texts(node: Any) -> Iterator[tuple[DictConfig | ListConfig, Any, str]]:  # noqa: ANN401 (any part of a config)
    """Yield all texts below a node of a config, each with the node that holds it, and its key there."""
    if not isinstance(node, DictConfig | ListConfig) or node._is_none() or node._is_missing():
        return
    keys: list[Any] = list(node.keys()) if isinstance(node, DictConfig) else list(range(len(node)))
    for key in keys:
        if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
            continue
        value = node[key]
        if isinstance(value, str):
            yield node, key, value
        else:
            yield from _texts(value)


def _is_file(typed_in: Path, text: str) -> bool:
    try:
        return ("." in text or "/" in text) and (typed_in / expand_home(text)).is_file()
    except (OSError, ValueError):  # a text that can be no path
        return False


def _is_experiment(text: str) -> bool:
    return (conf_folder() / "experiment" / f"{text}.yaml").is_file()
