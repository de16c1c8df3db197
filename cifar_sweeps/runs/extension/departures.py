"""Say why a run that was made longer is not the same as one that was asked for that many epochs at once."""

from collections.abc import Iterator, Sequence

from cifar_sweeps.config import build
from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.extension.longer_config import LongerConfig
from cifar_sweeps.runs.identity import environment_tags, own_tags
from cifar_sweeps.runs.reproduce import short_tags
from cifar_sweeps.runs.reproduction_check import environment_differences
from cifar_sweeps.runs.setup import resolve_threads
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.training.metrics import EpochMetrics
from cifar_sweeps.training.precision import resolve_device, resolve_precision

_STEPS_COMPARED = 32
"""Points of an epoch at which two learning rates are compared."""
_DECISIVE = frozenset({"precision", "device", "numbers", "own_code", "weight_files"})
"""What makes two runs two arms: one that has both halves is neither. Other differences change the last bits at most."""


def departures(config: LongerConfig, original: RecordedRun, history: Sequence[EpochMetrics]) -> list[str]:
    """Return in what the longer training differs from one of its length at once; nothing if in nothing.

    history: of the finished run's epochs.
    """
    found = [original.tag("not_as_at_once") or "", _of_schedule(config, len(history)), _of_validation(config, history)]
    return [*filter(None, found), *_environment(config.after, original, decisive=True)]


def last_bit_causes(config: LongerConfig, original: RecordedRun) -> list[str]:
    """Return what differs between the machine of the finished run and this one, and may change the last bits."""
    return list(_environment(config.after, original, decisive=False))


def _of_schedule(config: LongerConfig, epochs: int) -> str:
    """Compare the learning rates of the epochs that are over, which may depend on the length that was asked for."""
    was, now = flatten(config.before.lr_schedule, "lr_schedule."), flatten(config.after.lr_schedule, "lr_schedule.")
    if was == now:
        return ""
    before, after = build.schedule(config.before), build.schedule(config.after)
    points = [step / _STEPS_COMPARED for step in range(_STEPS_COMPARED * epochs)]
    has_state = bool(before.state_dict() or after.state_dict())  # its rate depends on more than the progress
    if not has_state and all(before.factor(point) == after.factor(point) for point in points):
        return ""
    keys = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    changes = ", ".join(f"{key} {was.get(key, 'absent')} -> {now.get(key, 'absent')}" for key in keys)
    text = f"the learning rate depends on the length ({changes})"
    if has_state:
        return text
    lr = float(config.after.optimizer["lr"])
    ended, goes_on = lr * before.factor(epochs), lr * after.factor(epochs)
    return f"{text}: it ended at {ended:.3g} after epoch {epochs}, and goes on at {goes_on:.3g}, that of the longer one"


def _of_validation(config: LongerConfig, history: Sequence[EpochMetrics]) -> str:
    every = config.after.trainer.validate_every
    extra = [each.epoch for each in history if each.val_accuracy is not None and each.epoch % every]
    if not extra:
        return ""
    epochs = ", ".join(map(str, extra))
    return f"epoch {epochs}, a last one, was validated in spite of trainer.validate_every={every}, and may be the best"


def _environment(config: RunConfig, original: RecordedRun, decisive: bool) -> Iterator[str]:
    device = resolve_device(config.trainer.device)
    precision = resolve_precision(config.trainer.precision, device).name
    now = {**environment_tags(device, precision, resolve_threads(config)), **own_tags(config)}
    was = short_tags(original.tags)
    chosen = {key for key in {*was, *now} if (key in _DECISIVE) == decisive}
    yield from environment_differences(
        {key: value for key, value in was.items() if key in chosen},
        {key: value for key, value in now.items() if key in chosen},
    )
