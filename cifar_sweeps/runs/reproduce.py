"""One run again, from what the store has of it, and whether it came out the same."""

import dataclasses
import logging
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from rich.console import Console

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose, quote
from cifar_sweeps.config.parse import flatten, from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError, DataError, TrackingError, in_one_line
from cifar_sweeps.runs.folder import next_run_folder
from cifar_sweeps.runs.reporters import LogReporter, ReporterGroup, TerminalReporter
from cifar_sweeps.runs.reproduction_check import COMPARED, MetricsByEpoch, Tolerance, Verdict, compare_runs
from cifar_sweeps.runs.run import RunResult, run
from cifar_sweeps.system.files import is_inside, safe_load_yaml
from cifar_sweeps.tracking.store import PREFIX, RecordedRun, Store

_SURROUNDINGS = frozenset({"trainer.threads", "trainer.precision", "trainer.device", "data.root", "tracking.uri"})
"""Where a run's things lie, and what computes it: with others it is still the same run."""


def recorded_overrides(known: RecordedRun) -> list[str]:
    """Return what to type after ``cifar-train`` to repeat a run: its overrides, its threads and its precision.

    The latter two change sums in their last digits, and the machine may have chosen them. Raises TrackingError if the
    record does not hold them.
    """
    recorded, threads, precision = known.tag("overrides"), known.tag("threads"), known.tag("precision")
    if recorded is None or threads is None or precision is None:
        raise TrackingError(f"{known.run_id} ({known.name}): is not a run that cifar-train recorded; choose another")
    try:
        typed = shlex.split(recorded)
    except ValueError:  # cut by MLflow's limit in the middle of a quotation
        raise TrackingError(
            f"{known.run_id} ({known.name}): its overrides are not whole on record; see its config.yaml"
        ) from None
    odd = [override for override in typed if not _is_repeatable(override)]
    if odd:
        raise TrackingError(
            f"{known.run_id} ({known.name}): {odd[0]!r} stands among its overrides, and is not repeated from a record: "
            "flags, Hydra's own nodes and what reads this machine's environment; if you trust it, type the run yourself"
        )
    return [*typed, f"trainer.threads={threads}", f"trainer.precision={precision}"]


def _is_repeatable(override: str) -> bool:
    """Say whether a recorded override only says what to train: others may have written the record."""
    key, _, value = override.lstrip("+~").partition("=")
    resolves = "${" in value and ":" in value  # ${oc.env:TOKEN} would be read here, and recorded there
    return override.isprintable() and not override.startswith("-") and not resolves and key.split(".")[0] != "hydra"


def reproduce(known: RecordedRun, store: Store, console: Console, tolerance: Tolerance | None = None) -> Verdict:
    """Train the run again, as a run of its own that names the original, and say whether it came out the same.

    The config is the recorded one. Raises ConfigError if it is no longer understood, DataError if the images are not
    those of the record, TrackingError if there is nothing to compare with, and what the run raises.
    """
    recorded = _recorded_metrics(known, store)
    if not recorded:
        raise TrackingError(
            f"{known.run_id} ({known.name}): has no epochs on record to compare with; --show prints how to repeat it"
        )
    config = dataclasses.replace(
        from_dict(_localized(recorded_config(known, store), known, store)), overrides=tuple(recorded_overrides(known))
    )
    _check_images(config, known)
    result = _train_again(config, known, f"{known.name} again", console)
    return _compared(result, recorded, known, store, tolerance or Tolerance())


def rerun_with_overrides(
    known: RecordedRun, overrides: Sequence[str], store: Store, console: Console, tolerance: Tolerance | None = None
) -> Verdict | None:
    """Train the run again with ``overrides`` on top of its own, and print what that changed: config, then outcome.

    Returns a verdict if the overrides only say where things lie or what computes them: it is the same run then.
    Raises ConfigError if the overrides are not understood, DataError, TrackingError, and what the run raises.
    """
    before = recorded_config(known, store)
    own = [*recorded_overrides(known), *overrides]
    config = compose([*own, f"outputs={quote(str(store.outputs))}"])
    config = dataclasses.replace(config, overrides=tuple(own))
    changes = [f"changed {line}" for line in _differences(_localized(before, known, store), config.as_dict)]
    if not changes:
        raise ConfigError(f"{' '.join(overrides)}: is what the run had already; leave it out to repeat the run")
    for line in changes:
        console.print(line, markup=False, soft_wrap=True)
    is_the_same = all(override.partition("=")[0] in _SURROUNDINGS for override in overrides)
    if is_the_same:
        _check_images(config, known)
    result = _train_again(config, known, f"{known.name} with {' '.join(overrides)}", console)
    for metric in (*COMPARED, "test/loss", "test/accuracy"):
        if metric in known.metrics and metric in result.metrics:
            then_and_now = f"{metric}: {known.metrics[metric]:.6f} then, {result.metrics[metric]:.6f} now"
            console.print(then_and_now, markup=False, soft_wrap=True)
    recorded = _recorded_metrics(known, store)
    return _compared(result, recorded, known, store, tolerance or Tolerance()) if is_the_same and recorded else None


def _compared(
    result: RunResult, recorded: MetricsByEpoch, known: RecordedRun, store: Store, tolerance: Tolerance
) -> Verdict:
    repeated = {
        (metric, epoch.epoch): value
        for epoch in result.history
        for metric, value in epoch.by_name().items()
        if metric in COMPARED
    }
    new_tags = store.find_run(str(result.run_id)).tags if result.run_id else {}
    return compare_runs(recorded, repeated, _short_tags(known.tags), _short_tags(new_tags), tolerance)


def recorded_config(known: RecordedRun, store: Store) -> dict[str, Any]:
    """Return the config that a run recorded, as nested plain values. Raises TrackingError if there is none."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = store.client().download_artifacts(known.run_id, "config.yaml", folder)
            plain = safe_load_yaml(Path(path))
    except (MlflowException, OSError, ValueError) as error:
        raise TrackingError(
            f"{known.run_id} ({known.name}): its config.yaml cannot be read ({in_one_line(error)}); "
            f"repeat it by hand: cifar-train {shlex.join(recorded_overrides(known))}"
        ) from error
    if not isinstance(plain, dict):
        raise TrackingError(f"{known.run_id} ({known.name}): its config.yaml is not a config")
    return plain


def _localized(plain: Mapping[str, Any], known: RecordedRun, store: Store) -> dict[str, Any]:
    """Return a recorded config with this machine's outputs folder, and with what the machine chose for it then."""
    then, now = str(plain.get("outputs", "")), str(store.outputs)

    def moved(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: moved(entry) for key, entry in value.items()}
        if isinstance(value, str) and then and value.startswith(f"{then}/"):
            return now + value[len(then) :]
        return value

    default = compose([]).as_dict
    config = fill_missing_keys({key: moved(value) for key, value in plain.items()}, default)
    # The record may be another person's: it does not choose where this machine writes, fetches to, and reports to.
    config |= {"outputs": now, "tracking": _local_tracking(config, store)}
    config["data"] = _local_source(config.get("data"), Path(now), default["data"]["source"]["cache"])
    threads, precision = known.tag("threads"), known.tag("precision")
    if isinstance(config.get("trainer"), dict) and threads and precision:
        config["trainer"] |= {"threads": int(threads), "precision": precision}
    return config


def _local_tracking(config: Mapping[str, Any], store: Store) -> dict[str, Any]:
    tracking = config.get("tracking")
    return {**tracking, "uri": store.uri} if isinstance(tracking, Mapping) else {"backend": "mlflow", "uri": store.uri}


def _local_source(data: Any, outputs: Path, cache: str) -> Any:  # noqa: ANN401 (whatever is on record)
    """Return a recorded data node that keeps its cache in the outputs, and downloads nothing to elsewhere."""
    if not isinstance(data, Mapping) or not isinstance(data.get("source"), Mapping):
        return data  # the schema says what is wrong with it
    source = dict(data["source"])
    if "cache" in source and not is_inside(str(source["cache"]), outputs):
        source["cache"] = cache
    if "download" in source and not is_inside(str(source.get("root")), outputs):
        source["download"] = False
    return {**data, "source": source}


def fill_missing_keys(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config with the keys that have been added to the schema since, as they stand by default.

    A default is what was done before there was the key. Nodes that are built (with a ``_target_``) stay as they are.
    """
    found = dict(recorded)
    for key, value in now.items():
        held = found.get(key)
        if key not in found:
            found[key] = value
        elif isinstance(held, Mapping) and isinstance(value, Mapping) and "_target_" not in held and "name" not in held:
            found[key] = fill_missing_keys(held, value)
    return found


def _check_images(config: RunConfig, known: RecordedRun) -> None:
    recorded, found = known.tag("data_fingerprint"), build.images(config)
    if recorded is not None and recorded != found.fingerprint:
        raise DataError(
            f"{found.name}: these are not the images of the record (fingerprint {found.fingerprint}, then {recorded}); "
            "use the same data set in the same order (data.root), or give overrides to train on these"
        )


def _train_again(config: RunConfig, known: RecordedRun, name: str, console: Console) -> RunResult:
    folder = next_run_folder(config)
    folder.mkdir(parents=True)
    with _logged_into(folder / "run.log"):
        return run(
            config,
            name=name,
            folder=folder,
            tags={"reproduces": known.run_id},
            watcher=ReporterGroup(LogReporter(), TerminalReporter(console)),
        )


def _recorded_metrics(known: RecordedRun, store: Store) -> MetricsByEpoch:
    return {(metric, epoch): value for metric in COMPARED for epoch, value in store.history(known.run_id, metric)}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    was, now = flatten(before), flatten(after)
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key) and not key.startswith(("outputs", "published", "claims")):
            yield f"{key}: {was.get(key, 'absent')} -> {now.get(key, 'absent')}"


def _short_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}


@contextmanager
def _logged_into(path: Path) -> Iterator[None]:
    """Write this project's log into a file and nowhere else: what `cifar-train` has Hydra do."""
    ours, file = logging.getLogger("cifar_sweeps"), logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    level, propagates = ours.level, ours.propagate
    ours.addHandler(file)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(file)
        file.close()
        ours.setLevel(level)
        ours.propagate = propagates
