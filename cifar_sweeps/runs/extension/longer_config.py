"""Read which length is asked for, and make the longer run's config from the finished run's."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from cifar_sweeps.config import build
from cifar_sweeps.config.hydra_messages import explain_composition_error
from cifar_sweeps.config.parse import flatten, is_place, is_without_effect
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_overrides import is_plain_value_override, parse_overrides
from cifar_sweeps.runs.recorded import (
    compose_anew,
    confined_source,
    recorded_images,
    recorded_overrides,
    repeat_command,
)
from cifar_sweeps.runs.reproduce import ENVIRONMENT_KEYS
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.training.early_stopping import EarlyStopper
from cifar_sweeps.training.metrics import EpochMetrics

_STOPPING = "trainer.early_stopping."
_LENGTH_KEYS = (
    "trainer.epochs",
    "trainer.test_at",
    *(f"{_STOPPING}{key}" for key in ("patience", "min_delta", "monitor")),
)
"""Keys that say how long a run is, and when it is tested."""
_PLACE_KEYS = tuple(sorted(ENVIRONMENT_KEYS - {"tracking.uri"}))  # the longer run is recorded where the other one is
_FOLLOWING = ("trainer.epochs", "trainer.test_at", _STOPPING, "lr_schedule.")
"""Keys that a longer training may have other values of: what they mean for the epochs so far is looked at."""


@dataclasses.dataclass(frozen=True)
class LongerConfig:
    """The config of a longer run. before: the finished run's, composed in the same way; both with all overrides."""

    before: RunConfig
    after: RunConfig


def check_overrides(overrides: Sequence[str], original: RecordedRun) -> None:
    """Raise ConfigError for an override that does more than make a run longer."""
    try:
        parsed = parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(explain_composition_error(error)) from error
    errors = []
    for override in parsed:
        line, key = str(override.input_line), override.key_or_group
        if override.is_sweep_override() or "${" in line:
            errors.append(f"{line}: must be one value, as one run is made longer; give each length by itself")
        elif key not in (*_LENGTH_KEYS, *_PLACE_KEYS) or not is_plain_value_override(override):
            own = repeat_command(original, [f"trainer.init_from={original.run_id}", line])
            errors.append(
                f"{line}: extend changes only how long a run is ({', '.join(_LENGTH_KEYS)}) and where it is trained "
                f"({', '.join(_PLACE_KEYS)}); to train its weights on with other settings: {own}"
            )
    if errors:
        raise ConfigError(errors)


def compose_longer(run: TrainedRun, overrides: Sequence[str]) -> LongerConfig:
    """Compose the config of a run as it was, and with the overrides, for the images that it was trained on.

    Raises ConfigError if they are not valid, if the run's config files have changed since, if the length decides over
    more than the learning rate, or if the run has parts; DataError if the images are not at hand, or others now.
    """
    own = _one_of_each(recorded_overrides(run.record))
    before = compose_anew(own, run.record, run.store)
    more = [*overrides, *(["trainer.resume=auto"] if before.trainer.resume != "auto" else [])]
    all_overrides = _one_of_each([*own, *more])
    after = _confined(compose_anew(all_overrides, run.record, run.store), run)
    images = recorded_images(after, run.record, run.progress)
    after = _with_download_of(before, after)  # its images are at hand: nothing is downloaded
    before, after = build.with_classes_of(before, images), build.with_classes_of(after, images)
    changed = list(_changes(run.config, before))
    if changed:
        raise ConfigError(
            f"{run.label}: its config files say something else since it was trained: {'; '.join(changed[:3])}; put "
            f"them back, or start from its weights: {_from_weights(run.record)}"
        )
    moved = [each for each in _changes(before, after) if not each.startswith((*_FOLLOWING, *_PLACE_KEYS))]
    if moved:
        raise ConfigError(
            f"{run.label}: its config makes more of the length than the learning rate ({'; '.join(moved[:3])}), so "
            f"the epochs so far belong to another training; train the longer one: {_anew(run.record, overrides)}"
        )
    if after.trainer.parts > 1:
        raise ConfigError(
            f"{run.label}: has trainer.parts={after.trainer.parts}: {after.trainer.epochs} epochs on each part would "
            f"train longer on the first part before the next, which is over; train the longer one: "
            f"{_anew(run.record, overrides)}"
        )
    return LongerConfig(before, dataclasses.replace(after, overrides=tuple(all_overrides)))


def check_length(config: LongerConfig, run: TrainedRun, history: Sequence[EpochMetrics]) -> None:
    """Raise ConfigError if the longer run has nothing left to train. history: of the finished run's epochs."""
    after, epochs = config.after, len(history)
    stopping = after.trainer.early_stopping
    stopper = EarlyStopper(stopping.patience, stopping.min_delta, stopping.monitor)
    stopped = next((each.epoch for each in history if stopper.should_stop(each)), None)
    if stopped is not None:
        raise ConfigError(
            f"trainer.early_stopping.patience={stopping.patience}: stops this training after epoch {stopped}, however "
            "long it is; add trainer.early_stopping.patience=null, or a larger one"
        )
    if after.trainer.epochs > epochs:
        return
    asked = f"trainer.epochs={after.trainer.epochs}: the run has trained {epochs} epochs already"
    if after.budget.full is not None:
        twice = round(2 * epochs / after.budget.epochs)
        raise ConfigError(
            f"{asked} (budget={after.budget.name} leaves {after.budget.epochs:g} of the epochs that are asked for); "
            f"for {2 * epochs} epochs: trainer.epochs={twice}"
        )
    raise ConfigError(f"{asked}; ask for more, e.g. trainer.epochs={2 * epochs}")


def _one_of_each(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with the last one of each key alone, in its place."""
    last: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0]
        last.pop(key, None)
        last[key] = override
    return list(last.values())


def _changes(before: RunConfig, after: RunConfig) -> Iterator[str]:
    """Yield the differences that may change a result, such as ``lr_schedule.epochs: 10 -> 20``."""
    was, now = flatten(before.as_dict), flatten(after.as_dict)
    for key in sorted({*was, *now}):
        same = was.get(key) == now.get(key) or is_without_effect(key) or is_place(key)
        if not same and key != "data.source.download":  # a record's is confined to the outputs
            yield f"{key}: {was.get(key, 'absent')} -> {now.get(key, 'absent')}"


def _confined(config: RunConfig, run: TrainedRun) -> RunConfig:
    """Return the config with cache and downloads inside the outputs: the record may be another user's."""
    default = run.config.data.source.get("cache", "")  # confined already
    return _with_source(config, confined_source(config.as_dict["data"], Path(run.store.outputs), default)["source"])


def _with_download_of(before: RunConfig, after: RunConfig) -> RunConfig:
    """Return ``after`` with what its overrides say of downloads, so that a resume composes the same config."""
    if "download" not in before.data.source:
        return after
    return _with_source(after, {**after.data.source, "download": before.data.source["download"]})


def _with_source(config: RunConfig, source: dict[str, Any]) -> RunConfig:
    as_dict = {**config.as_dict, "data": {**config.as_dict["data"], "source": source}}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source), as_dict=as_dict)


def _anew(original: RecordedRun, overrides: Sequence[str]) -> str:
    return repeat_command(original, overrides)


def _from_weights(original: RecordedRun) -> str:
    return repeat_command(original, [f"trainer.init_from={original.run_id}"])
