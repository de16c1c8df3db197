"""What a run leaves for a person to look at: report, pictures, the data it used, the model as MLflow serves it."""

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
    record: RunLogger,
    history: Sequence[Mapping[str, float]],
    tested: Evaluation,
    tested_epoch: int,
) -> None:
    """Write into the run's folder and its record what the trained net did with the test images.

    name: the run's, for the pictures. history: one mapping an epoch, by MLflow's metric names. tested_epoch: whose
    weights the net now has.
    """
    report = evaluation_report(tested.logits, tested.labels, setup.data.classes)
    for path in [*_write_report(report, folder), *_write_figures(setup, name, report, history, tested, folder)]:
        record.log_artifact(path)
    if setup.config.tracking.backend == "none":
        return
    _log_input(setup, record)
    if setup.config.analysis.log_model:
        _log_model(setup, record, folder, tested_epoch)


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
    tested: Evaluation,
    folder: Path,
) -> list[Path]:
    if not setup.config.analysis.pictures:
        return []
    # matplotlib takes half a second to import, which the first training step need not wait for.
    from cifar_sweeps.analysis import figures

    classes, images = setup.data.classes, setup.data.test.images
    title = textwrap.fill(escape_mathtext(name), 60)
    drawn = {
        "learning_curves.png": figures.learning_curves(history, title),
        "confusion_matrix.png": figures.confusion_heatmap(report.confusion, classes, f"{title}\ntest images"),
        "predictions.png": figures.prediction_grid(
            images, tested.labels, report.predicted, report.probability, classes, title=f"{title}: test images"
        ),
    }
    for name, figure in drawn.items():
        figures.save(figure, folder / name)
    return [folder / name for name in drawn]


def _log_input(setup: TrainingSetup, record: RunLogger) -> None:
    record.log_input(
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


def _log_model(setup: TrainingSetup, record: RunLogger, folder: Path, epoch: int) -> None:
    servable = mlflow_model.ServableClassifier(setup.net, setup.config.data.mean, setup.config.data.std)
    examples = setup.data.test.images[:2].numpy()
    # Its own for each attempt: the sender may still be at work on that of an earlier one.
    path = folder / f"{mlflow_model.MODEL_NAME}-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    mlflow_model.save_model(servable, setup.data.classes, examples, path)
    record.log_model(path, mlflow_model.MODEL_NAME, step=epoch)
