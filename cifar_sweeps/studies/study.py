"""The runs and sweeps of a study."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking.names import Candidate, choose
from cifar_sweeps.tracking.recorded_run import PREFIX, state_text

_MAX_NAMES = 8


@dataclass(frozen=True)
class StudyRun:
    """One recorded run. ``metrics``: the last values, with the derived gaps and ``seconds_an_epoch``."""

    run_id: str
    name: str
    state: str
    """Lower case: finished, failed, killed, running."""
    swept: Mapping[str, str]
    setting: str
    """What separates whole sweeps whose runs must not be averaged, such as their budgets; empty if nothing does."""
    arm: str
    """The name that all runs share which may be averaged (`studies.pooling`)."""
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    started: datetime.datetime
    seconds: float | None
    variant: str = ""
    """What separates runs of one name and setting that were not trained alike; empty if nothing does."""

    def tag(self, key: str) -> str | None:
        """Return a tag of this project by its name without the prefix."""
        return self.tags.get(f"{PREFIX}{key}")

    @property
    def short_tags(self) -> dict[str, str]:
        """This project's tags by their names without the prefix."""
        return {key.removeprefix(PREFIX): value for key, value in self.tags.items() if key.startswith(PREFIX)}

    @property
    def seed(self) -> int | None:
        """The seed, or None if it is not recorded."""
        text = self.params.get("seed", self.swept.get("seed", ""))
        return int(text) if text.lstrip("-").isdigit() else None

    @property
    def parts(self) -> int:
        """Number of parts of the training images, trained one after another."""
        text = self.params.get("trainer.parts", self.swept.get("trainer.parts", "1"))
        return max(1, int(text)) if text.isdigit() else 1

    @property
    def is_running(self) -> bool:
        """Whether it still trains, or waits to be started."""
        return self.state in ("running", "scheduled")

    @property
    def finished(self) -> bool:
        """Whether the run finished. One that early stopping of its sweep has paused did not."""
        return self.state == "finished"

    @property
    def is_paused(self) -> bool:
        """Whether early stopping of its sweep has paused it before its end."""
        return self.state == "paused"

    @property
    def state_text(self) -> str:
        """Its state as a person reads it: ``finished``, ``paused at epoch 4 of 40``."""
        return state_text(self.state, self.tags)


@dataclass(frozen=True)
class SweepRun:
    """The parent run of a sweep. ``overrides``: those of its whole command line; ``config_dir``: its --config-dir.

    objectives: of a search, with the metrics of a run that they are.
    """

    run_id: str
    sweep_id: str
    overrides: str
    started: datetime.datetime
    config_dir: str | None = None
    recorded_command: str | None = None
    objectives: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What was typed to start it; what means the same for one that an earlier version recorded."""
        if self.recorded_command:
            return self.recorded_command
        is_study = any(part.startswith("study=") for part in self.overrides.split())
        return f"cifar-train {'' if is_study else '-m '}{self.overrides}".strip()


@dataclass(frozen=True)
class Study:
    """Runs to compare, in the order of their start, and the sweeps that they came from."""

    name: str
    runs: tuple[StudyRun, ...]
    sweeps: tuple[SweepRun, ...]

    def select_sweeps(self, sweep_ids: Sequence[str]) -> "Study":
        """Return the study with only the runs of these sweeps, named by their ids or the beginnings of them.

        `pooling.select_sweeps` names their arms anew.
        Raises TrackingError if one of them does not exist, if two could be meant, or if they have no runs.
        """
        known = [
            Candidate(sweep.sweep_id, (sweep.run_id, sweep.sweep_id), "", sweep.sweep_id)
            for sweep in reversed(self.sweeps)
        ]
        chosen = [choose(sweep_id, known, "sweep", f"the study {self.name}") for sweep_id in sweep_ids]
        runs = [run for run in self.runs if run.tag("sweep_id") in chosen]
        if not runs:
            raise TrackingError(f"{', '.join(chosen)}: no run has been recorded in it")
        sweeps = tuple(sweep for sweep in self.sweeps if sweep.sweep_id in chosen)
        return Study(self.name, tuple(runs), sweeps)

    def deduplicated(self) -> list[StudyRun]:
        """Return the finished runs; of several with the same arm and seed, only the newest.

        A repeated run has the same metrics: counted twice, it would look like a second seed.
        """
        newest = {(run.arm, run.seed): run for run in self.runs if run.finished}
        return [run for run in self.runs if newest.get((run.arm, run.seed)) is run]


def list_names(names: Sequence[str]) -> str:
    """Return names for a message: the first few, and the total number."""
    more = f", … ({len(names)} in total)" if len(names) > _MAX_NAMES else ""
    return (", ".join(names[:_MAX_NAMES]) or "none") + more
