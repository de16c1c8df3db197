"""What a run may say about itself while it lives, whoever writes it down."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

State = Literal["FINISHED", "FAILED", "KILLED"]


class Record(Protocol):
    """The record of one run (or of one sweep, the parent of its runs)."""

    @property
    def run_id(self) -> str | None:
        """MLflow's name of the run; None where nothing is recorded."""

    def params(self, values: Mapping[str, str]) -> None:
        """Write down what was asked for. Once a run."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Write down what the run is and where it comes from. A later value replaces an earlier one."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write down what was measured at ``step`` (an epoch), all of it at once."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a copy of the file under ``folder`` of the run's artifacts."""

    def close(self, state: State, reason: str = "") -> None:
        """End the record with a true state, and why if it is not FINISHED."""


class NoRecord:
    """Writes nothing down: ``tracking=none``. The run's own folder keeps its checkpoints and pictures."""

    run_id: None = None

    def params(self, values: Mapping[str, str]) -> None:
        """Nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Nothing."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Nothing."""

    def close(self, state: State, reason: str = "") -> None:
        """Nothing."""
