"""The classes of a study's best arm: its confusion matrix, and where it differs from the next one."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cifar_sweeps.analysis.confusion_picture import confusion_heatmap
from cifar_sweeps.analysis.pages.html_page import PageFigure
from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.studies.columns import MISSING
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.system.files import is_inside
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.recorded_run import locate_folder

_FILE = "analysis.json"
_MOST_ROWS = 25
_FIGURES = ("precision", "recall", "f1")
_LARGEST_FILE = 50_000_000
"""Bytes of an analysis that is read: the record may be another user's."""


def class_table(arms: Sequence[str], runs: Sequence[StudyRun]) -> TextTable | None:
    """Return the figures by class of the first arm, and its recall against that of the second; None without any.

    arms: the best first. runs: finished ones.
    """
    if not arms:
        return None
    best = [run for run in runs if run.arm == arms[0]]
    second = [run for run in runs if len(arms) > 1 and run.arm == arms[1]]
    prefix = "test/recall/"
    classes = list(dict.fromkeys(key.removeprefix(prefix) for run in best for key in run.metrics if prefix in key))
    if not classes:
        return None
    rows = []
    for name in classes:
        own = {figure: estimate(run.metrics.get(f"test/{figure}/{name}") for run in best) for figure in _FIGURES}
        difference = _difference(f"{prefix}{name}", best, second)
        size = abs(difference.mean) if difference is not None else 0.0
        cells = [MISSING if value is None else f"{value.mean:.4f}" for value in own.values()]
        last = [MISSING if difference is None else difference.text(sign=True)] if second else []
        rows.append((size, (name, *cells, *last)))
    note = f"Test images, of {arms[0]}: means over seeds."
    columns = [Column("class"), *(Column(each.replace("f1", "F1"), is_number=True) for each in _FIGURES)]
    if second:
        columns.append(Column("recall, difference", is_number=True))
        note += f" Difference: its recall minus that of {arms[1]}, over the seeds that both have, ± half of the 95%"
        note += " t interval."
    if len(rows) > _MOST_ROWS:
        rows = sorted(rows, key=lambda row: -row[0])[:_MOST_ROWS]
        note += f" The {_MOST_ROWS} of {len(classes)} classes that differ most."
    return TextTable("The best arm by class", tuple(columns), tuple(row for _, row in rows), note=note)


def _difference(metric: str, best: Sequence[StudyRun], second: Sequence[StudyRun]) -> Estimate | None:
    others = {run.seed: run.metrics.get(metric) for run in second}
    pairs = [(run.metrics.get(metric), others.get(run.seed)) for run in best]
    return estimate(mine - other for mine, other in pairs if mine is not None and other is not None)


def confusion_figure(
    arm: str, runs: Sequence[StudyRun], client: "mlflow_api.MlflowClient", outputs: Path
) -> list[PageFigure]:
    """Return the confusion matrix of an arm, summed over its seeds; none where no run recorded one.

    outputs: the folder of all runs; a run's folder recorded outside it is not read.
    """
    found = [matrix for run in runs if run.arm == arm and (matrix := _confusion(run, client, outputs)) is not None]
    found = [each for each in found if each[0] == found[0][0]]
    if not found:
        return []
    classes, total = found[0][0], np.sum([counts for _, counts in found], axis=0)
    seeds = "one run" if len(found) == 1 else f"the sum of {len(found)} runs"
    figure = confusion_heatmap(total, classes, scale=2)  # a page may be enlarged, or printed
    return [PageFigure("Confusion matrix of the best arm", f"{arm}, test images, {seeds}.", figure)]


def _confusion(
    run: StudyRun, client: "mlflow_api.MlflowClient", outputs: Path
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]] | None:
    folder = locate_folder(run.tag("folder"), outputs)
    path = Path(folder or "", _FILE)
    if folder and is_inside(path, outputs) and path.is_file():
        return _read(path)
    with tempfile.TemporaryDirectory() as target:
        try:
            return _read(Path(client.download_artifacts(run.run_id, _FILE, target)))
        except (mlflow_api.MlflowException, OSError):  # an older run, or one with analysis=none
            return None


def _read(path: Path) -> tuple[tuple[str, ...], npt.NDArray[np.int64]] | None:
    if path.stat().st_size > _LARGEST_FILE:
        return None
    try:
        analysis = json.loads(path.read_text(encoding="utf-8"))
        classes = tuple(str(name) for name in analysis["classes"])
        counts = np.array(analysis["confusion"]["counts"], dtype=np.int64)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return (classes, counts) if counts.shape == (len(classes), len(classes)) and (counts >= 0).all() else None
