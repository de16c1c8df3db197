"""Tab completion of names: what lies in the outputs folder, read without torch and MLflow."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cifar_sweeps.cli.common import outputs_folder


def complete_run(incomplete: str) -> list[str]:
    """Return the ids and the names of recorded runs that begin so."""
    return _beginning(
        incomplete,
        (
            word
            for run_id, header in _records()
            if not _is_sweep(header)
            for word in (run_id, str(header.get("name", "")))
        ),
    )


def complete_sweep(incomplete: str) -> list[str]:
    """Return the ids of sweeps that begin so."""
    return _beginning(
        incomplete, (str(header["tags"]["cifar_sweeps.sweep_id"]) for _, header in _records() if _is_sweep(header))
    )


def complete_sweep_or_study(incomplete: str) -> list[str]:
    """Return the ids of sweeps and the names of studies that were trained and begin so."""
    trained = (str(header.get("study", "")) for _, header in _records())
    return [*complete_sweep(incomplete), *_beginning(incomplete, trained)]


def complete_sweep_or_run(incomplete: str) -> list[str]:
    """Return the ids of sweeps, and ids and names of runs, that begin so."""
    return [*complete_sweep(incomplete), *complete_run(incomplete)]


def complete_study(incomplete: str) -> list[str]:
    """Return the names of the package's studies that begin so."""
    from cifar_sweeps.config.parse import conf_folder  # omegaconf, which the start of a command does without

    return _beginning(incomplete, (path.stem for path in (conf_folder() / "study").glob("*.yaml")))


def _records() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id in the store and the first line of each journal in the outputs folder."""
    from cifar_sweeps.tracking import journal

    outputs = outputs_folder()
    for folder in journal.folders(outputs) if outputs.is_dir() else ():
        try:
            with (folder / journal.NAME).open("rb") as file:
                header = json.loads(file.readline())
            yield str(_delivered(folder).get("run_id") or ""), header
        except (OSError, ValueError, AttributeError):  # being written, or damaged: not what completion reports
            continue


def _delivered(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "delivered.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_sweep(header: dict[str, Any]) -> bool:
    tags = header.get("tags")
    return isinstance(tags, dict) and tags.get("cifar_sweeps.role") == "sweep"


def _beginning(incomplete: str, words: Iterator[str]) -> list[str]:
    return sorted({word for word in words if word and word.startswith(incomplete)})
