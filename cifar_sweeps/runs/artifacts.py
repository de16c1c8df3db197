"""Log a run's artifacts: classification report, figures, data set, and the model that MLflow serves."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cifar_sweeps.analysis import mlflow_model
from cifar_sweeps.analysis.calibration import calibration
from cifar_sweeps.analysis.evaluation import evaluation_report
from cifar_sweeps.analysis.predictions import VALIDATION_FILE, Predictions, from_logits
from cifar_sweeps.analysis.run_report import class_and_calibration_metrics, draw_pictures, write_data
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.runs.reporters import RunReporter
from cifar_sweeps.runs.setup import TrainingSetup
from cifar_sweeps.tracking.page_links import MODEL_NAME
from cifar_sweeps.tracking.run_logger import RunLogger
from cifar_sweeps.tracking.store_calls import acceptable_name
from cifar_sweeps.training.loop import evaluate
from cifar_sweeps.training.metrics import Evaluation


def logs_model(config: RunConfig, in_sweep: bool) -> bool:
    """Return whether a run logs its own model: the best one of a sweep gets it from the sweep, at its end."""
    levels = ("all",) if in_sweep else ("all", "best")
    return config.tracking.backend != "none" and config.analysis.log_model in levels


def wrapping_up(config: RunConfig, in_sweep: bool = False) -> str:
    """Return what `log_artifacts` does that takes a while, in words; empty if that is nothing."""
    work = []
    if config.analysis.pictures:
        work.append("drawing the pictures")
    if logs_model(config, in_sweep):
        work.append("saving the model")
    return " and ".join(work)


def log_artifacts(
    setup: TrainingSetup,
    name: str,
    folder: Path,
    logger: RunLogger,
    history: Sequence[Mapping[str, float]],
    test: Evaluation,
    tested_epoch: int,
    reporter: RunReporter,
    in_sweep: bool = False,
) -> None:
    """Write report and figures of the test predictions into the run's folder, and log them, data set and model.

    name: the run's, for the figures' titles. history: one mapping per epoch, by MLflow's metric names. tested_epoch:
    the epoch of the net's weights. reporter: told what is done, and what could not be drawn. in_sweep: whether the
    run is a sweep's job.
    """
    analysis, paths = setup.config.analysis, list[Path]()
    if analysis.report or analysis.pictures:
        evaluation = evaluation_report(test.logits, test.labels, setup.data.classes)
        predictions = from_logits(test.logits, test.labels, setup.data.classes)
        measured = calibration(predictions)
        if analysis.report:
            metrics = class_and_calibration_metrics(evaluation, measured, acceptable_name)
            logger.log_metrics(metrics, step=tested_epoch)
            paths += write_data(evaluation, predictions, measured, folder)
        if analysis.pictures:
            reporter.on_work("pictures")
            report = reporter.on_message
            images, details = setup.data.test.images, analysis.details
            paths += draw_pictures(images, evaluation, predictions, measured, history, name, folder, report, details)
    if analysis.details and setup.val is not None:
        paths.append(folder / VALIDATION_FILE)
        _validation_predictions(setup).save(paths[-1])
    for path in paths:
        logger.log_artifact(path)
    if setup.config.tracking.backend == "none":
        return
    _log_input(setup, logger)
    if logs_model(setup.config, in_sweep):
        reporter.on_work("model")
        _log_model(setup, logger, folder, tested_epoch)


def _validation_predictions(setup: TrainingSetup) -> Predictions:
    """Predict the validation images; ``index`` is into the images that ``splits.val_from`` names."""
    assert setup.val is not None
    evaluation = evaluate(setup.net, setup.val, setup.precision)
    made = from_logits(evaluation.logits, evaluation.labels, setup.data.classes)
    return replace(made, index=setup.splits.val.numpy())


def _log_input(setup: TrainingSetup, logger: RunLogger) -> None:
    logger.log_input(
        name=setup.data.name,
        fingerprint=setup.data.fingerprint,
        source=str(setup.config.data.root or setup.data.name),
        images={
            "training": setup.splits.num_train,
            "validation": len(setup.splits.val),
            "test": len(setup.data.test),
        },
        classes=len(setup.data.classes),
    )


def _log_model(setup: TrainingSetup, logger: RunLogger, folder: Path, epoch: int) -> None:
    data = setup.config.data
    servable = mlflow_model.ServableClassifier(setup.net, data.mean, data.std, setup.whitening)
    examples = setup.data.test.images[:2].numpy()
    # One folder per attempt: the delivery thread may still be sending that of an earlier one.
    path = folder / f"{MODEL_NAME}-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    mlflow_model.save_model(servable, setup.data.classes, examples, path)
    logger.log_model(path, MODEL_NAME, step=epoch)
