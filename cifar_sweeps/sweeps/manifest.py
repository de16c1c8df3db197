"""What the jobs of a sweep must know of it, in one file of its folder: any launcher's jobs find it there."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from cifar_sweeps.system.files import write_text_atomic

NAME = "sweep.json"
RESUME_FOLDER = "CIFAR_SWEEPS_GOES_ON"
"""Names the folder of the sweep that a start goes on with, where it was asked for by its id."""


@dataclass(frozen=True)
class SweepManifest:
    """A sweep by its names. ``swept`` are the keys that differ from job to job.

    identity: what two starts of the same sweep have in common. command: what was typed after ``cifar-train``, in the
    folder ``typed_in``.
    """

    sweep_id: str
    study: str
    swept: tuple[str, ...]
    identity: str
    command: tuple[str, ...]
    typed_in: str

    def write(self, folder: Path) -> None:
        """Write into the sweep's folder, whole."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / NAME, json.dumps(asdict(self), indent=1))


def read_manifest(folder: Path) -> SweepManifest:
    """Read the file that `SweepFile.write` wrote."""
    held = json.loads((folder / NAME).read_text(encoding="utf-8"))
    return SweepManifest(**{**held, "swept": tuple(held["swept"]), "command": tuple(held["command"])})


def find_manifests(root: Path) -> Iterator[tuple[Path, SweepManifest]]:
    """Yield the sweeps in the folders under ``root``, by name; what is damaged or of another version is left out."""
    for path in sorted(root.glob(f"*/{NAME}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            yield path.parent, read_manifest(path.parent)


def swept_values(overrides: list[str], swept: tuple[str, ...]) -> dict[str, str]:
    """Return the values that a job has of the keys that its sweep varies."""
    pairs = [override.lstrip("+~").partition("=") for override in overrides]
    return {key: value for key, _, value in pairs if key in swept}


def run_name(overrides: list[str], swept: tuple[str, ...]) -> str:
    """Return the swept values of a job in short form: ``l2=0.0005 seed=1`` for ``regularization.l2=0.0005 seed=1``."""
    return " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in swept_values(overrides, swept).items())[:250]


def parse_run_name(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys and the values of a short name."""
    pairs = [pair.partition("=") for pair in name.split()]
    if not all(equals for _, equals, _ in pairs):
        return ("run",), (name,)
    return tuple(key for key, _, _ in pairs), tuple(value for _, _, value in pairs)


def swept_keys(overrides: Iterable[str], params: Mapping[str, Any] | None) -> list[str]:
    """Return the keys that a sweep varies, from its command line and from its study's ``hydra.sweeper.params``.

    The study's keys are among them even where the command line leaves one value: its runs stay comparable with those of
    the whole study.
    """
    parser = OverridesParser.create()
    typed = {override.get_key_element(): override for override in parser.parse_overrides(list(overrides))}
    varied = [key for key, override in typed.items() if override.is_sweep_override() and key not in (params or {})]
    return [key.lstrip("+") for key in (*(params or {}), *varied)]
