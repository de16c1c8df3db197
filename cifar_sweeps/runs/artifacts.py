"""Log a run's artifacts: classification report, figures, data set, and the model that MLflow serves."""

import json
import os
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cifar_sweeps.analysis import mlflow_model
from cifar_sweeps.analysis.evaluation import EvaluationReport, evaluation_report
from cifar_sweeps.analysis.mathtext import escape_mathtext
from cifar_sweeps.analysis.matplotlib_setup import import_matplotlib, own_style
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.errors import in_one_line
from cifar_sweeps.runs.setup import TrainingSetup
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking.mlflow_inputs import MODEL_NAME
from cifar_sweeps.tracking.run_logger import RunLogger
from cifar_sweeps.tracking.store_calls import acceptable_name
from cifar_sweeps.training.metrics import Evaluation


def wrapping_up(config: RunConfig) -> str:
    """Return what `log_artifacts` does that takes a while, in words; empty if that is nothing."""
    work = []
    if config.analysis.pictures:
        work.append("drawing the pictures")
    if config.analysis.log_model and config.tracking.backend != "none":
        work.append("saving the model")
    return " and ".join(work)


_MOST_CLASSES = 100
"""Above which the figures of each class are in the report alone: three metrics a class."""


def log_artifacts(
    setup: TrainingSetup,
    name: str,
    folder: Path,
    logger: RunLogger,
    history: Sequence[Mapping[str, float]],
    test: Evaluation,
    tested_epoch: int,
    report: Callable[[str], None],
) -> None:
    """Write report and figures of the test predictions into the run's folder, and log them, data set and model.

    name: the run's, for the figures' titles. history: one mapping per epoch, by MLflow's metric names. tested_epoch:
    the epoch of the net's weights. report: called with a line for what could not be drawn.
    """
    evaluation = evaluation_report(test.logits, test.labels, setup.data.classes)
    if len(setup.data.classes) <= _MOST_CLASSES:
        named = {acceptable_name(metric): value for metric, value in evaluation.metrics_by_class().items()}
        logger.log_metrics(named, step=tested_epoch)
    paths = _write_report(evaluation, folder)
    if setup.config.analysis.pictures:
        paths += _write_figures(setup, name, evaluation, history, test, folder, report)
    for path in paths:
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
    evaluation: EvaluationReport,
    history: Sequence[Mapping[str, float]],
    test: Evaluation,
    folder: Path,
    report: Callable[[str], None],
) -> list[Path]:
    """Draw the figures and return their files. A training that went well stays so where they cannot be drawn."""
    classes, images = setup.data.classes, setup.data.test.images
    title = textwrap.fill(escape_mathtext(name), 60)
    missing: set[str] = set()
    try:
        # Imported here: matplotlib takes half a second to import, which would delay the first training step.
        import_matplotlib()
        from cifar_sweeps.analysis import figures

        with own_style():
            plots = {
                "learning_curves.png": figures.learning_curves(history, title),
                "confusion_matrix.png": figures.confusion_heatmap(
                    evaluation.confusion, classes, f"{title}\ntest images"
                ),
                "predictions.png": figures.prediction_grid(
                    images,
                    test.labels,
                    evaluation.predicted,
                    evaluation.probability,
                    classes,
                    title=f"{title}: test images",
                ),
            }
            for file, figure in plots.items():
                missing |= figures.save(figure, folder / file)
    except (OSError, MemoryError):  # a full disk: nothing else can be written either
        raise
    except Exception as error:  # noqa: BLE001 (matplotlib, its fonts and its settings can fail in any way)
        report(f"the pictures could not be drawn: {in_one_line(error)}; all numbers are recorded")
        return []
    if missing:
        report(
            f"pictures: no font here has {len(missing)} of the letters ({''.join(sorted(missing))[:20]}), which are "
            "drawn as boxes; install one that has, such as fonts-noto-cjk"
        )
    return [folder / file for file in plots]


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
    path = folder / f"{MODEL_NAME}-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    mlflow_model.save_model(servable, setup.data.classes, examples, path)
    logger.log_model(path, MODEL_NAME, step=epoch)
