"""One recorded run as it is read back: its values, its state in words, and where its folder is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.system.files import is_inside
from cifar_sweeps.tracking.page_links import NOTE

PREFIX = "cifar_sweeps."
"""Prefix of all tags that this project sets."""
EARLY_STOPPED, EARLY_STOPPED_OF = f"{PREFIX}early_stopped", f"{PREFIX}early_stopped_of"
"""Tags of a run that early stopping of its sweep has paused: the epoch that it has reached, and its full length."""
SWEPT = "swept/"
"""Prefix of the parameters that hold what a sweep varied, as it was typed, for MLflow's columns and charts.

They repeat what the config's own parameters say, a group's option by its name, and are none of the config's.
"""


@dataclass(frozen=True)
class RecordedRun:
    """One recorded run, from a store or a journal. ``metrics`` are the last values."""

    run_id: str
    name: str
    state: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    def tag(self, key: str) -> str | None:
        """Return one of this project's tags by its short name."""
        return self.tags.get(f"{PREFIX}{key}")

    @property
    def state_text(self) -> str:
        """Its state as a person reads it: ``finished``, ``paused at epoch 4 of 40``."""
        return state_text(self.state, self.tags)

    @property
    def repeat_command(self) -> str:
        """The `recorded_command` that trains the run again; empty if it is not known."""
        earlier = self.tags.get(NOTE, "")  # runs of an earlier version have it there alone
        return self.tag("repeat") or (earlier[12:-1] if earlier.startswith("Repeat it: `") else "")

    def folder_in(self, outputs: Path) -> Path | None:
        """Return the run's folder: as recorded, or where it lies in an outputs folder that was moved since.

        None if none was recorded.
        """
        return locate_folder(self.tag("folder"), outputs)


def run_state(status: str, tags: Mapping[str, str]) -> str:
    """Return MLflow's state of a run, or PAUSED where it is FINISHED because early stopping of its sweep ended it."""
    return "PAUSED" if status == "FINISHED" and EARLY_STOPPED in tags else status


def state_text(state: str, tags: Mapping[str, str]) -> str:
    """Return a run's state in words; of a paused run with the epoch that it has reached, and its full length."""
    if state.upper() != "PAUSED":
        return state.lower()
    return f"paused at epoch {tags.get(EARLY_STOPPED, '?')} of {tags.get(EARLY_STOPPED_OF, '?')}"


def finish_command(run_id: str, tags: Mapping[str, str]) -> str:
    """Return the command that trains a stopped or paused run to its end; of a sweep's job, the sweep's."""
    sweep, job = tags.get(f"{PREFIX}sweep_id"), tags.get(f"{PREFIX}job")
    if EARLY_STOPPED in tags and sweep and job:
        return f"cifar-sweeps promote {sweep} {job}"
    return f"cifar-sweeps resume {sweep or run_id[:8]}"


def locate_folder(recorded: str | None, outputs: Path) -> Path | None:
    """Return a recorded folder of a run as it can be found in ``outputs`` now; as recorded if it cannot."""
    if not recorded:
        return None
    path = Path(recorded)
    if is_inside(path, outputs) and path.is_dir():
        return path
    for start in range(1, len(path.parts)):
        inside = outputs.joinpath(*path.parts[start:])
        if (inside / "journal.jsonl").is_file():
            return inside
    return path
