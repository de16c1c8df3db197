"""Replay a finished sweep with early stopping: what it would have saved, and what it would have lost."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from cifar_sweeps.errors import ConfigError, TrackingError, did_you_mean
from cifar_sweeps.search.replay import Summary, best_arm, draw_orders, final_values, summarize
from cifar_sweeps.search.replay import replay as replay_order
from cifar_sweeps.search.rungs import Ladder, Rule, make_ladder
from cifar_sweeps.search.simulation import WholeRun
from cifar_sweeps.studies.histories import History, read_histories
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.study import Study, StudyRun, list_names
from cifar_sweeps.tracking.store import Store

Metric = Literal["val/accuracy", "val/loss"]
_SECONDS = "epoch_seconds"
PAUSED = "paused by early stopping"
"""Why a run is left out that early stopping itself has paused."""
_DIVERGED = "DivergedError"
"""With it begins the reason of a failure that comes again whenever the run is trained."""


@dataclass(frozen=True)
class Settings:
    """How the sweep is stopped early: what ``sweep.early_stopping``, ``metric``, ``eta`` and ``grace_epochs`` say."""

    rule: Rule = "asha"
    metric: Metric = "val/accuracy"
    eta: int = 4
    grace_epochs: int = 4

    @property
    def ladder(self) -> Ladder:
        """The rungs."""
        return make_ladder(self.rule, eta=self.eta, grace_epochs=self.grace_epochs)

    @property
    def rises(self) -> bool:
        """Whether a higher value is better."""
        return self.metric == "val/accuracy"

    @property
    def overrides(self) -> list[str]:
        """What to type for ``cifar-train``."""
        typed = {"metric": self.metric, "grace_epochs": self.grace_epochs}
        if self.rule == "asha":
            typed["eta"] = self.eta
        changed = [f"sweep.{key}={value}" for key, value in typed.items() if value != getattr(Settings, key)]
        return [f"sweep.early_stopping={self.rule}", *changed]


def read_settings(rule: str, typed: Sequence[str]) -> Settings:
    """Return the settings of ``eta=4 grace_epochs=4 metric=val/accuracy``. Raises ConfigError with every mistake."""
    errors, found = [], dict[str, Any]()
    if rule not in get_args(Rule):
        errors.append(f"--early-stopping {rule}: must be {' or '.join(get_args(Rule))}")
    least = {"eta": 2, "grace_epochs": 1}
    for each in typed:
        key, sign, value = each.removeprefix("sweep.").partition("=")
        if key in least and sign:
            is_number = value.isdecimal() and int(value) >= least[key]
            found[key] = int(value) if is_number else None
            errors += [] if is_number else [f"{each}: must be a whole number of at least {least[key]}"]
        elif key == "metric" and sign:
            found[key] = value
            errors += [] if value in get_args(Metric) else [f"{each}: must be {' or '.join(get_args(Metric))}"]
        else:
            keys = ["eta", "grace_epochs", "metric"]
            errors.append(
                f"{each}: is no setting; write eta=4, grace_epochs=4 or metric=val/loss{did_you_mean(key, keys)}"
            )
    if errors:
        raise ConfigError(errors)
    return Settings(rule=rule, **found)  # type: ignore[arg-type]  # it is one of them


@dataclass(frozen=True)
class Replay:
    """What came of it. summaries: by the number of workers. left_out: why and how many runs are not in it."""

    what: str
    settings: Settings
    runs: tuple[WholeRun, ...]
    summaries: Mapping[int, Summary]
    left_out: Mapping[str, int]
    command: str
    """What trained the sweep; empty for single runs."""

    @property
    def final(self) -> dict[str, float]:
        """Each arm's value at its end."""
        return final_values(self.runs)

    @property
    def best(self) -> str:
        """The best of all arms."""
        return best_arm(self.final, self.settings.rises)


def replay(
    what: str, store: Store, settings: Settings, workers: Sequence[int], orders: int, say: Callable[[str], None]
) -> Replay:
    """Replay the whole runs of a study or a sweep. say: told what is being done.

    Raises TrackingError if there is none of this name, or too few of its runs can be replayed, with the reasons.
    """
    study = find_runs(what, store)
    _check_comparable(what, study)
    metrics = [settings.metric, _SECONDS]
    histories = read_histories(store.client(), [run.run_id for run in study.runs], metrics)
    runs, left_out = whole_runs(study, histories, settings)
    final = final_values(runs)
    if len(final) < 2:
        why = f" (left out: {count_reasons(left_out)})" if left_out else ""
        raise TrackingError(
            f"{what}: cannot be replayed: at least 2 arms must have been trained to their end, and "
            f"{'1 has' if final else 'none has'}{why}"
        )
    lengths = {run.epochs for run in runs}
    if not any(settings.ladder.rungs(length) for length in lengths):
        raise TrackingError(
            f"{what}: there is nothing to be stopped: its runs are {max(lengths)} epochs long, and the first rung is "
            f"after epoch {settings.grace_epochs}; give a lower grace_epochs"
        )
    summaries = {}
    drawn = draw_orders(runs, orders)
    for number in workers:
        outcomes = []
        for done, order in enumerate(drawn):
            say(f"{number} workers: order {done + 1} of {orders}")
            outcomes.append(replay_order(runs, settings.ladder, order, number, rises=settings.rises))
        summaries[number] = summarize(outcomes)
    command = max(study.sweeps, key=lambda sweep: sweep.started).command if study.sweeps else ""
    return Replay(what, settings, tuple(runs), summaries, left_out, command)


def whole_runs(
    study: Study, histories: Mapping[str, History], settings: Settings
) -> tuple[list[WholeRun], dict[str, int]]:
    """Return the runs that can be replayed, and how many cannot, by the reason.

    A run that diverged is one of them: it would again.
    """
    left_out: dict[str, int] = {}
    newest = {(run.arm, run.seed): run for run in study.runs if _why_not_whole(run) is None}
    found = []
    for run in study.runs:
        reason = _why_not_whole(run)
        if reason is None and newest[run.arm, run.seed] is not run:
            reason = "superseded by a repeat"
        if reason is None:
            made = _whole_run(run, histories[run.run_id], settings)
            if isinstance(made, WholeRun):
                found.append(made)
                continue
            reason = made
        left_out[reason] = left_out.get(reason, 0) + 1
    return found, left_out


def count_reasons(left_out: Mapping[str, int]) -> str:
    """Return ``2 failed, 1 still running``."""
    return ", ".join(f"{number} {reason}" for reason, number in left_out.items())


def _check_comparable(what: str, study: Study) -> None:
    """Raise TrackingError if the sweeps of a study were not measured alike, so that their arms have no best one."""
    by_sweep: dict[str, set[tuple[str | None, ...]]] = {}
    for run in study.runs:
        if run.finished:
            budget = (run.tag("budget") or "").partition(":")[0]
            measured = (budget, run.tag("data"), run.tag("data_fingerprint"), run.tag("validated_on"))
            by_sweep.setdefault(run.tag("sweep_id") or "", set()).add(measured)
    if len({frozenset(each) for each in by_sweep.values()}) > 1:
        names = list_names([each for each in by_sweep if each][::-1])
        raise TrackingError(
            f"{what}: its sweeps have different budgets, images or validation data, so their arms cannot be compared; "
            f"name one of its sweeps: {names}"
        )


def _is_diverged(run: StudyRun) -> bool:
    return run.state == "failed" and (run.tag("failure") or "").startswith(_DIVERGED)


def _why_not_whole(run: StudyRun) -> str | None:
    if run.finished or _is_diverged(run):
        return None
    return {"paused": PAUSED, "running": "still running"}.get(run.state, run.state)


def _whole_run(run: StudyRun, history: History, settings: Settings) -> WholeRun | str:
    """Return a run to replay, or why it cannot be replayed."""
    length = run.params.get("trainer.epochs", "")
    if not length.isdecimal():
        return "without a recorded length"
    epochs, timed = int(length) * run.parts, history.get(_SECONDS, {})
    curve = {epoch: value for epoch, value in history.get(settings.metric, {}).items() if math.isfinite(value)}
    known = [seconds for seconds in timed.values() if seconds > 0]
    trained, diverged = max(timed, default=0), _is_diverged(run)
    if not diverged and trained not in curve:
        return f"without {settings.metric} at the end"
    if not diverged and not known:
        return "without the seconds of an epoch"
    if any(rung <= trained and rung not in curve for rung in settings.ladder.rungs(epochs)):
        return "not validated at a rung (trainer.validate_every)"
    usual = statistics.median(known) if known else 0.0
    seconds = [timed.get(epoch, usual) for epoch in range(1, trained + 1)]
    return WholeRun(run.arm, epochs, curve, seconds, failed=diverged)
