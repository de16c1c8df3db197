"""The decisions of a sweep's early stopping, one JSON object a line, on disk before they are acted upon."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from cifar_sweeps.errors import TrackingError

NAME = "decisions.jsonl"


@dataclass(frozen=True)
class Decision:
    """An arm's jobs are to train until an epoch.

    kind: ``start`` a new arm; ``promote`` a paused one; ``finish``: promote the best because no arm reached its end;
    ``asked``: promote the job that a person named, which is compared at no rung beyond the one where it stood. until:
    the epoch to be reached; None: the end. rung: from which rung it is promoted, None at the start. values: of all arms
    that were compared there, by arm. seeds: how many of its seeds an arm's value is the mean of. places: how many of
    them go on.
    """

    kind: Literal["start", "promote", "finish", "asked"]
    jobs: tuple[int, ...]
    until: int | None
    arm: str = ""
    rung: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    places: int | None = None


class DecisionLog:
    """The decisions in a file; those that a previous launch took are read first. None: they are kept in memory only.

    Raises TrackingError if the file cannot be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.decisions = [] if path is None else read_decisions(path)

    def append(self, decision: Decision) -> None:
        """Write a decision, on disk when this returns."""
        if self._path is not None:
            _append(self._path, decision)
        self.decisions.append(decision)


def read_decisions(path: Path) -> list[Decision]:
    """Return the decisions in a file, without a last line that a crash has torn; none if there is no file."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrackingError(f"{path}: cannot be read ({error.strerror})") from error
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            content = json.loads(line)
            known = {key: value for key, value in content.items() if key in Decision.__dataclass_fields__}
            found.append(Decision(**{**known, "jobs": tuple(int(job) for job in content["jobs"])}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrackingError(
                f"{path}: line {number} is no decision; remove the file, and the sweep decides anew from its runs"
            ) from error
    return found


def _append(path: Path, decision: Decision) -> None:
    line = json.dumps({"time": int(time.time() * 1000), **asdict(decision)}).encode() + b"\n"
    try:
        with path.open("r+b" if path.exists() else "w+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)  # without a torn line
            file.seek(0, os.SEEK_END)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TrackingError(f"{path}: cannot be written ({error.strerror}); make room") from error
