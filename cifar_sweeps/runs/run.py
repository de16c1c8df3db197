"""ONE run, told as a story: set up, fit, test, record, look back."""

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cifar_sweeps.config.parse import flat
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import TrackingError, TrainingError, in_one_line
from cifar_sweeps.runs.artifacts import look_back
from cifar_sweeps.runs.folder import make_writable, new_folder, refuse_finished, runs_folder, write_config
from cifar_sweeps.runs.identity import identity, run_tags
from cifar_sweeps.runs.initial_weights import starting_weights
from cifar_sweeps.runs.recording import open_record
from cifar_sweeps.runs.reporters import LogWatcher, Watcher
from cifar_sweeps.runs.setup import Scene, set_up
from cifar_sweeps.tracking.journal_reader import journaled_run
from cifar_sweeps.tracking.recovery import recover
from cifar_sweeps.tracking.run_logger import Record
from cifar_sweeps.tracking.store import PREFIX
from cifar_sweeps.training.checkpoint_file import load
from cifar_sweeps.training.checkpoint_manager import Checkpoints
from cifar_sweeps.training.early_stopping import Patience
from cifar_sweeps.training.loop import evaluate, fit
from cifar_sweeps.training.metrics import DivergedError, EpochMetrics, Evaluation


@dataclass(frozen=True)
class Result:
    """What came out of a run. ``figures`` are all its last metrics by their MLflow names."""

    run_id: str | None
    folder: Path
    figures: dict[str, float]
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
    watcher: Watcher | None = None,
) -> Result:
    """Train, test and record one run; its journal, checkpoints and pictures lie in ``folder``.

    From a notebook: ``run(compose(["model=lenet_3", "trainer.epochs=2"]))``. folder: a new one under
    ``config.outputs``, unless given; a run that was stopped there is taken up. tags: more of the record's, by their
    short names. sweep: the folder of the sweep that the run belongs to. threads: what ``trainer.threads=auto`` means;
    all cores by default, or what the run had that is taken up: with others it would not be the same to the last bit.
    The record is opened when all that can be wrong before training has been checked, so that a config that cannot run
    leaves nothing in the store.
    Raises ConfigError or DataError before training, DivergedError or another TrainingError from it.
    """
    folder = folder or new_folder(config)
    watcher = watcher or LogWatcher()
    if sweep is None:
        recover(Path(config.outputs), watcher.note)
    config = _with_threads(config, _earlier_threads(folder) or threads)
    refuse_finished(folder)
    initial = starting_weights(config, watcher)
    scene = set_up(config, initial)
    make_writable(folder)
    record = open_record(config, name, folder, identity(config, scene.data.fingerprint), tags, sweep, watcher.note)
    checkpoints = Checkpoints(folder / "checkpoints", config.plain)
    try:
        record.params(flat(config.plain))
        record.tags(run_tags(scene))
        record.artifact(write_config(config, folder))
        result = _train_and_test(scene, name, folder, checkpoints, record, watcher)
        record.close("FINISHED")
    except BaseException as error:
        was_over = record.is_closed
        _break_off(error, name, checkpoints, record, watcher)
        if isinstance(error, KeyboardInterrupt) and not was_over and folder.parent == runs_folder(config):
            watcher.note(f"go on with it: cifar-sweeps resume {folder.name}")
        raise
    checkpoints.clear()
    _tell_trouble(record, watcher)
    return dataclasses.replace(result, run_id=record.run_id)


def _break_off(error: BaseException, name: str, checkpoints: Checkpoints, record: Record, watcher: Watcher) -> None:
    """Close the record of a run that cannot go on, once what has been offered to the disk is there."""
    if record.is_closed:  # it has finished: the wait for the store was broken off
        record.close("FINISHED")
        checkpoints.clear()
        watcher.note(f"{name} has finished; the next command, or cifar-sweeps sync, sends what the store lacks")
        return
    with contextlib.suppress(TrainingError):  # the newest state could not be written; the one before it stands
        checkpoints.settle()
    stopped = isinstance(error, KeyboardInterrupt)
    reason = "interrupted" if stopped else in_one_line(error)
    watcher.ended(f"{name} interrupted" if stopped else f"{name} failed: {reason}")
    facts = {"last_checkpoint": str(checkpoints.newest() or "none")}
    if isinstance(error, DivergedError):
        facts |= {"failed_epoch": str(error.epoch), "failed_step": str(error.step)}
    try:
        record.tags({f"{PREFIX}{key}": value for key, value in facts.items()})
        record.close("KILLED" if stopped else "FAILED", reason)
    except TrackingError as full:  # the disk takes no more: the next command finds the run as it stands
        watcher.note(str(full))
    _tell_trouble(record, watcher)


def _tell_trouble(record: Record, watcher: Watcher) -> None:
    if record.trouble is not None:
        watcher.note(f"{record.trouble}; it is whole in {record.folder}: send it later with cifar-sweeps sync")


def _with_threads(config: RunConfig, threads: int | None) -> RunConfig:
    """Return the config with ``trainer.threads=auto`` settled; what is recorded of it stays as it was written."""
    if threads is None or config.trainer.threads != "auto":
        return config
    return dataclasses.replace(config, trainer=dataclasses.replace(config.trainer, threads=threads))


def _earlier_threads(folder: Path) -> int | None:
    earlier = journaled_run(folder)
    threads = None if earlier is None else earlier.tag("threads")
    return None if threads is None else int(threads)


def _train_and_test(
    scene: Scene, name: str, folder: Path, checkpoints: Checkpoints, record: Record, watcher: Watcher
) -> Result:
    size = {"model/parameters": scene.summary.parameters, "model/multiply_adds": scene.summary.multiply_adds}
    record.metrics(size, step=0)
    watcher.started(scene.facts(name, folder))
    history = _fit(scene, checkpoints, record, watcher)
    checkpoints.finish()

    once, tested_epoch = _choose_weights(scene, checkpoints, history)
    record.metrics(once, step=history[-1].epoch)
    tested, test_figures = _test(scene)
    record.metrics(test_figures, step=tested_epoch)

    for checkpoint in _kept(checkpoints, scene.config.tracking.keep):
        record.artifact(checkpoint, "checkpoints")
    figures = {**history[-1].by_name(), **once, **test_figures}
    watcher.ended(_outcome(name, figures))  # in a sweep the next job may begin: pictures need little
    rows = [{"epoch": float(metrics.epoch), **metrics.by_name()} for metrics in history]
    look_back(scene, name, folder, record, rows, tested, tested_epoch)

    val_accuracy = next(metrics.val_accuracy for metrics in history if metrics.epoch == tested_epoch)
    return Result(None, folder, figures, tuple(history), val_accuracy)


def _kept(checkpoints: Checkpoints, keep: str) -> list[Path]:
    """Return the checkpoints that stay, and remove the other: ``last.pt`` where nothing was selected as best."""
    both = [path for path in (checkpoints.last, checkpoints.best) if path.exists()]
    kept = [path for path in both if keep == "all" or path.stem == keep] or both
    for path in {*both} - {*kept}:
        path.unlink()
    return kept


def _fit(scene: Scene, checkpoints: Checkpoints, record: Record, watcher: Watcher) -> list[EpochMetrics]:
    trainer = scene.config.trainer
    stopping = trainer.early_stopping
    patience = Patience(stopping.patience, stopping.min_delta, stopping.monitor)
    history: list[EpochMetrics] = []
    if trainer.resume == "auto":
        history = checkpoints.take_up(scene.net, scene.stepper, scene.schedule, watcher.note)
    if history:
        watcher.note(f"goes on after epoch {history[-1].epoch}")
    if any(patience.exhausted(metrics) for metrics in history):
        return history
    for metrics in fit(
        scene.net,
        scene.train,
        scene.stepper,
        scene.schedule,
        epochs=scene.config.total_epochs,
        parts=trainer.parts,
        val_batches=scene.val,
        validate_every=trainer.validate_every,
        first_epoch=len(history) + 1,
        seed=scene.config.seed,
        precision=scene.precision,
        on_step=watcher.step,
    ):
        history.append(metrics)
        # The record comes first: what has a checkpoint is on record, and an epoch that has none is trained again.
        record.metrics(metrics.by_name(), step=metrics.epoch)
        watcher.epoch(metrics)
        if metrics.epoch in trainer.test_at and metrics.epoch < scene.config.total_epochs:
            figures = _test(scene)[1]
            record.metrics(figures, step=metrics.epoch)
            watcher.note(f"epoch {metrics.epoch}: test accuracy {figures['test/accuracy']:.4f}")
        checkpoints.offer(scene.net, scene.stepper, scene.schedule, metrics)
        if patience.exhausted(metrics):
            break
    return history


def _choose_weights(
    scene: Scene, checkpoints: Checkpoints, history: list[EpochMetrics]
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
    if scene.config.trainer.select == "last":
        return figures, last.epoch
    scene.net.load_state_dict(load(checkpoints.best))
    return figures, checkpoints.best_epoch


def _test(scene: Scene) -> tuple[Evaluation, dict[str, float]]:
    """Open the test set for the weights as they are, augmented too where a document did so."""
    tested = evaluate(scene.net, scene.test_batches(), scene.precision)
    figures = {"test/loss": tested.loss, "test/accuracy": tested.accuracy}
    penalty = scene.stepper.penalty()
    if penalty is not None:
        figures["test/objective"] = tested.loss + penalty.item()
    if scene.config.trainer.test_augmented:
        augmented = evaluate(scene.net, scene.test_batches(augmented=True), scene.precision)
        figures |= {"test_augmented/loss": augmented.loss, "test_augmented/accuracy": augmented.accuracy}
    return tested, figures


def _outcome(name: str, figures: Mapping[str, float]) -> str:
    words = f"{name}: test accuracy {figures['test/accuracy']:.4f}, loss {figures['test/loss']:.4f}"
    if "best/val_accuracy" in figures:
        words += f"; best val accuracy {figures['best/val_accuracy']:.4f} at epoch {figures['best/epoch']:.0f}"
    return words
