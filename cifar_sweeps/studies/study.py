"""A study's runs, and which of them are looked at together."""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking.store import PREFIX

_MOST_NAMED = 8


@dataclass(frozen=True)
class StudyRun:
    """One run. ``metrics`` are the last values, with the gaps and ``seconds_an_epoch`` beside those on record."""

    run_id: str
    name: str
    state: str
    """In small letters: finished, failed, killed, running."""
    swept: Mapping[str, str]
    setting: str
    """What else parts runs that must not be averaged, such as a budget; empty if nothing does."""
    arm: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    started: datetime.datetime
    seconds: float | None

    def tag(self, key: str) -> str | None:
        """Return one of the tags that this project sets, by its short name."""
        return self.tags.get(f"{PREFIX}{key}")

    @property
    def seed(self) -> int | None:
        """The seed, or None if it is not on record."""
        text = self.params.get("seed", self.swept.get("seed", ""))
        return int(text) if text.lstrip("-").isdigit() else None

    @property
    def parts(self) -> int:
        """Into how many parts, trained one after another, the training images were divided."""
        text = self.params.get("trainer.parts", self.swept.get("trainer.parts", "1"))
        return max(1, int(text)) if text.isdigit() else 1

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.state == "finished"


@dataclass(frozen=True)
class SweepRun:
    """The parent of a sweep's runs. ``overrides`` is what was typed after ``cifar-train``."""

    run_id: str
    sweep_id: str
    overrides: str
    started: datetime.datetime


@dataclass(frozen=True)
class Study:
    """Runs that are looked at together, in the order in which they started, and the sweeps that they came from."""

    name: str
    runs: tuple[StudyRun, ...]
    sweeps: tuple[SweepRun, ...]

    def of_sweeps(self, sweep_ids: Sequence[str]) -> "Study":
        """Return the study with the runs of these sweeps alone. Raises TrackingError if one of them is not there."""
        known = [sweep.sweep_id for sweep in self.sweeps]
        for sweep_id in sweep_ids:
            if sweep_id not in known:
                raise TrackingError(f"{sweep_id}: the study {self.name} has no such sweep; it has {list_names(known)}")
        runs = [run for run in self.runs if run.tag("sweep_id") in sweep_ids]
        if not runs:
            raise TrackingError(f"{', '.join(sweep_ids)}: no run was recorded in it")
        sweeps = tuple(sweep for sweep in self.sweeps if sweep.sweep_id in sweep_ids)
        return Study(self.name, tuple(disambiguate_arms(runs)), sweeps)

    def deduplicated(self) -> list[StudyRun]:
        """Return the finished runs; of those that repeat an arm with the same seed, the newest alone.

        A repeated run gives the same figures again: counted twice, it would pass for a second seed.
        """
        newest = {(run.arm, run.seed): run for run in self.runs if run.finished}
        return [run for run in self.runs if newest.get((run.arm, run.seed)) is run]


def list_names(names: Sequence[str]) -> str:
    """Return names in a message: the first few, and how many there are."""
    more = f", … ({len(names)} in all)" if len(names) > _MOST_NAMED else ""
    return (", ".join(names[:_MOST_NAMED]) or "none at all") + more


def disambiguate_arms(runs: Iterable[StudyRun]) -> list[StudyRun]:
    """Return the runs, those of one arm told apart by name if they had different budgets or different data.

    Only between sweeps: what differs within a sweep was swept, or belongs to an arm.
    """
    runs = [replace(run, setting="", arm=_bare_arm(run)) for run in runs]
    settings = [
        ", ".join(filter(None, words)) for words in zip(*(_between(runs, of) for of in (_budget, _data)), strict=True)
    ]
    conditions: dict[tuple[str, str, str], set[str]] = {}
    for run, setting in zip(runs, settings, strict=True):
        for key in ("budget", "data_fingerprint"):
            conditions.setdefault((run.arm, setting, key), set()).update(filter(None, [run.tag(key)]))
    if any(len(found) > 1 for found in conditions.values()) and len({_sweep(run) for run in runs}) > 1:
        settings = [_sweep(run) for run in runs]  # words do not tell them apart, but their sweeps do
    return [
        replace(run, setting=setting, arm=f"{run.arm} [{setting}]" if setting else run.arm)
        for run, setting in zip(runs, settings, strict=True)
    ]


def _between(runs: Sequence[StudyRun], word: Callable[[StudyRun], str]) -> list[str]:
    """Return a word for each run, or nothing at all if every sweep has the same words."""
    of_sweeps: dict[str, set[str]] = {}
    for run in runs:
        of_sweeps.setdefault(_sweep(run), set()).update(filter(None, [word(run)]))
    differ = len({frozenset(words) for words in of_sweeps.values() if words}) > 1
    return [word(run) if differ else "" for run in runs]


def _budget(run: StudyRun) -> str:
    return (run.tag("budget") or "").split(":")[0]


def _data(run: StudyRun) -> str:
    return run.tag("data") or ""


def _sweep(run: StudyRun) -> str:
    sweep_id = run.tag("sweep_id")
    return f"sweep {sweep_id}" if sweep_id else "single run"


def _bare_arm(run: StudyRun) -> str:
    return run.arm.removesuffix(f" [{run.setting}]") if run.setting else run.arm
