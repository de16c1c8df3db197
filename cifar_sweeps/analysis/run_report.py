"""What is written of one run's test predictions: metrics, data files and pictures."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from torch import Tensor

from cifar_sweeps.analysis.calibration import Calibration
from cifar_sweeps.analysis.evaluation import EvaluationReport
from cifar_sweeps.analysis.matplotlib_setup import import_matplotlib
from cifar_sweeps.analysis.mistakes import Positions, confident_mistakes, confused_pairs, mistakes_as_data
from cifar_sweeps.analysis.predictions import FILE, Predictions
from cifar_sweeps.errors import in_one_line
from cifar_sweeps.system.files import write_text_atomic

if TYPE_CHECKING:  # matplotlib, which it takes fonts from, would delay the first training step
    from cifar_sweeps.analysis.sheet import Sheet

Picture: TypeAlias = "tuple[str, Sheet]"
"""The name of a picture's file, and what is drawn."""
MISTAKES, PAIRS, EXAMPLES = 24, 5, 8
"""Shown: mistakes, pairs of classes, and images of each pair."""
_MISTAKES_AS_DATA, _PAIRS_AS_DATA, _EXAMPLES_AS_DATA = 200, 50, 20
_MOST_CLASSES = 100
"""Above which the figures of each class are in the report alone: three metrics a class."""


def class_and_calibration_metrics(
    evaluation: EvaluationReport, measured: Calibration, acceptable: Callable[[str], str]
) -> dict[str, float]:
    """Return the metrics of the test images beside accuracy and loss, by their logged names.

    acceptable: makes a name of which a class is a part acceptable to the store.
    """
    metrics = {"test/ece": measured.ece, "test/brier": measured.brier}
    if len(evaluation.confusion) <= _MOST_CLASSES:
        metrics |= {acceptable(name): value for name, value in evaluation.metrics_by_class().items()}
    return metrics


def write_data(
    evaluation: EvaluationReport, predictions: Predictions, measured: Calibration, folder: Path
) -> list[Path]:
    """Write report, analysis and predictions as files into ``folder``, and return them."""
    texts = {
        "classification_report.txt": evaluation.text,
        "classification_report.json": json.dumps(evaluation.by_class, indent=1, ensure_ascii=False),
        "analysis.json": json.dumps(
            _as_data(evaluation, predictions, measured), ensure_ascii=False, separators=(",", ":")
        ),
    }
    for name, text in texts.items():
        write_text_atomic(folder / name, text)
    predictions.save(folder / FILE)
    return [*(folder / name for name in texts), folder / FILE]


def draw_pictures(
    images: Tensor,
    evaluation: EvaluationReport,
    predictions: Predictions,
    measured: Calibration,
    history: Sequence[Mapping[str, float]],
    name: str,
    folder: Path,
    report: Callable[[str], None],
    details: bool = False,
) -> list[Path]:
    """Draw the pictures into ``folder`` and return them. A training that went well stays so where they cannot be drawn.

    images: (N, 3, H, W) uint8, of the predictions. history: one mapping per epoch, by MLflow's metric names. name: the
    run's, for the titles. report: called with a line for what could not be drawn. details: also those of each class.
    """
    missing: set[str] = set()
    paths = []
    try:
        import_matplotlib()  # for its fonts
        from cifar_sweeps.analysis import figures

        for file, picture in _pictures(images, evaluation, predictions, measured, history, name, details):
            missing |= figures.save(picture, folder / file)
            paths.append(folder / file)
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
    return paths


def _pictures(
    images: Tensor,
    evaluation: EvaluationReport,
    predictions: Predictions,
    measured: Calibration,
    history: Sequence[Mapping[str, float]],
    name: str,
    details: bool,
) -> Iterator[Picture]:
    from cifar_sweeps.analysis import confusion_picture, figures, image_sheets

    title, classes = name, predictions.classes
    yield "learning_curves.png", figures.learning_curves(history, title)
    heading = f"{title}\n{len(predictions):,} test images"
    yield "confusion_matrix.png", confusion_picture.confusion_heatmap(evaluation.confusion, classes, heading)
    yield "calibration.png", figures.reliability_diagram(measured, title)
    yield "predictions.png", image_sheets.prediction_grid(images, predictions, title=f"{name}: test images")
    mistakes = confident_mistakes(predictions)
    if len(mistakes):
        heading = f"{name}: the most confident of {len(mistakes):,} mistakes in {len(predictions):,} test images"
        yield "mistakes.png", image_sheets.mistakes_sheet(images, predictions, mistakes[:MISTAKES], heading)
        pairs = confused_pairs(predictions, PAIRS, EXAMPLES)
        yield (
            "confused_pairs.png",
            image_sheets.pairs_sheet(images, predictions, pairs, f"{name}: the most confused classes"),
        )
    if details:
        yield "classes.png", figures.class_figures({each: evaluation.by_class[each] for each in classes}, title)
        yield from _mistakes_by_class(images, predictions, mistakes, name)


def _mistakes_by_class(images: Tensor, predictions: Predictions, mistakes: Positions, name: str) -> Iterator[Picture]:
    from cifar_sweeps.analysis import image_sheets

    rows = []
    for number in range(len(predictions.classes)):
        own = mistakes[predictions.labels[mistakes] == number]
        if len(own):
            rows.append(own[:EXAMPLES])
    if rows:
        yield (
            "mistakes_by_class.png",
            image_sheets.class_mistakes_sheet(images, predictions, rows[:_MOST_CLASSES], f"{name}: mistakes"),
        )


def _as_data(evaluation: EvaluationReport, predictions: Predictions, measured: Calibration) -> dict[str, Any]:
    names = predictions.classes
    pairs = confused_pairs(predictions, _PAIRS_AS_DATA, _EXAMPLES_AS_DATA)
    mistakes = confident_mistakes(predictions)
    return {
        "images": len(predictions),
        "classes": list(names),
        "confusion": {"rows": "actual", "columns": "predicted", "counts": evaluation.confusion.tolist()},
        "calibration": {
            "expected_calibration_error": measured.ece,
            "brier": measured.brier,
            "bins": [
                {"from": low, "to": high, "images": int(count), "confidence": _or_none(c), "accuracy": _or_none(a)}
                for low, high, count, c, a in zip(
                    measured.edges[:-1],
                    measured.edges[1:],
                    measured.counts,
                    measured.confidence,
                    measured.accuracy,
                    strict=True,
                )
            ],
        },
        "mistakes": {
            "count": len(mistakes),
            "most_confident": mistakes_as_data(predictions, mistakes[:_MISTAKES_AS_DATA]),
        },
        "confused_pairs": [
            {
                "actual": names[pair.actual],
                "predicted": names[pair.predicted],
                "count": pair.count,
                "rate": pair.rate,
                "examples": [int(predictions.index[at]) for at in pair.examples],
            }
            for pair in pairs
        ],
    }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
