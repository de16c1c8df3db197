"""Log a run's artifacts: classification report, figures, data set, and the model that MLflow serves."""

import json
import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_sweeps.analysis import mlflow_model
from cifar_sweeps.analysis.evaluation import EvaluationReport, evaluation_report
from cifar_sweeps.analysis.mathtext import escape_mathtext
from cifar_sweeps.runs.setup import TrainingSetup
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking.run_logger import RunLogger
from cifar_sweeps.training.metrics import Evaluation


def log_artifacts(
    setup: TrainingSetup,
    name: str,
    folder: Path,
    logger: RunLogger,
    history: Sequence[Mapping[str, float]],
    test: Evaluation,
    tested_epoch: int,
) -> None:
    """Write report and figures of the test predictions into the run's folder, and log them, data set and model.

    name: the run's, for the figures' titles. history: one mapping per epoch, by MLflow's metric names. tested_epoch:
    the epoch of the net's weights.
    """
    report = evaluation_report(test.logits, test.labels, setup.data.classes)
    for path in [*_write_report(report, folder), *_write_figures(setup, name, report, history, test, folder)]:
        logger.log_artifact(path)
    if setup.config.tracking.backend == "none":
        return
    _log_input(setup, logger)
    if setup.config.analysis.log_model:
        _log_model(setup, logger, folder, tested_epoch)


def _write_report(report: EvaluationReport, folder: Path) -> list[Path]:
    paths = [folder / "classification_report.txt", folder / "classification_report.json"]
    write_text_atomic(paths[0], report.text)
    write_text_atomic(paths[1], json.dumps(report.by_class, indent=1, ensure_ascii=False))
    return paths


def _write_figures(
    setup: TrainingSetup,
    name: str,
    report: EvaluationReport,
    history: Sequence[Mapping[str, float]],
    test: Evaluation,
    folder: Path,
) -> list[Path]:
    if not setup.config.analysis.pictures:
        return []
    # Imported here: matplotlib takes half a second to import, which would delay the first training step.
    from cifar_sweeps.analysis import figures

    classes, images = setup.data.classes, setup.data.test.images
    title = textwrap.fill(escape_mathtext(name), 60)
    plots = {
        "learning_curves.png": figures.learning_curves(history, title),
        "confusion_matrix.png": figures.confusion_heatmap(report.confusion, classes, f"{title}\ntest images"),
        "predictions.png": figures.prediction_grid(
            images, test.labels, report.predicted, report.probability, classes, title=f"{title}: test images"
        ),
    }
    for name, figure in plots.items():
        figures.save(figure, folder / name)
    return [folder / name for name in plots]


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
    servable = mlflow_model.ServableClassifier(setup.net, setup.config.data.mean, setup.config.data.std)
    examples = setup.data.test.images[:2].numpy()
    # One folder per attempt: the delivery thread may still be sending that of an earlier one.
    path = folder / f"{mlflow_model.MODEL_NAME}-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    mlflow_model.save_model(servable, setup.data.classes, examples, path)
    logger.log_model(path, mlflow_model.MODEL_NAME, step=epoch)
