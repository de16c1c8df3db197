"""Files of pretrained weights: found, fetched once, and judged before anything is trained."""

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

# urllib waits for ever by default, and a firewall that drops packets answers never.
_PATIENCE_SECONDS = 30

Shape = tuple[int, ...]


@runtime_checkable
class Pretrained(Protocol):
    """A network that is built without its pretrained weights, so that a look at it costs nothing."""

    def has_pretrained(self) -> bool:
        """Say whether the weights are on this disk, sound or not."""
        ...

    def check_pretrained(self) -> None:
        """Raise ConfigError if the weights cannot be had or do not fit; fetch them if they are not on this disk."""
        ...

    def load_pretrained(self) -> None:
        """Put the weights into the network. Raises ConfigError as `check_pretrained`."""
        ...


@dataclass(frozen=True)
class WeightsFile:
    """A state dict on disk. ``option``: what was configured; ``url``: whence it comes if it is not there yet."""

    option: str
    path: Path
    url: str | None = None
    megabytes: float | None = None

    def fetch(self) -> None:
        """Download the file if it is not there. Raises ConfigError with what to fetch and where to put it."""
        if self.path.is_file():
            return
        if self.url is None:
            raise ConfigError(
                f"model.weights={self.option}: {self.path.absolute()} is not a file; "
                "set model.weights=PATH to a state dict in the layout of its origin"
            )
        failure = _download(self.url, self.path)
        if failure is not None:
            size = "" if self.megabytes is None else f", {self.megabytes:,.0f} MB"
            raise ConfigError(
                f"model.weights={self.option}: {self.path} is not there, and {self.url} cannot be fetched ({failure}); "
                f"fetch {self.path.name} from that address{size}, and put it into {self.path.parent}, "
                "or anywhere else and set model.weights=PATH"
            )

    def check(self, expected: Mapping[str, Shape]) -> None:
        """Raise ConfigError unless the file holds tensors of the ``expected`` names and shapes; others do not matter.

        No more of it is read than its table of contents, where it has one.
        """
        self.fetch()
        status = self.path.stat()
        held = _shapes(self.path, self.option, status.st_mtime_ns, status.st_size)
        missing = [name for name in expected if name not in held]
        if missing:
            raise ConfigError(
                f"model.weights={self.option}: {self.path} lacks {len(missing)} of {len(expected)} tensors "
                f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}); use weights of this network"
            )
        wrong = [
            f"{name} is {held[name]} and must be {shape}" for name, shape in expected.items() if held[name] != shape
        ]
        if wrong:
            raise ConfigError(
                f"model.weights={self.option}: {self.path} holds another network ({'; '.join(wrong[:3])}"
                f"{'; …' if len(wrong) > 3 else ''}); use weights of this network"
            )

    def read(self, expected: Mapping[str, Shape]) -> dict[str, Tensor]:
        """Return the ``expected`` tensors, mapped from the file where its format allows. Raises as `check`."""
        self.check(expected)
        held = _load(self.path, self.option)
        return {name: held[name] for name in expected}


@functools.cache  # one try for all jobs of a sweep, whose checks run in one process
def _download(url: str, path: Path) -> str | None:
    """Fetch ``url`` to ``path`` and return None, or say why that failed."""
    log.info("fetching %s to %s", url, path)
    hash_prefix = torch.hub.HASH_REGEX.search(path.name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix.group(1) if hash_prefix else None, progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError, ValueError) as error:  # no connection or no room; a wrong hash; not an address
        return f"{type(error).__name__}: {error}"
    finally:
        socket.setdefaulttimeout(before)
    return None


@functools.lru_cache(maxsize=4)  # a file of the old format has to be read whole, and once will do for a sweep
def _shapes(path: Path, option: str, mtime: int, size: int) -> dict[str, Shape]:
    del mtime, size  # another file at the same path is another entry
    return {name: tuple(tensor.shape) for name, tensor in _load(path, option).items()}


def _load(path: Path, option: str) -> dict[str, Tensor]:
    try:
        # torchvision's older files are in a format that cannot be mapped.
        held = torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
    except Exception as error:  # a damaged archive may raise anything
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"model.weights={option}: {path} is damaged, or no state dict ({type(error).__name__}: {reason}); "
            "delete it and fetch it again"
        ) from error
    if not isinstance(held, Mapping) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise ConfigError(f"model.weights={option}: {path} is not a state dict, a mapping of names to tensors")
    return dict(held)
