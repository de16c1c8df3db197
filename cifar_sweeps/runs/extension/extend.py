"""Make a finished run longer: train a new run, which starts with the finished one's last checkpoint and its history."""

import logging
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.runs.extension.departures import departures, last_bit_causes
from cifar_sweeps.runs.extension.longer_config import check_length, check_overrides, compose_longer
from cifar_sweeps.runs.recorded import repeat_command
from cifar_sweeps.runs.reproduce import recorded_metrics, train_again
from cifar_sweeps.runs.reproduction_check import COMPARED
from cifar_sweeps.runs.run import RunResult
from cifar_sweeps.runs.trained_run import TrainedRun, open_trained_run
from cifar_sweeps.tracking.recorded_run import RecordedRun, finish_command
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.training.starting_state import LastState, place_state, read_last_state

log = logging.getLogger(__name__)

_TESTED = re.compile(r"test(_augmented)?/(loss|accuracy|objective)")
"""Metrics of a test after an epoch of ``trainer.test_at``."""
_SUFFIX = re.compile(r" extended to \d+ epochs$")


def extend(original: RecordedRun, overrides: Sequence[str], store: Store, console: Console) -> RunResult:
    """Train a finished run for more epochs, as a new run, which has the epochs before as its own.

    overrides: ``trainer.epochs=…`` and what else says how long. A line says whether it is the same as a run that was
    asked for that many epochs at once, bit for bit, and if not, why not.
    Raises TrackingError if the run has not finished, or kept too little to go on from, ConfigError if the overrides do
    more than make it longer, DataError if its images are not at hand, TrainingError if its checkpoint is damaged, and
    what the new run raises.
    """
    _check_finished(original)
    check_overrides(overrides, original)
    run = open_trained_run(original, store, None)
    last = _last_state(run)
    config = compose_longer(run, overrides)
    check_length(config, run, last.history)
    best = _best_weights(run, last, overrides)
    tests = _earlier_tests(run, config.after, last.epoch)
    reasons = departures(config, original, last.history)
    epochs = config.after.total_epochs
    tags = {
        "extends": original.run_id,
        "extended_after": ",".join(filter(None, [original.tag("extended_after"), str(last.epoch)])),
        "extended_with": shlex.join(overrides),
        **({"not_as_at_once": "; ".join(reasons)} if reasons else {}),
        **({"config_dir": directory} if (directory := original.tag("config_dir")) else {}),
    }
    comparison = _comparison(epochs, reasons, last_bit_causes(config, original))
    line = f"Resumes after epoch {last.epoch}: {comparison}"
    console.print(line, markup=False, soft_wrap=True)

    def prepare(folder: Path) -> None:
        log.info("run %s: %s", original.run_id, line)
        (folder / "checkpoints").mkdir()
        place_state(folder / "checkpoints", last, best, tests)

    return train_again(
        config.after, f"{_SUFFIX.sub('', original.name)} extended to {epochs} epochs", console, tags, prepare
    )


def _comparison(epochs: int, reasons: Sequence[str], causes: Sequence[str]) -> str:
    """Return how the longer run compares with one that was asked for its epochs at once, in one line."""
    if reasons:
        return f"not the same as {epochs} epochs at once: {'; '.join([*reasons, *causes])}"
    if causes:
        return f"the same training as {epochs} epochs at once; its last bits may differ: {'; '.join(causes)}"
    return f"the same, to the bit, as {epochs} epochs at once"


def _check_finished(original: RecordedRun) -> None:
    label = f"{original.run_id[:8]} ({original.name})"
    if original.state == "RUNNING":
        raise TrackingError(f"{label}: is still training; make it longer once it has finished")
    if original.state != "FINISHED":
        command = finish_command(original.run_id, original.tags)
        raise TrackingError(f"{label}: has not finished ({original.state_text}); first finish it: {command}")


def _last_state(run: TrainedRun) -> LastState:
    """Return the finished run's last state. Raises TrackingError if it was not kept, or is not of this run."""
    path, keep = run.artifact("checkpoints/last.pt"), run.config.tracking.keep
    if path is None or keep == "tested":
        weights = run.artifact("checkpoints/best.pt") or path
        start = [f"trainer.init_from={weights}"] if weights is not None else []
        what = "the weights that were tested" if keep == "tested" else "its best weights"
        kept = f"it kept only {what} (tracking.keep={keep})" if weights else "it is gone"
        instead = "start a training from these" if weights else "train it again"
        raise TrackingError(
            f"{run.label}: has no last checkpoint, which holds the optimizer's state: {kept}; {instead}: "
            f"{repeat_command(run.record, start)}"
        )
    last = read_last_state(path)
    found = {
        (metric, each.epoch): value
        for each in last.history
        for metric, value in each.by_name().items()
        if metric in COMPARED
    }
    if found != recorded_metrics(run.record, run.store):
        raise TrackingError(
            f"{run.label}: its last checkpoint has other epochs than its record, and may be another run's ({path}); "
            f"train it again: {repeat_command(run.record)}"
        )
    return last


def _best_weights(run: TrainedRun, last: LastState, overrides: Sequence[str]) -> Path | None:
    """Return the finished run's best.pt if the longer run needs it. Raises TrackingError if it does, and it is gone."""
    if last.best_epoch in (None, last.epoch):
        return None
    path = run.artifact("checkpoints/best.pt")
    config = run.config
    if path is None and (config.trainer.select == "best" or config.tracking.keep != "last"):
        raise TrackingError(
            f"{run.label}: its best checkpoint, of epoch {last.best_epoch}, was not kept "
            f"(tracking.keep={config.tracking.keep}), and the longer run may need it as its own best; train the "
            f"longer one at once: {repeat_command(run.record, overrides)}"
        )
    return path


def _earlier_tests(run: TrainedRun, config: RunConfig, epochs: int) -> Mapping[int, Mapping[str, float]]:
    """Return the test metrics of epochs before the last one, in which ``trainer.test_at`` asks for a test.

    Raises ConfigError for an epoch that was not tested: its weights are gone.
    """
    due = [epoch for epoch in config.trainer.test_at if epoch < epochs]
    tests: dict[int, dict[str, float]] = {epoch: {} for epoch in due}
    for metric in run.record.metrics if due else ():
        if _TESTED.fullmatch(metric):
            for epoch, value in run.store.history(run.record.run_id, metric):
                if epoch in tests:
                    tests[epoch][metric] = value
    untested = [epoch for epoch, metrics in tests.items() if "test/accuracy" not in metrics]
    if untested:
        raise ConfigError(
            f"trainer.test_at={config.trainer.test_at}: epoch {', '.join(map(str, untested))} is over and was not "
            f"tested, and its weights are gone; leave it out: epochs from {epochs} on can be tested"
        )
    return tests
