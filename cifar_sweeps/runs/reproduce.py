"""Reproduce a recorded run, or rerun it with other overrides."""

import copy
import dataclasses
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from cifar_sweeps.config import build
from cifar_sweeps.config.parse import flatten, from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.hydra_overrides import is_plain_value_override, parse_overrides
from cifar_sweeps.runs.folder import next_run_folder
from cifar_sweeps.runs.recorded import (
    compose_anew,
    localized_config,
    recorded_config,
    recorded_images,
    recorded_overrides,
    repeat_command,
)
from cifar_sweeps.runs.reporters import LogReporter, ReporterGroup, TerminalReporter
from cifar_sweeps.runs.reproduction_check import COMPARED, MetricsByEpoch, Tolerance, Verdict, compare_runs
from cifar_sweeps.runs.run import RunResult, run
from cifar_sweeps.tracking.recorded_run import PREFIX, RecordedRun
from cifar_sweeps.tracking.store import Store

ENVIRONMENT_KEYS = frozenset({"trainer.threads", "trainer.precision", "trainer.device", "data.root", "tracking.uri"})
"""Keys of places and hardware: with other values it is still the same run."""
_SOURCES = ("kernel_size", "regularization.dropout", "budget", "trainer.epochs")
"""Keys that other values of a config are made from when it is composed."""


def reproduce(original: RecordedRun, store: Store, console: Console, tolerance: Tolerance | None = None) -> Verdict:
    """Train a run again with its recorded config, as a new run, and compare the two.

    Raises ConfigError if the config is no longer valid, DataError if the images are not the recorded ones,
    TrackingError if there are no recorded metrics, and what the run raises.
    """
    _check_at_once(original)
    recorded = recorded_metrics(original, store)
    if not recorded:
        raise TrackingError(
            f"{original.run_id} ({original.name}): has no recorded epochs to compare with; "
            "--show prints the command that repeats it"
        )
    config = dataclasses.replace(
        from_dict(localized_config(recorded_config(original, store), original, store)),
        overrides=tuple(recorded_overrides(original)),
    )
    recorded_images(config, original)
    result = train_again(config, f"{original.name} again", console, {"reproduces": original.run_id})
    return _compare(result, recorded, original, store, tolerance or Tolerance())


def rerun_with_overrides(
    original: RecordedRun, overrides: Sequence[str], store: Store, console: Console, tolerance: Tolerance | None = None
) -> Verdict | None:
    """Train a run again with ``overrides`` added to its own, and print the changes of config and metrics.

    Returns a verdict if the overrides only set places and hardware, as it is the same run then.
    Raises ConfigError if the overrides are not valid, DataError, TrackingError, and what the run raises.
    """
    _check_at_once(original)
    before = recorded_config(original, store)
    own = [*recorded_overrides(original), *overrides]
    localized = localized_config(before, original, store)
    config = _with_overrides(own, overrides, localized, original, store)
    config = dataclasses.replace(build.with_classes_of(config, build.images(config)), overrides=tuple(own))
    # What a run leaves is no part of it: a large sweep keeps less by itself, and only its best run's model.
    unasked = {"tracking.keep", "analysis.log_model"} - {each.partition("=")[0].lstrip("+") for each in overrides}
    changes = [f"changed {line}" for line in _differences(localized, config.as_dict, unasked)]
    if not changes:
        raise ConfigError(f"{' '.join(overrides)}: changes nothing; leave it out to repeat the run")
    for change in changes:
        console.print(change, markup=False, soft_wrap=True)
    is_same_run = all(override.partition("=")[0] in ENVIRONMENT_KEYS for override in overrides)
    if is_same_run:
        recorded_images(config, original)
    tags = {"reproduces": original.run_id}
    result = train_again(config, f"{original.name} with {' '.join(overrides)}", console, tags)
    for metric in (*COMPARED, "test/loss", "test/accuracy"):
        if metric in original.metrics and metric in result.metrics:
            line = f"{metric}: {original.metrics[metric]:.6f} then, {result.metrics[metric]:.6f} now"
            console.print(line, markup=False, soft_wrap=True)
    recorded = recorded_metrics(original, store)
    return _compare(result, recorded, original, store, tolerance or Tolerance()) if is_same_run and recorded else None


def _with_overrides(
    own: Sequence[str], more: Sequence[str], recorded: Mapping[str, Any], original: RecordedRun, store: Store
) -> RunConfig:
    """Return a run's config with further overrides; from its record alone where its own config files are gone.

    own: all overrides; more: those added now. Raises ConfigError.
    """
    config_dir = original.tag("config_dir")
    if config_dir is None or Path(config_dir).is_dir():
        return compose_anew(own, original, store)
    return from_dict(_changed_record(more, recorded, config_dir))


def _changed_record(overrides: Sequence[str], recorded: Mapping[str, Any], config_dir: str) -> dict[str, Any]:
    """Return a recorded config with overrides of single values, which no other value was made from."""
    found = copy.deepcopy(dict(recorded))
    for override in parse_overrides(overrides):
        key = override.key_or_group
        path = key.split(".")
        node: Any = found
        for part in path[:-1]:
            node = node.get(part) if isinstance(node, dict) else None
        if (
            not is_plain_value_override(override)
            or not isinstance(node, dict)
            or path[-1] not in node
            or isinstance(node[path[-1]], dict)
            or key.startswith(_SOURCES)
        ):
            raise ConfigError(
                f"{override.input_line}: cannot be applied to the run's record alone, and its "
                f"config files are gone ({config_dir}); put them back, or override single values such as optimizer.lr=…"
            )
        node[path[-1]] = override.value()
    return found


def _compare(
    result: RunResult, recorded: MetricsByEpoch, original: RecordedRun, store: Store, tolerance: Tolerance
) -> Verdict:
    repeated = {
        (metric, epoch.epoch): value
        for epoch in result.history
        for metric, value in epoch.by_name().items()
        if metric in COMPARED
    }
    new_tags = store.find_run(str(result.run_id)).tags if result.run_id else {}
    return compare_runs(recorded, repeated, short_tags(original.tags), short_tags(new_tags), tolerance)


def train_again(
    config: RunConfig,
    name: str,
    console: Console,
    tags: Mapping[str, str],
    prepare: Callable[[Path], None] = lambda _folder: None,
) -> RunResult:
    """Train a new single run with a log file of its own. prepare: called with its folder before it starts."""
    folder = next_run_folder(config)
    folder.mkdir(parents=True)
    with _log_to(folder / "run.log"):
        prepare(folder)
        reporter = ReporterGroup(LogReporter(), TerminalReporter(console))
        return run(config, name=name, folder=folder, tags=tags, reporter=reporter)


def recorded_metrics(original: RecordedRun, store: Store) -> MetricsByEpoch:
    """Return what a run has recorded of the metrics that a repetition is compared by."""
    return {(metric, epoch): value for metric in COMPARED for epoch, value in store.history(original.run_id, metric)}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], without: Collection[str]) -> Iterator[str]:
    was, now = flatten(before), flatten(after)
    for key in sorted({*was, *now} - {*without}):
        if was.get(key) != now.get(key) and not key.startswith(("outputs", "published", "full_epochs", "claims")):
            yield f"{key}: {was.get(key, 'absent')} -> {now.get(key, 'absent')}"


def _check_at_once(original: RecordedRun) -> None:
    """Raise TrackingError for a run that was made longer in a way that training it at once does not repeat."""
    reason = original.tag("not_as_at_once")
    if reason:
        raise TrackingError(
            f"{original.run_id[:8]} ({original.name}): was made longer, which training it at once does not repeat "
            f"({reason}); make the shorter run longer again: {repeat_command(original)}"
        )


def short_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return this project's tags by their names without the prefix."""
    return {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Write this project's log into a file only, as Hydra does for `cifar-train`."""
    project_log, file = logging.getLogger("cifar_sweeps"), logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    level, propagates = project_log.level, project_log.propagate
    project_log.addHandler(file)
    project_log.setLevel(logging.INFO)
    project_log.propagate = False
    try:
        yield
    finally:
        project_log.removeHandler(file)
        file.close()
        project_log.setLevel(level)
        project_log.propagate = propagates
