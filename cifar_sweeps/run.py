"""ONE run, told as a story: set up, fit, test, record, look back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from cifar_sweeps import records
from cifar_sweeps.config import RunConfig, config_hash, flat
from cifar_sweeps.errors import ConfigError, in_one_line
from cifar_sweeps.files import write_whole
from cifar_sweeps.looking_back import look_back
from cifar_sweeps.models.parameters import weights_digest
from cifar_sweeps.scene import Scene, set_up
from cifar_sweeps.starting_weights import starting_weights
from cifar_sweeps.tracking.provenance import provenance
from cifar_sweeps.tracking.record import Record
from cifar_sweeps.tracking.store import PREFIX
from cifar_sweeps.training.checkpoint import Checkpoints, load
from cifar_sweeps.training.early_stopping import Patience
from cifar_sweeps.training.loop import evaluate, fit
from cifar_sweeps.training.metrics import DivergedError, EpochMetrics, Evaluation
from cifar_sweeps.watching import LogWatcher, Watcher


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
    open_record: Callable[[], Record] | None = None,
    watcher: Watcher | None = None,
) -> Result:
    """Train, test and record one run; its checkpoints and pictures lie in ``folder``.

    From a notebook: ``run(compose(["model=lenet_3", "trainer.epochs=2"]))``. folder: a new one under
    ``config.outputs``, unless given. open_record is called when all that can be wrong before training has been checked,
    so that a config that cannot run leaves nothing in the store; by default it opens a run in the config's store.
    Raises ConfigError or DataError before training, DivergedError from it.
    """
    folder = folder or new_folder(config)
    watcher = watcher or LogWatcher()
    initial = starting_weights(config, watcher)
    scene = set_up(config, initial)
    _make_writable(folder)
    record = open_record() if open_record else records.open_record(config, name, config.overrides, folder)
    try:
        record.params(flat(config.plain))
        record.tags(_tags(scene))
        record.artifact(_write_config(config, folder))
        result = _train_and_test(scene, name, folder, record, watcher)
    except KeyboardInterrupt:
        watcher.ended(f"{name} interrupted")
        record.close("KILLED", "interrupted")
        raise
    except BaseException as error:
        watcher.ended(f"{name} failed: {in_one_line(error)}")
        if isinstance(error, DivergedError):
            record.tags({f"{PREFIX}failed_epoch": str(error.epoch), f"{PREFIX}failed_step": str(error.step)})
        record.close("FAILED", in_one_line(error))
        raise
    record.close("FINISHED")
    return result


def new_folder(config: RunConfig) -> Path:
    """Return a folder for a run under the config's outputs, named after this moment; it is not made yet."""
    return Path(config.outputs) / "runs" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def _train_and_test(scene: Scene, name: str, folder: Path, record: Record, watcher: Watcher) -> Result:
    size = {"model/parameters": scene.summary.parameters, "model/multiply_adds": scene.summary.multiply_adds}
    record.metrics(size, step=0)
    watcher.started(scene.facts(name, folder))
    checkpoints = Checkpoints(folder / "checkpoints", scene.config.plain)
    history = _fit(scene, checkpoints, record, watcher)

    once, tested_epoch = _choose_weights(scene, checkpoints, history)
    record.metrics(once, step=history[-1].epoch)
    tested, test_figures = _test(scene)
    record.metrics(test_figures, step=tested_epoch)

    for checkpoint in (checkpoints.last, checkpoints.best):
        if checkpoint.exists():
            record.artifact(checkpoint, "checkpoints")
    rows = [{"epoch": float(metrics.epoch), **metrics.by_name()} for metrics in history]
    look_back(scene, name, folder, record, rows, tested, tested_epoch)

    figures = {**history[-1].by_name(), **once, **test_figures}
    watcher.ended(_outcome(name, figures))
    val_accuracy = next(metrics.val_accuracy for metrics in history if metrics.epoch == tested_epoch)
    return Result(record.run_id, folder, figures, tuple(history), val_accuracy)


def _fit(scene: Scene, checkpoints: Checkpoints, record: Record, watcher: Watcher) -> list[EpochMetrics]:
    trainer = scene.config.trainer
    stopping = trainer.early_stopping
    patience = Patience(stopping.patience, stopping.min_delta, stopping.monitor)
    history: list[EpochMetrics] = []
    for metrics in fit(
        scene.net,
        scene.train,
        scene.stepper,
        scene.schedule,
        epochs=scene.config.total_epochs,
        parts=trainer.parts,
        val_batches=scene.val,
        validate_every=trainer.validate_every,
        seed=scene.config.seed,
        precision=scene.precision,
        on_step=watcher.step,
    ):
        history.append(metrics)
        checkpoints.offer(scene.net, scene.stepper, scene.schedule, metrics)
        record.metrics(metrics.by_name(), step=metrics.epoch)
        watcher.epoch(metrics)
        if metrics.epoch in trainer.test_at and metrics.epoch < scene.config.total_epochs:
            figures = _test(scene)[1]
            record.metrics(figures, step=metrics.epoch)
            watcher.note(f"epoch {metrics.epoch}: test accuracy {figures['test/accuracy']:.4f}")
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


def _make_writable(folder: Path) -> None:
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_whole(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise ConfigError(
            f"outputs: {folder} cannot be written ({error.strerror}); set outputs=FOLDER to another one"
        ) from error


def _write_config(config: RunConfig, folder: Path) -> Path:
    path = folder / "config.yaml"
    write_whole(path, yaml.safe_dump(config.plain, sort_keys=False, allow_unicode=True))
    return path


def _tags(scene: Scene) -> dict[str, str]:
    """Return what a reader needs to trust and repeat the run."""
    facts = {
        "config_hash": config_hash(_as_run(scene)),
        "initial_weights": weights_digest(scene.net),
        "data": scene.data.name,
        "data_fingerprint": scene.data.fingerprint,
        "device": scene.device.type,
        "gpu": torch.cuda.get_device_name(scene.device) if scene.device.type == "cuda" else "none",
        "precision": scene.precision.name,
        "threads": str(torch.get_num_threads()),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        **provenance(),
    }
    facts["budget"] = scene.budget()
    facts["validated_on"] = "test" if scene.splits.val_on_test else "validation"
    if scene.splits.notes:
        facts["split_notes"] = "; ".join(scene.splits.notes)
    return {f"{PREFIX}{key}": value for key, value in facts.items()}


def _as_run(scene: Scene) -> dict[str, Any]:
    """Return the config with what the machine chose where the config left it open."""
    plain = scene.config.plain
    chosen = {"threads": torch.get_num_threads(), "precision": scene.precision.name, "device": scene.device.type}
    return {**plain, "trainer": {**plain["trainer"], **chosen}}


def _outcome(name: str, figures: Mapping[str, float]) -> str:
    words = f"{name}: test accuracy {figures['test/accuracy']:.4f}, loss {figures['test/loss']:.4f}"
    if "best/val_accuracy" in figures:
        words += f"; best val accuracy {figures['best/val_accuracy']:.4f} at epoch {figures['best/epoch']:.0f}"
    return words
