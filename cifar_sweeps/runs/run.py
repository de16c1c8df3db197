"""ONE run, told as a story: set up, fit, test, record, look back."""

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import TrackingError, TrainingError, in_one_line
from cifar_sweeps.runs.artifacts import log_artifacts
from cifar_sweeps.runs.folder import check_not_finished, create_writable, next_run_folder, runs_folder, write_config
from cifar_sweeps.runs.identity import provenance_tags, training_hash
from cifar_sweeps.runs.initial_weights import resolve_initial_weights
from cifar_sweeps.runs.recording import open_run_logger
from cifar_sweeps.runs.reporters import LogReporter, RunReporter
from cifar_sweeps.runs.setup import TrainingSetup, build_setup
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.recovery import recover_abandoned_runs
from cifar_sweeps.tracking.run_logger import RunLogger
from cifar_sweeps.tracking.store import PREFIX
from cifar_sweeps.training.checkpoint_file import load
from cifar_sweeps.training.checkpoint_manager import CheckpointManager
from cifar_sweeps.training.early_stopping import EarlyStopper
from cifar_sweeps.training.loop import evaluate, fit
from cifar_sweeps.training.metrics import DivergedError, EpochMetrics, Evaluation


@dataclass(frozen=True)
class RunResult:
    """What came out of a run. ``figures`` are all its last metrics by their MLflow names."""

    run_id: str | None
    folder: Path
    metrics: dict[str, float]
    history: tuple[EpochMetrics, ...]
    val_accuracy: float | None
    """Validation accuracy of the weights that were tested; None without validation data."""


def run(
    config: RunConfig,
    *,
    name: str = "run",
    folder: Path | None = None,
    tags: Mapping[str, str] | None = None,
    sweep: Path | None = None,
    threads: int | None = None,
    watcher: RunReporter | None = None,
) -> RunResult:
    """Train, test and record one run; its journal, checkpoints and pictures lie in ``folder``.

    From a notebook: ``run(compose(["model=lenet_3", "trainer.epochs=2"]))``. folder: a new one under
    ``config.outputs``, unless given; a run that was stopped there is taken up. tags: more of the record's, by their
    short names. sweep: the folder of the sweep that the run belongs to. threads: what ``trainer.threads=auto`` means;
    all cores by default, or what the run had that is taken up: with others it would not be the same to the last bit.
    The record is opened when all that can be wrong before training has been checked, so that a config that cannot run
    leaves nothing in the store.
    Raises ConfigError or DataError before training, DivergedError or another TrainingError from it.
    """
    folder = folder or next_run_folder(config)
    watcher = watcher or LogReporter()
    if sweep is None:
        recover_abandoned_runs(Path(config.outputs), watcher.on_message)
    config = _with_threads(config, _previous_threads(folder) or threads)
    check_not_finished(folder)
    initial = resolve_initial_weights(config, watcher)
    setup = build_setup(config, initial)
    create_writable(folder)
    record = open_run_logger(
        config, name, folder, training_hash(config, setup.data.fingerprint), tags, sweep, watcher.on_message
    )
    checkpoints = CheckpointManager(folder / "checkpoints", config.as_dict)
    try:
        record.log_params(flatten(config.as_dict))
        record.set_tags(provenance_tags(setup))
        record.log_artifact(write_config(config, folder))
        result = _train_and_test(setup, name, folder, checkpoints, record, watcher)
        record.end_run("FINISHED")
    except BaseException as error:
        was_over = record.has_ended
        _end_interrupted(error, name, checkpoints, record, watcher)
        if isinstance(error, KeyboardInterrupt) and not was_over and folder.parent == runs_folder(config):
            watcher.on_message(f"go on with it: cifar-sweeps resume {folder.name}")
        raise
    checkpoints.clear()
    _report_delivery_error(record, watcher)
    return dataclasses.replace(result, run_id=record.run_id)


def _end_interrupted(
    error: BaseException, name: str, checkpoints: CheckpointManager, record: RunLogger, watcher: RunReporter
) -> None:
    """Close the record of a run that cannot go on, once what has been offered to the disk is there."""
    if record.has_ended:  # it has finished: the wait for the store was broken off
        record.end_run("FINISHED")
        checkpoints.clear()
        watcher.on_message(f"{name} has finished; the next command, or cifar-sweeps sync, sends what the store lacks")
        return
    with contextlib.suppress(TrainingError):  # the newest state could not be written; the one before it stands
        checkpoints.wait()
    stopped = isinstance(error, KeyboardInterrupt)
    reason = "interrupted" if stopped else in_one_line(error)
    watcher.on_end(f"{name} interrupted" if stopped else f"{name} failed: {reason}")
    facts = {"last_checkpoint": str(checkpoints.latest() or "none")}
    if isinstance(error, DivergedError):
        facts |= {"failed_epoch": str(error.epoch), "failed_step": str(error.step)}
    try:
        record.set_tags({f"{PREFIX}{key}": value for key, value in facts.items()})
        record.end_run("KILLED" if stopped else "FAILED", reason)
    except TrackingError as full:  # the disk takes no more: the next command finds the run as it stands
        watcher.on_message(str(full))
    _report_delivery_error(record, watcher)


def _report_delivery_error(record: RunLogger, watcher: RunReporter) -> None:
    if record.delivery_error is not None:
        watcher.on_message(
            f"{record.delivery_error}; it is whole in {record.folder}: send it later with cifar-sweeps sync"
        )


def _with_threads(config: RunConfig, threads: int | None) -> RunConfig:
    """Return the config with ``trainer.threads=auto`` settled; what is recorded of it stays as it was written."""
    if threads is None or config.trainer.threads != "auto":
        return config
    return dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, threads=threads))


def _previous_threads(folder: Path) -> int | None:
    earlier = read_run(folder)
    threads = None if earlier is None else earlier.tag("threads")
    return None if threads is None else int(threads)


def _train_and_test(
    setup: TrainingSetup,
    name: str,
    folder: Path,
    checkpoints: CheckpointManager,
    record: RunLogger,
    watcher: RunReporter,
) -> RunResult:
    size = {"model/parameters": setup.summary.parameters, "model/multiply_adds": setup.summary.multiply_adds}
    record.log_metrics(size, step=0)
    watcher.on_start(setup.describe(name, folder))
    history = _fit(setup, checkpoints, record, watcher)
    checkpoints.finish()

    once, tested_epoch = _choose_weights(setup, checkpoints, history)
    record.log_metrics(once, step=history[-1].epoch)
    tested, test_figures = _test(setup)
    record.log_metrics(test_figures, step=tested_epoch)

    for checkpoint in _keep_checkpoints(checkpoints, setup.config.tracking.keep):
        record.log_artifact(checkpoint, "checkpoints")
    figures = {**history[-1].by_name(), **once, **test_figures}
    watcher.on_end(_outcome_line(name, figures))  # in a sweep the next job may begin: pictures need little
    rows = [{"epoch": float(metrics.epoch), **metrics.by_name()} for metrics in history]
    log_artifacts(setup, name, folder, record, rows, tested, tested_epoch)

    val_accuracy = next(metrics.val_accuracy for metrics in history if metrics.epoch == tested_epoch)
    return RunResult(None, folder, figures, tuple(history), val_accuracy)


def _keep_checkpoints(checkpoints: CheckpointManager, keep: str) -> list[Path]:
    """Return the checkpoints that stay, and remove the other: ``last.pt`` where nothing was selected as best."""
    both = [path for path in (checkpoints.last, checkpoints.best) if path.exists()]
    kept = [path for path in both if keep == "all" or path.stem == keep] or both
    for path in {*both} - {*kept}:
        path.unlink()
    return kept


def _fit(
    setup: TrainingSetup, checkpoints: CheckpointManager, record: RunLogger, watcher: RunReporter
) -> list[EpochMetrics]:
    trainer = setup.config.trainer
    stopping = trainer.early_stopping
    patience = EarlyStopper(stopping.patience, stopping.min_delta, stopping.monitor)
    history: list[EpochMetrics] = []
    if trainer.resume == "auto":
        history = checkpoints.restore_latest(setup.net, setup.optimizer, setup.schedule, watcher.on_message)
    if history:
        watcher.on_message(f"goes on after epoch {history[-1].epoch}")
    if any(patience.should_stop(metrics) for metrics in history):
        return history
    for metrics in fit(
        setup.net,
        setup.train,
        setup.optimizer,
        setup.schedule,
        epochs=setup.config.total_epochs,
        parts=trainer.parts,
        val_batches=setup.val,
        validate_every=trainer.validate_every,
        first_epoch=len(history) + 1,
        seed=setup.config.seed,
        precision=setup.precision,
        on_step=watcher.on_step,
    ):
        history.append(metrics)
        # The record comes first: what has a checkpoint is on record, and an epoch that has none is trained again.
        record.log_metrics(metrics.by_name(), step=metrics.epoch)
        watcher.on_epoch(metrics)
        if metrics.epoch in trainer.test_at and metrics.epoch < setup.config.total_epochs:
            figures = _test(setup)[1]
            record.log_metrics(figures, step=metrics.epoch)
            watcher.on_message(f"epoch {metrics.epoch}: test accuracy {figures['test/accuracy']:.4f}")
        checkpoints.save(setup.net, setup.optimizer, setup.schedule, metrics)
        if patience.should_stop(metrics):
            break
    return history


def _choose_weights(
    setup: TrainingSetup, checkpoints: CheckpointManager, history: list[EpochMetrics]
) -> tuple[dict[str, float], int]:
    """Put the weights that will be tested into the net; return the figures that a run has once, and their epoch."""
    last = history[-1]
    if checkpoints.best_epoch is None or checkpoints.best_accuracy is None or last.val_accuracy is None:
        return {}, last.epoch
    figures = {
        "best/val_accuracy": checkpoints.best_accuracy,
        "best/epoch": float(checkpoints.best_epoch),
        "final/val_accuracy": last.val_accuracy,
    }
    if setup.config.trainer.select == "last":
        return figures, last.epoch
    setup.net.load_state_dict(load(checkpoints.best))
    return figures, checkpoints.best_epoch


def _test(setup: TrainingSetup) -> tuple[Evaluation, dict[str, float]]:
    """Open the test set for the weights as they are, augmented too where a document did so."""
    tested = evaluate(setup.net, setup.test_batches(), setup.precision)
    figures = {"test/loss": tested.loss, "test/accuracy": tested.accuracy}
    penalty = setup.optimizer.penalty()
    if penalty is not None:
        figures["test/objective"] = tested.loss + penalty.item()
    if setup.config.trainer.test_augmented:
        augmented = evaluate(setup.net, setup.test_batches(augmented=True), setup.precision)
        figures |= {"test_augmented/loss": augmented.loss, "test_augmented/accuracy": augmented.accuracy}
    return tested, figures


def _outcome_line(name: str, figures: Mapping[str, float]) -> str:
    words = f"{name}: test accuracy {figures['test/accuracy']:.4f}, loss {figures['test/loss']:.4f}"
    if "best/val_accuracy" in figures:
        words += f"; best val accuracy {figures['best/val_accuracy']:.4f} at epoch {figures['best/epoch']:.0f}"
    return words
