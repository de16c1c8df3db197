"""Train, test and record one run."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import TrackingError, TrainingError, in_one_line
from cifar_sweeps.runs.artifacts import log_artifacts, logs_model, wrapping_up
from cifar_sweeps.runs.description import describe_run, model_line
from cifar_sweeps.runs.folder import check_not_finished, create_writable, next_run_folder, runs_folder, write_config
from cifar_sweeps.runs.identity import provenance_tags, training_hash
from cifar_sweeps.runs.initial_weights import resolve_initial_weights
from cifar_sweeps.runs.recording import extension_lines, how_to_repeat, open_run_logger, swept_params
from cifar_sweeps.runs.reporters import LogReporter, ReporterGroup, RunReporter, TerminalReporter, notebook_console
from cifar_sweeps.runs.setup import TrainingSetup, build_setup
from cifar_sweeps.system.scripts import shell_command, store_environment, sync_command
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.page_links import NOTE, code
from cifar_sweeps.tracking.recorded_run import EARLY_STOPPED, EARLY_STOPPED_OF, PREFIX, state_text
from cifar_sweeps.tracking.recovery import recover_abandoned_runs
from cifar_sweeps.tracking.run_logger import RunLogger
from cifar_sweeps.training.checkpoint_file import load, save
from cifar_sweeps.training.checkpoint_manager import CheckpointManager
from cifar_sweeps.training.early_stopping import EarlyStopper
from cifar_sweeps.training.loop import evaluate, fit
from cifar_sweeps.training.metrics import DivergedError, EpochMetrics, Evaluation


@dataclass(frozen=True)
class RunResult:
    """Result of a run. ``metrics`` are its last values by their MLflow names."""

    run_id: str | None
    folder: Path
    metrics: dict[str, float]
    history: tuple[EpochMetrics, ...]
    val_accuracy: float | None
    """Validation accuracy of the weights that were tested; None without validation data. Of a paused run, its last."""
    paused_at: int | None = None
    """The epoch at which it was paused, untested; None if it has finished."""


def run(
    config: RunConfig,
    *,
    name: str = "run",
    folder: Path | None = None,
    tags: Mapping[str, str] | None = None,
    sweep: Path | None = None,
    threads: int | None = None,
    until: int | None = None,
    reporter: RunReporter | None = None,
    progress: bool = True,
) -> RunResult:
    """Train, test and record one run; its journal, checkpoints and figures are written to ``folder``.

    From a notebook: ``run(compose(["model=lenet_3", "trainer.epochs=2"]))``. folder: by default a new one under
    ``config.outputs``; a run that was stopped there is resumed. tags: additional ones, by their short names. sweep:
    the folder of the run's sweep. threads: the value of ``trainer.threads=auto``; by default all cores. A resumed run
    keeps the threads that it had, as others would change its last bits. until: the epoch after which it is paused, with
    its checkpoint, and not tested; it is resumed as one that was stopped. None: it trains to its end. reporter:
    receives the progress; by default it is printed, a line an epoch or on a terminal a bar, and logged to `logging`;
    with ``progress=False`` only logged.
    The logger is opened after everything that can be checked before training, so that a config that cannot run leaves
    nothing in the store.
    Raises ConfigError or DataError before training, DivergedError or another TrainingError from it.
    """
    folder = folder or next_run_folder(config)
    if reporter is None:
        reporter = ReporterGroup(LogReporter(), TerminalReporter(notebook_console())) if progress else LogReporter()
    if sweep is None:
        recover_abandoned_runs(Path(config.outputs), reporter.on_message)
    config = _with_threads(config, _previous_threads(folder) or threads)
    check_not_finished(folder)
    initial = resolve_initial_weights(config, reporter)
    setup = build_setup(config, initial, reporter.on_loading)
    config = setup.config
    create_writable(folder)
    logger = open_run_logger(
        config, name, folder, training_hash(config, setup.data.fingerprint), tags, sweep, reporter.on_message
    )
    checkpoints = CheckpointManager(folder / "checkpoints", config.as_dict)
    in_sweep = sweep is not None
    about = partial(_description, setup, name, folder, logger, tags or {})
    try:
        logger.log_params(flatten(config.as_dict) | swept_params(tags or {}))
        logger.set_tags(provenance_tags(setup) | about(""))
        logger.log_artifact(write_config(config, folder))
        result = _train_and_test(setup, name, folder, checkpoints, logger, reporter, until, in_sweep)
        if result.paused_at is not None:
            logger.set_tags(_pause_tags(result.paused_at, config) | about(_pause_text(result, config)))
        else:
            model = model_line(config, has_model=logs_model(config, in_sweep))
            logger.set_tags(about(_outcome(result.metrics), model))
        logger.end_run("FINISHED")
    except BaseException as error:
        had_ended = logger.has_ended
        _end_interrupted(error, name, config, checkpoints, logger, reporter, about)
        if (
            isinstance(error, KeyboardInterrupt)
            and not had_ended
            and folder.absolute().parent == runs_folder(config).absolute()
        ):
            where = store_environment(config.outputs, None)
            reporter.on_message(f"resume it: {shell_command('cifar-sweeps', ['resume', folder.name], where)}")
        raise
    if result.paused_at is None:
        checkpoints.clear()
    _report_delivery_error(config, logger, reporter)
    return dataclasses.replace(result, run_id=logger.run_id)


def _end_interrupted(
    error: BaseException,
    name: str,
    config: RunConfig,
    checkpoints: CheckpointManager,
    logger: RunLogger,
    reporter: RunReporter,
    about: Callable[[str], dict[str, str]],
) -> None:
    """End an interrupted or failed run, once its last checkpoint is on disk."""
    if logger.has_ended:  # it has finished: only the delivery was interrupted
        logger.end_run("FINISHED")
        run = read_run(logger.folder)
        is_paused = run is not None and run.state == "PAUSED"
        if not is_paused:
            checkpoints.clear()
        reporter.on_message(
            f"{name} {'is paused' if is_paused else 'has finished'}; the next command here sends the rest to the "
            f"store, or {sync_command(config.outputs)}"
        )
        return
    with contextlib.suppress(TrainingError):  # the newest checkpoint could not be written; the one before it is kept
        checkpoints.wait()
    stopped = isinstance(error, KeyboardInterrupt)
    reason = "interrupted" if stopped else in_one_line(error)
    reporter.on_end(f"{name} interrupted" if stopped else f"{name} failed: {reason}")
    tags = {"last_checkpoint": str(checkpoints.latest() or "none")}
    if isinstance(error, DivergedError):
        tags |= {"failed_epoch": str(error.epoch), "failed_step": str(error.step)}
    try:
        outcome = "stopped before its end" if stopped else f"failed: {code(reason)}"
        logger.set_tags({f"{PREFIX}{key}": value for key, value in tags.items()} | about(outcome))
        logger.end_run("KILLED" if stopped else "FAILED", reason)
    except TrackingError as full:  # the disk is full: the next command marks the run
        reporter.on_message(str(full))
    _report_delivery_error(config, logger, reporter)


def _description(
    setup: TrainingSetup,
    name: str,
    folder: Path,
    logger: RunLogger,
    tags: Mapping[str, str],
    outcome: str,
    model: str = "",
) -> dict[str, str]:
    """Return the tag of the run's description on MLflow's page. outcome: in a line; empty while it trains.

    model: see `model_line`.
    """
    about = setup.describe(name, folder).lines
    command, history = how_to_repeat(setup.config, tags), extension_lines(setup.config, tags)
    return {NOTE: describe_run(setup.config, name, about, command, tags, outcome, logger.artifacts, history, model)}


def _report_delivery_error(config: RunConfig, logger: RunLogger, reporter: RunReporter) -> None:
    if logger.delivery_error is not None:
        reporter.on_message(
            f"{logger.delivery_error}; the journal in {logger.folder} is complete: "
            f"send it later with {sync_command(config.outputs)}"
        )


def _with_threads(config: RunConfig, threads: int | None) -> RunConfig:
    """Return the config with ``trainer.threads=auto`` replaced; its overrides are recorded as they were given."""
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
    logger: RunLogger,
    reporter: RunReporter,
    until: int | None,
    in_sweep: bool,
) -> RunResult:
    size = {"model/parameters": setup.summary.parameters, "model/multiply_adds": setup.summary.multiply_adds}
    logger.log_metrics(size, step=0)
    reporter.on_start(setup.describe(name, folder))
    history, is_paused = _fit(setup, checkpoints, logger, reporter, until)
    if is_paused:
        return _pause(setup, name, folder, history, checkpoints, logger, reporter)
    checkpoints.finish()

    selection, tested_epoch = _choose_weights(setup, checkpoints, history)
    logger.log_metrics(selection, step=history[-1].epoch)
    reporter.on_work("testing")
    reporter.on_message(f"testing on {len(setup.data.test):,} images …")
    evaluation, test_metrics = _test(setup)
    logger.log_metrics(test_metrics, step=tested_epoch)

    for checkpoint in _keep_checkpoints(checkpoints, setup.config):
        logger.log_artifact(checkpoint, "checkpoints")
    all_metrics = {**history[-1].by_name(), **selection, **test_metrics}
    reporter.on_end(f"{name}: {_outcome(all_metrics)}")  # in a sweep the next job may start: figures need little
    rows = [{"epoch": float(metrics.epoch), **metrics.by_name()} for metrics in history]
    work = wrapping_up(setup.config, in_sweep)
    if work:
        reporter.on_message(f"{work} …")  # seconds in which nothing else would be seen
    log_artifacts(setup, name, folder, logger, rows, evaluation, tested_epoch, reporter, in_sweep)
    reporter.on_work("record")

    val_accuracy = next(metrics.val_accuracy for metrics in history if metrics.epoch == tested_epoch)
    return RunResult(None, folder, all_metrics, tuple(history), val_accuracy)


def _pause(
    setup: TrainingSetup,
    name: str,
    folder: Path,
    history: list[EpochMetrics],
    checkpoints: CheckpointManager,
    logger: RunLogger,
    reporter: RunReporter,
) -> RunResult:
    """Leave a run at its last epoch, its checkpoint on disk, until it is resumed; the test images stay unseen."""
    checkpoints.wait()
    last, selection = history[-1], dict[str, float]()
    if checkpoints.best_epoch is not None and checkpoints.best_accuracy is not None:
        selection = {"best/val_accuracy": checkpoints.best_accuracy, "best/epoch": float(checkpoints.best_epoch)}
        logger.log_metrics(selection, step=last.epoch)
    result = RunResult(
        None, folder, {**last.by_name(), **selection}, tuple(history), last.val_accuracy, paused_at=last.epoch
    )
    reporter.on_end(f"{name}: {_pause_text(result, setup.config)}")
    return result


def _pause_tags(epoch: int, config: RunConfig) -> dict[str, str]:
    return {EARLY_STOPPED: str(epoch), EARLY_STOPPED_OF: str(config.total_epochs)}


def _pause_text(result: RunResult, config: RunConfig) -> str:
    assert result.paused_at is not None
    state = state_text("PAUSED", _pause_tags(result.paused_at, config))
    return state if result.val_accuracy is None else f"{state}: val accuracy {result.val_accuracy:.4f}"


def _keep_checkpoints(checkpoints: CheckpointManager, config: RunConfig) -> list[Path]:
    """Remove the checkpoints not to keep and return the others: ``last.pt`` if there is no best one.

    Of the weights that were tested nothing else is kept: where they are the last ones, without the optimizer's state.
    A file of weights alone is compressed: no training goes on from it, and a large sweep has a thousand.
    """
    keep = config.tracking.keep
    both = [path for path in (checkpoints.last, checkpoints.best) if path.exists()]
    if keep == "tested":
        keep = config.trainer.select if checkpoints.best.exists() else "last"
        if keep == "last":
            state = load(checkpoints.last)
            weights: dict[str, Any] = {k: state[k] for k in ("epoch", "model", "config", "metrics") if k in state}
            save(checkpoints.last, weights, is_compressed=True)
    if keep == "best" and checkpoints.best.exists():
        with contextlib.suppress(TrainingError):  # no room for a second one: it stays as it is, a thirteenth larger
            save(checkpoints.best, load(checkpoints.best), is_compressed=True)
    kept = [path for path in both if keep in ("all", "auto") or path.stem == keep] or both
    for path in {*both} - {*kept}:
        path.unlink()
    return kept


def _fit(
    setup: TrainingSetup,
    checkpoints: CheckpointManager,
    logger: RunLogger,
    reporter: RunReporter,
    until: int | None,
) -> tuple[list[EpochMetrics], bool]:
    """Train to the end, or pause after epoch ``until``; return the metrics of all epochs, and whether it is paused."""
    last_epoch = setup.config.total_epochs
    trainer = setup.config.trainer
    stopping = trainer.early_stopping
    stopper = EarlyStopper(stopping.patience, stopping.min_delta, stopping.monitor)
    history: list[EpochMetrics] = []
    if trainer.resume == "auto":
        history = checkpoints.restore_latest(setup.net, setup.optimizer, setup.schedule, reporter.on_message)
    if history:
        reporter.on_message(f"resumed after epoch {history[-1].epoch}")
        _log_earlier_epochs(setup, history, checkpoints, logger)
    if any(stopper.should_stop(metrics) for metrics in history):
        return history, False
    if until is not None and history and until <= history[-1].epoch < last_epoch:  # it was killed as it paused
        return history, True
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
        on_step=reporter.on_step,
    ):
        history.append(metrics)
        # Metrics before the checkpoint: every checkpoint's epoch is then recorded, and one without is trained again.
        logger.log_metrics(metrics.by_name(), step=metrics.epoch)
        reporter.on_epoch(metrics)
        if metrics.epoch in trainer.test_at and metrics.epoch < setup.config.total_epochs:
            test_metrics = _test(setup)[1]
            logger.log_metrics(test_metrics, step=metrics.epoch)
            reporter.on_message(f"epoch {metrics.epoch}: test accuracy {test_metrics['test/accuracy']:.4f}")
        checkpoints.save(setup.net, setup.optimizer, setup.schedule, metrics)
        if stopper.should_stop(metrics):
            break
        if until is not None and until <= metrics.epoch < last_epoch:
            return history, True
    return history, False


def _log_earlier_epochs(
    setup: TrainingSetup, history: list[EpochMetrics], checkpoints: CheckpointManager, logger: RunLogger
) -> None:
    """Log what the journal has not yet of the epochs before: all of it where another run trained them."""
    for metrics in history:
        logger.log_metrics(metrics.by_name(), step=metrics.epoch)
    for epoch, tested in checkpoints.earlier_tests.items():
        logger.log_metrics(tested, step=epoch)
    epoch = history[-1].epoch
    is_due = epoch in setup.config.trainer.test_at and epoch < setup.config.total_epochs
    if is_due and not logger.has("test/accuracy", epoch):
        logger.log_metrics(_test(setup)[1], step=epoch)


def _choose_weights(
    setup: TrainingSetup, checkpoints: CheckpointManager, history: list[EpochMetrics]
) -> tuple[dict[str, float], int]:
    """Load the weights to be evaluation into the net; return the metrics of their selection, and their epoch."""
    last = history[-1]
    if checkpoints.best_epoch is None or checkpoints.best_accuracy is None or last.val_accuracy is None:
        return {}, last.epoch
    metrics = {
        "best/val_accuracy": checkpoints.best_accuracy,
        "best/epoch": float(checkpoints.best_epoch),
        "final/val_accuracy": last.val_accuracy,
    }
    if setup.config.trainer.select == "last":
        return metrics, last.epoch
    setup.net.load_state_dict(load(checkpoints.best))
    return metrics, checkpoints.best_epoch


def _test(setup: TrainingSetup) -> tuple[Evaluation, dict[str, float]]:
    """Evaluate the current weights on the test set, and on the augmented one with ``trainer.test_augmented``."""
    evaluation = evaluate(setup.net, setup.test_batches(), setup.precision)
    metrics = {"test/loss": evaluation.loss, "test/accuracy": evaluation.accuracy}
    penalty = setup.optimizer.penalty()
    if penalty is not None:
        metrics["test/objective"] = evaluation.loss + penalty.item()
    if setup.config.trainer.test_augmented:
        augmented = evaluate(setup.net, setup.test_batches(augmented=True), setup.precision)
        metrics |= {"test_augmented/loss": augmented.loss, "test_augmented/accuracy": augmented.accuracy}
    return evaluation, metrics


def _outcome(metrics: Mapping[str, float]) -> str:
    line = f"test accuracy {metrics['test/accuracy']:.4f}, loss {metrics['test/loss']:.4f}"
    if "best/val_accuracy" in metrics:
        line += f"; best val accuracy {metrics['best/val_accuracy']:.4f} at epoch {metrics['best/epoch']:.0f}"
    return line
