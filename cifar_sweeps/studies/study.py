"""The runs and sweeps of a study, and which runs belong to one arm."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking.names import Candidate, choose
from cifar_sweeps.tracking.store import PREFIX

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
    """What separates runs of one arm that must not be averaged, such as their budgets; empty if nothing does."""
    arm: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    started: datetime.datetime
    seconds: float | None

    def tag(self, key: str) -> str | None:
        """Return a tag of this project by its name without the prefix."""
        return self.tags.get(f"{PREFIX}{key}")

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
    def finished(self) -> bool:
        """Whether the run finished."""
        return self.state == "finished"


@dataclass(frozen=True)
class SweepRun:
    """The parent run of a sweep. ``overrides``: the arguments of ``cifar-train``."""

    run_id: str
    sweep_id: str
    overrides: str
    started: datetime.datetime


@dataclass(frozen=True)
class Study:
    """Runs to compare, in the order of their start, and the sweeps that they came from."""

    name: str
    runs: tuple[StudyRun, ...]
    sweeps: tuple[SweepRun, ...]

    def select_sweeps(self, sweep_ids: Sequence[str]) -> "Study":
        """Return the study with only the runs of these sweeps, named by their ids or the beginnings of them.

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
        return Study(self.name, tuple(disambiguate_arms(runs)), sweeps)

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


def disambiguate_arms(runs: Iterable[StudyRun]) -> list[StudyRun]:
    """Return the runs; arms of different budgets or data get different names.

    Only between sweeps: differences within a sweep were swept, or belong to an arm.
    """
    runs = [replace(run, setting="", arm=_arm_without_setting(run)) for run in runs]
    settings = [
        ", ".join(filter(None, texts))
        for texts in zip(*(_where_sweeps_differ(runs, describe) for describe in (_budget, _data)), strict=True)
    ]
    conditions: dict[tuple[str, str, str], set[str]] = {}
    for run, setting in zip(runs, settings, strict=True):
        for key in ("budget", "data_fingerprint"):
            conditions.setdefault((run.arm, setting, key), set()).update(filter(None, [run.tag(key)]))
    if any(len(values) > 1 for values in conditions.values()) and len({_sweep(run) for run in runs}) > 1:
        settings = [
            _sweep(run) for run in runs
        ]  # different budgets or data with the same name: use the sweep ids instead
    return [
        replace(run, setting=setting, arm=f"{run.arm} [{setting}]" if setting else run.arm)
        for run, setting in zip(runs, settings, strict=True)
    ]


def _where_sweeps_differ(runs: Sequence[StudyRun], describe: Callable[[StudyRun], str]) -> list[str]:
    """Return a description of each run, or empty ones if all sweeps have the same."""
    by_sweep: dict[str, set[str]] = {}
    for run in runs:
        by_sweep.setdefault(_sweep(run), set()).update(filter(None, [describe(run)]))
    differ = len({frozenset(texts) for texts in by_sweep.values() if texts}) > 1
    return [describe(run) if differ else "" for run in runs]


def _budget(run: StudyRun) -> str:
    return (run.tag("budget") or "").split(":")[0]


def _data(run: StudyRun) -> str:
    return run.tag("data") or ""


def _sweep(run: StudyRun) -> str:
    sweep_id = run.tag("sweep_id")
    return f"sweep {sweep_id}" if sweep_id else "single run"


def _arm_without_setting(run: StudyRun) -> str:
    return run.arm.removesuffix(f" [{run.setting}]") if run.setting else run.arm
