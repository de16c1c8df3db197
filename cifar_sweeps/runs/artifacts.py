"""What a run leaves for a person to look at: report, pictures, the data it used, the model as MLflow serves it."""

import json
import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_sweeps.analysis import mlflow_model
from cifar_sweeps.analysis.evaluation import EvaluationReport, evaluation_report
from cifar_sweeps.analysis.mathtext import as_drawn
from cifar_sweeps.runs.setup import Scene
from cifar_sweeps.system.files import write_whole
from cifar_sweeps.tracking.run_logger import Record
from cifar_sweeps.training.metrics import Evaluation


def look_back(
    scene: Scene,
    name: str,
    folder: Path,
    record: Record,
    history: Sequence[Mapping[str, float]],
    tested: Evaluation,
    tested_epoch: int,
) -> None:
    """Write into the run's folder and its record what the trained net did with the test images.

    name: the run's, for the pictures. history: one mapping an epoch, by MLflow's metric names. tested_epoch: whose
    weights the net now has.
    """
    report = evaluation_report(tested.logits, tested.labels, scene.data.classes)
    for path in [*_write_report(report, folder), *_draw(scene, name, report, history, tested, folder)]:
        record.artifact(path)
    if scene.config.tracking.backend == "none":
        return
    _log_data(scene, record)
    if scene.config.analysis.log_model:
        _log_model(scene, record, folder, tested_epoch)


def _write_report(report: EvaluationReport, folder: Path) -> list[Path]:
    paths = [folder / "classification_report.txt", folder / "classification_report.json"]
    write_whole(paths[0], report.text)
    write_whole(paths[1], json.dumps(report.by_class, indent=1, ensure_ascii=False))
    return paths


def _draw(
    scene: Scene,
    name: str,
    report: EvaluationReport,
    history: Sequence[Mapping[str, float]],
    tested: Evaluation,
    folder: Path,
) -> list[Path]:
    if not scene.config.analysis.pictures:
        return []
    # matplotlib takes half a second to import, which the first training step need not wait for.
    from cifar_sweeps.analysis import figures

    classes, images = scene.data.classes, scene.data.test.images
    title = textwrap.fill(as_drawn(name), 60)
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


def _log_data(scene: Scene, record: Record) -> None:
    record.dataset(
        name=scene.data.name,
        fingerprint=scene.data.fingerprint,
        source=str(scene.config.data.root or scene.data.name),
        images={
            "training": scene.splits.num_train,
            "validation": len(scene.splits.val),
            "test": len(scene.data.test),
        },
        classes=len(scene.data.classes),
    )


def _log_model(scene: Scene, record: Record, folder: Path, epoch: int) -> None:
    servable = mlflow_model.ServableClassifier(scene.net, scene.config.data.mean, scene.config.data.std)
    examples = scene.data.test.images[:2].numpy()
    # Its own for each attempt: the sender may still be at work on that of an earlier one.
    path = folder / f"{mlflow_model.MODEL_NAME}-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    mlflow_model.save_model(servable, scene.data.classes, examples, path)
    record.model(path, mlflow_model.MODEL_NAME, step=epoch)
