"""Choose the runs that are judged: sweeps of one design, whole runs; and say in a line what is left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.columns import find_column
from cifar_sweeps.studies.histories import History, is_by_epoch, metric_at_epoch
from cifar_sweeps.studies.pooling import name_arms
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.tracking.recorded_run import PREFIX

EARLY_STOPPED = "early_stopped"
"""Tag of a run that early stopping has paused; its epoch."""


def of_one_design(study: Study) -> tuple[Study, list[str]]:
    """Return the newest sweep's runs with those of sweeps of the same swept keys and setting, and a line for the rest.

    Of a study without sweeps, all its runs. The arms are named anew.
    """
    by_sweep: dict[str, list[StudyRun]] = {}
    for run in study.runs:
        by_sweep.setdefault(run.tag("sweep_id") or "", []).append(run)
    single = by_sweep.pop("", []) if any(by_sweep) else []
    whole = [sweep for sweep, runs in by_sweep.items() if any(map(is_whole, runs))]
    newest = max(whole or by_sweep, key=lambda sweep: min(run.started for run in by_sweep[sweep]))
    kept = [sweep for sweep, runs in by_sweep.items() if _design(runs) == _design(by_sweep[newest])]
    others = [sweep for sweep in by_sweep if sweep not in kept]
    chosen = replace(
        study,
        runs=tuple(name_arms(run for run in study.runs if (run.tag("sweep_id") or "") in kept)),
        sweeps=tuple(sweep for sweep in study.sweeps if sweep.sweep_id in kept),
    )
    left_out = [
        *([f"{_count(len(single), 'single run')}"] if single else []),
        *([f"{', '.join(others)}, of other keys or another setting (--sweep names them)"] if others else []),
    ]
    return chosen, [f"Left out beside the newest sweep: {'; '.join(left_out)}."] if left_out else []


def is_whole(run: StudyRun) -> bool:
    """Return whether a run was trained to its end: finished, and not paused by early stopping."""
    return run.finished and not run.tag(EARLY_STOPPED)


def usable_runs(study: Study, metric: str) -> tuple[list[StudyRun], list[str]]:
    """Return the whole runs that have the metric, one an arm and seed, and at most one line on those left out.

    Raises ConfigError if there are none.
    """
    whole = [run for run in study.runs if is_whole(run)]
    counted = replace(study, runs=tuple(whole)).deduplicated()
    found = [run for run in counted if metric in run.metrics]
    stopped = sum(bool(run.tag(EARLY_STOPPED)) for run in study.runs)
    states = Counter(run.state for run in study.runs if not run.finished and not run.is_paused)
    left_out = [
        *(f"{number} {state}" for state, number in states.items()),
        *([f"{stopped} stopped early"] if stopped else []),
        *([f"{_count(len(whole) - len(counted), 'repeat')} of an arm and seed"] if len(whole) > len(counted) else []),
        *([f"{len(counted) - len(found)} without {metric}"] if len(counted) > len(found) else []),
    ]
    line = f"Left out of {_count(len(study.runs), 'run')}: {', '.join(left_out)}." if left_out else ""
    if not found:
        raise ConfigError(f"{study.name}: no run was trained to its end with {metric}; {line or 'there are no runs'}")
    if stopped:
        line += " Early stopping keeps the better ones: the shares are those among the arms that it kept."
    return found, [line] if line else []


def at_epoch(study: Study, metric: str, epoch: int, histories: Mapping[str, History]) -> tuple[Study, str]:
    """Return the study with what a metric was at an epoch as a metric of its own, and that one's name.

    Runs that early stopping paused at that epoch or later count as whole ones: up to there they are. histories: of the
    metric, by run id. Raises ConfigError if no run has it at that epoch.
    """
    name = f"{metric} at epoch {epoch}"
    values = {
        run.run_id: metric_at_epoch(run.metrics, histories.get(run.run_id, {}), metric, epoch) for run in study.runs
    }
    if all(value is None for value in values.values()):
        reached = [at for history in histories.values() for at in history.get(metric, {})]
        reached = reached if is_by_epoch(metric) else []
        allowed = f"epochs {min(reached)} to {max(reached)}" if reached else "no epoch, but for whole runs"
        raise ConfigError(f"--epoch {epoch}: no run has {metric} at this epoch; it is recorded at {allowed}")
    runs = [
        run
        if (value := values[run.run_id]) is None
        else replace(
            run,
            state="finished" if run.is_paused else run.state,
            metrics={**run.metrics, name: value},
            tags={key: text for key, text in run.tags.items() if key != f"{PREFIX}{EARLY_STOPPED}"},
        )
        for run in study.runs
    ]
    return replace(study, runs=tuple(runs)), name


def find_metric(study: Study, typed: str) -> str:
    """Return the metric that a user means by its name, its heading or the end of its name. Raises ConfigError."""
    return find_column(typed, list(dict.fromkeys(name for run in study.runs for name in run.metrics)), "metric", "")


def is_lower_better(metric: str) -> bool:
    """Return whether less is better of a metric: of all but accuracies, precision, recall, F1 and images a second."""
    if metric.startswith("gap/"):
        return True
    return not any(word in metric for word in ("accuracy", "precision", "recall", "/f1", "images_per_second"))


def _design(runs: Sequence[StudyRun]) -> tuple[frozenset[str], frozenset[str]]:
    """Return what the runs of sweeps that are judged together have in common: swept keys, and the setting."""
    keys = frozenset(key for run in runs for key in run.swept if key != "seed")
    return keys, frozenset(run.setting for run in runs)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
