"""The manifest of a sweep, `sweep.json` in its folder: its id, its study, and which keys its jobs vary."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cifar_sweeps.config.grid.dimensions import dimensions, flat
from cifar_sweeps.system.files import write_text_atomic

NAME = "sweep.json"
RESUME_FOLDER = "CIFAR_SWEEPS_GOES_ON"
"""Environment variable that names the folder of the sweep to resume, where that was asked for by its id."""


@dataclass(frozen=True)
class SweepManifest:
    """A sweep's id and what its jobs need to know of it. swept: the keys that differ from job to job.

    identity: `previous.launches.sweep_hash`, which two launches of the same sweep share. command: what was typed after
    ``cifar-train``, in the folder ``typed_in``. fixed: the values that all jobs share, by key. selection: of the
    settings by which jobs are proposed and paused, by key. A field that a later version adds needs a default, or that
    version does not find the sweeps of this one.
    """

    sweep_id: str
    study: str
    swept: tuple[str, ...]
    identity: str
    command: tuple[str, ...]
    typed_in: str
    fixed: dict[str, str] = field(default_factory=dict)
    selection: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it into the sweep's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / NAME, json.dumps(asdict(self), indent=1))


def read_manifest(folder: Path) -> SweepManifest:
    """Read the manifest that this version or another one wrote.

    Keys that this version does not know are ignored. Those that are missing have defaults, except swept, identity and
    command, without which a sweep cannot be resumed. Raises OSError, ValueError, KeyError or TypeError.
    """
    content = json.loads((folder / NAME).read_text(encoding="utf-8"))
    known = {each.name: content[each.name] for each in fields(SweepManifest) if each.name in content}
    values = {"sweep_id": folder.name, "study": "", "typed_in": ".", **known}
    return SweepManifest(**{**values, "swept": tuple(content["swept"]), "command": tuple(content["command"])})


def find_manifests(root: Path) -> Iterator[tuple[Path, SweepManifest]]:
    """Yield the folders under ``root``, at any depth, that hold a sweep, with their manifests, by their paths.

    Damaged ones are left out.
    """
    found = []
    for path, folders, files in os.walk(root):
        if NAME in files or "journal.jsonl" in files:  # a sweep, or a run: no sweep lies in there
            folders.clear()
        elif Path(path) == root:
            folders[:] = [name for name in folders if name not in ("artifacts", "data")]
        if NAME in files:
            found.append(Path(path))
    for folder in sorted(found):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            yield folder, read_manifest(folder)


def swept_keys(overrides: Iterable[str], params: Mapping[str, Any] | None) -> list[str]:
    """Return the keys that a sweep varies, from its command line and from its study's ``hydra.sweeper.params``.

    Those of a zip are there one by one, and not the zip's name.

    The study's keys are among them even where the command line leaves one value: its runs stay comparable with those of
    the whole study.
    """
    of_study = flat(dimensions(params or {}, []))
    varied = [override for override in flat(dimensions({}, [*overrides])) if override.is_sweep_override()]
    return [*dict.fromkeys(override.get_key_element().lstrip("+") for override in (*of_study, *varied))]


def swept_values(overrides: list[str], swept: tuple[str, ...]) -> dict[str, str]:
    """Return a job's values of the keys that its sweep varies."""
    pairs = [override.lstrip("+~").partition("=") for override in overrides]
    return {key: value for key, _, value in pairs if key in swept}


def run_name(overrides: list[str], swept: tuple[str, ...]) -> str:
    """Return a job's name, its swept values: ``l2=0.0005 seed=1`` for ``regularization.l2=0.0005 seed=1``."""
    return " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in swept_values(overrides, swept).items())[:250]


def parse_run_name(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys and the values of a name that `run_name` made; of another one ``("run",)`` and itself."""
    pairs = [pair.partition("=") for pair in name.split()]
    if not all(equals for _, equals, _ in pairs):
        return ("run",), (name,)
    return tuple(key for key, _, _ in pairs), tuple(value for _, _, value in pairs)
