"""Files of pretrained weights: download, check before training, and load."""

import functools
import logging
import socket
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cifar_sweeps.errors import ConfigError

log = logging.getLogger(__name__)

# urllib has no timeout by default, and a firewall that drops packets never answers.
_DOWNLOAD_TIMEOUT_SECONDS = 30

Shape = tuple[int, ...]


@runtime_checkable
class Pretrained(Protocol):
    """A network that is built without its pretrained weights, so that summarizing it needs no download."""

    def has_pretrained(self) -> bool:
        """Return whether the weights file exists on this disk, valid or not."""
        ...

    def check_pretrained(self) -> None:
        """Raise ConfigError if the weights are unavailable or do not fit; download them if they are missing."""
        ...

    def load_pretrained(self) -> None:
        """Load the weights into the network. Raises ConfigError as `check_pretrained`."""
        ...


@dataclass(frozen=True)
class WeightsFile:
    """A state dict on disk. ``option``: the configured value; ``url``: where to download it from if it is missing."""

    option: str
    path: Path
    url: str | None = None
    megabytes: float | None = None

    def download(self) -> None:
        """Download the file if it is missing. Raises ConfigError with the URL and where to put the file."""
        if self.path.is_file():
            return
        if self.url is None:
            raise ConfigError(
                f"model.weights={self.option}: {self.path.absolute()} is not a file; "
                "set model.weights=PATH to a state dict in its publisher's layout"
            )
        failure = _download(self.url, self.path)
        if failure is not None:
            size = "" if self.megabytes is None else f", {self.megabytes:,.0f} MB"
            raise ConfigError(
                f"model.weights={self.option}: {self.path} is missing, and downloading {self.url} failed ({failure}); "
                f"download {self.path.name} from that URL{size} to {self.path.parent}, "
                "or elsewhere and set model.weights=PATH"
            )

    def check(self, expected: Mapping[str, Shape]) -> None:
        """Raise ConfigError unless the file holds tensors of the ``expected`` names and shapes; others are ignored.

        If its format allows, only the file's index is read.
        """
        self.download()
        status = self.path.stat()
        shapes = _shapes(self.path, self.option, status.st_mtime_ns, status.st_size)
        missing = [name for name in expected if name not in shapes]
        if missing:
            raise ConfigError(
                f"model.weights={self.option}: {self.path} lacks {len(missing)} of {len(expected)} tensors "
                f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}); use weights of this network"
            )
        wrong = [
            f"{name} is {shapes[name]} and must be {shape}" for name, shape in expected.items() if shapes[name] != shape
        ]
        if wrong:
            raise ConfigError(
                f"model.weights={self.option}: {self.path} belongs to another network ({'; '.join(wrong[:3])}"
                f"{'; …' if len(wrong) > 3 else ''}); use weights of this network"
            )

    def read(self, expected: Mapping[str, Shape]) -> dict[str, Tensor]:
        """Load the ``expected`` tensors, memory-mapped if the file's format allows. Raises as `check`."""
        self.check(expected)
        state = _load(self.path, self.option)
        return {name: state[name] for name in expected}


@functools.cache  # one attempt for all jobs of a sweep, which are checked in one process
def _download(url: str, path: Path) -> str | None:
    """Download ``url`` to ``path``; return None, or the error message."""
    log.info("downloading %s to %s", url, path)
    hash_prefix = torch.hub.HASH_REGEX.search(path.name)
    default_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix.group(1) if hash_prefix else None, progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError, ValueError) as error:  # no connection or disk full; wrong hash; invalid URL
        return f"{type(error).__name__}: {error}"
    finally:
        socket.setdefaulttimeout(default_timeout)
    return None


@functools.lru_cache(maxsize=4)  # a file of the old format has to be read whole, and once is enough for a sweep
def _shapes(path: Path, option: str, mtime: int, size: int) -> dict[str, Shape]:
    del mtime, size  # part of the cache key, so that a changed file is read again
    return {name: tuple(tensor.shape) for name, tensor in _load(path, option).items()}


def _can_be_mapped(path: Path) -> bool:
    """Say whether a file's tensors lie in it as in memory: not in torchvision's older ones, nor in a compressed one."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def _load(path: Path, option: str) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", mmap=_can_be_mapped(path), weights_only=True)
    except Exception as error:  # a damaged archive may raise anything
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"model.weights={option}: {path} is damaged, or not a state dict ({type(error).__name__}: {reason}); "
            "delete it and download it again"
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ConfigError(f"model.weights={option}: {path} is not a state dict, a mapping of names to tensors")
    return dict(state)
