"""Find suspected label errors in the training images of recorded runs, and write them as a page and a table."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import cifar_sweeps
from cifar_sweeps.analysis.image_sheets import COLUMNS, Tile, image_sheet
from cifar_sweeps.analysis.label_errors import LabelScores, OutOfSample, out_of_sample, score_suspects, suspected_labels
from cifar_sweeps.analysis.matplotlib_setup import VERMILLION
from cifar_sweeps.analysis.pages.html_page import PageFigure, Section, render_sections
from cifar_sweeps.analysis.predictions import VALIDATION_FILE, Predictions, load_predictions
from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.data import synthetic
from cifar_sweeps.errors import DataError, TrackingError
from cifar_sweeps.runs.trained_run import TrainedRun, open_trained_run
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.system.files import file_name, write_text_atomic
from cifar_sweeps.system.scripts import shell_command
from cifar_sweeps.tracking.store import Store

_SHOWN_ON_PAGE, _SHOWN_IN_TABLE = 96, 10
_FOLDS = "-m data.split=fold data.fold=0,1,2,3,4"


@dataclass(frozen=True)
class LabelErrors:
    """Suspected label errors of one data set. ``suspects``: positions in ``seen.predictions``, the worst first.

    notes: lines on what was left out, or should be known. scores: where the true labels are known.
    """

    runs: tuple[TrainedRun, ...]
    seen: OutOfSample
    suspects: npt.NDArray[np.int64]
    scores: LabelScores | None
    notes: tuple[str, ...]

    @property
    def coverage(self) -> str:
        """How many images were judged, by how many runs."""
        total = len(self.runs[0].images.train)
        each = f"{self.seen.times.min()} to {self.seen.times.max()}"
        times = str(self.seen.times.max()) if self.seen.times.min() == self.seen.times.max() else each
        return (
            f"{len(self.seen.predictions):,} of the {total:,} training and validation images, each judged by "
            f"{times} of {len(self.runs)} runs that were not trained on it"
        )

    def table(self, count: int | None = _SHOWN_IN_TABLE) -> TextTable:
        """Return the worst suspects: label, prediction, and the probability of both."""
        columns = ("rank", "image", "label", "predicted", "p(label)", "p(predicted)")
        rows = [tuple(str(value) for value in row) for row in self.rows()[:count]]
        numbers = ("rank", "image", "p(label)", "p(predicted)")
        return TextTable(
            "Suspected label errors",
            tuple(Column(name, is_number=name in numbers) for name in columns),
            tuple(rows),
            "No label is suspected.",
        )

    def rows(self) -> list[tuple[int, int, str, str, str, str]]:
        """Return all suspects as rows of `table`."""
        found, names = self.seen.predictions, self.seen.predictions.classes
        winners = found.predicted
        return [
            (
                rank,
                int(found.index[at]),
                names[found.labels[at]],
                names[winners[at]],
                f"{found.probabilities[at, found.labels[at]]:.3f}",
                f"{found.probabilities[at, winners[at]]:.3f}",
            )
            for rank, at in enumerate(self.suspects, 1)
        ]


def find_label_errors(names: Sequence[str], store: Store, say: Callable[[str], None]) -> LabelErrors:
    """Find suspected label errors by the runs of studies and sweeps, and by single runs.

    names: of studies, sweeps and runs. say: told what takes a while. Raises TrackingError if none of them validated on
    images that it held out of its training images, DataError if they were trained on different images, ConfigError.
    """
    chosen, notes = _usable(_opened(names, store), names)
    first = chosen[0].record.tag("data_fingerprint")
    for run in chosen[1:]:
        if run.record.tag("data_fingerprint") != first:
            raise DataError(
                f"{run.label} and {chosen[0].label} were trained on different images; give runs of one data set"
            )
    parts = []
    for number, run in enumerate(chosen, 1):
        say(f"predictions of {run.label}, {number} of {len(chosen)}")
        parts.append(_validation_predictions(run))
    seen = out_of_sample(parts)
    suspects = suspected_labels(seen.predictions)
    if len(seen.predictions) < len(chosen[0].images.train):
        notes.append(f"The other images were held out by none of the runs; cross-validation judges all: {_FOLDS}")
    truth = _true_labels(chosen[0])
    scores = None if truth is None else score_suspects(seen.predictions, suspects, truth)
    return LabelErrors(tuple(chosen), seen, suspects, scores, tuple(notes))


def write_page(found: LabelErrors, names: Sequence[str], store: Store) -> tuple[Path, Path]:
    """Write the page and a table of all suspects into the reports of the outputs folder; return both paths."""
    folder = store.outputs / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{file_name('label_errors_' + '_'.join(names))}.html"
    data = found.runs[0].images
    predictions = found.seen.predictions
    winners = predictions.predicted
    tiles = [
        Tile(
            data.train.images[predictions.index[at]],
            (
                f"{predictions.classes[predictions.labels[at]]} "
                f"{predictions.probabilities[at, predictions.labels[at]]:.2f}",
                f"{predictions.classes[winners[at]]} {predictions.probabilities[at, winners[at]]:.2f}?",
            ),
            VERMILLION,
        )
        for at in found.suspects[:_SHOWN_ON_PAGE]
    ]
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    note = "first line: the label and its probability; second: the class that is predicted instead, and its probability"
    figures = [PageFigure("", f"The {len(tiles)} most suspicious images. {note}.", image_sheet(rows, note=note))]
    html = render_sections(
        f"Suspected label errors: {data.name}",
        summary(found),
        [
            Section("The most suspicious images", figures=figures if tiles else (), side_by_side=False),
            Section("By class", tables=[_by_class(found)]),
            Section("All of them", tables=[found.table(_SHOWN_ON_PAGE)], texts=[f"The whole list: {page.stem}.csv"]),
        ],
        version=cifar_sweeps.__version__,
        warnings=found.notes,
        commands=[shell_command("cifar-sweeps", ["label-errors", *names])],
    )
    write_text_atomic(page, html)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["rank", "image", "label", "predicted", "p_label", "p_predicted"])
    writer.writerows(found.rows())
    write_text_atomic(page.with_suffix(".csv"), text.getvalue())
    return page, page.with_suffix(".csv")


def summary(found: LabelErrors) -> str:
    """Return in two or three sentences what was found, and what that is worth."""
    count, seen = len(found.suspects), len(found.seen.predictions)
    accuracy = float(found.seen.predictions.correct.mean())
    text = f"{count:,} labels are suspected ({count / seen:.1%}) among {found.coverage}."
    chance = 1 / len(found.seen.predictions.classes)
    if accuracy <= chance + 3 * math.sqrt(chance * (1 - chance) / seen):
        text = (
            f"NEVER LEARNED: the networks agree with {accuracy:.1%} of the labels, as guessing does ({chance:.1%}), so "
            f"that what they suspect says nothing: {count:,} labels ({count / seen:.1%}) among {found.coverage}."
        )
    if found.scores is not None and found.scores.wrong == 0:
        return f"{text} All labels of these drawn images are true."
    if found.scores is not None:
        return (
            f"{text} Of these drawn images {found.scores.wrong:,} labels are known to be wrong: precision "
            f"{found.scores.precision:.3f}, recall {found.scores.recall:.3f}."
        )
    return (
        f"{text} The networks agree with {accuracy:.1%} of the labels: the fewer they get right, the more suspects are "
        "images that are only hard, and the surer is the beginning of the list. Look before you change a label."
    )


def _by_class(found: LabelErrors) -> TextTable:
    predictions = found.seen.predictions
    labels = predictions.labels[found.suspects]
    columns = (Column("label"), Column("images", is_number=True), Column("suspected", is_number=True), Column("mostly"))
    rows = []
    for number, name in enumerate(predictions.classes):
        own = found.suspects[labels == number]
        instead = np.bincount(predictions.predicted[own], minlength=len(predictions.classes))
        mostly = predictions.classes[int(instead.argmax())] if len(own) else "-"
        rows.append((name, f"{(predictions.labels == number).sum():,}", f"{len(own):,}", mostly))
    return TextTable("", columns, tuple(rows), note="mostly: the class that is predicted most often instead.")


def _opened(names: Sequence[str], store: Store) -> list[TrainedRun]:
    """Return the finished runs that are meant, each once."""
    found: dict[str, TrainedRun] = {}
    for name in names:
        try:
            ids = [run.run_id for run in find_runs(name, store).runs if run.finished]
        except TrackingError as no_study:
            try:
                ids = [store.find_run(name).run_id]
            except TrackingError as no_run:
                raise TrackingError(f"{no_study}; and as a run: {no_run}") from no_run
        for run_id in ids:
            if run_id not in found:
                found[run_id] = open_trained_run(run_id, store)
    return list(found.values())


def _usable(runs: Sequence[TrainedRun], names: Sequence[str]) -> tuple[list[TrainedRun], list[str]]:
    """Return the runs that held some of their training images out, and notes on the others."""
    held_out = [run for run in runs if run.config.validates and run.config.data.split not in ("test", "folder")]
    if not held_out:
        raise TrackingError(
            f"{' '.join(names)}: no finished run of it validated on images that it held out of its training images; "
            f"train some: cifar-train {_FOLDS}"
        )
    notes = []
    if len(held_out) < len(runs):
        notes.append(
            f"{len(runs) - len(held_out)} of {len(runs)} runs are left out: they held no training image out "
            "(data.split=test or folder, or data.val_fraction=0)"
        )
    if any(run.config.trainer.init_from for run in held_out):
        notes.append(
            "Some runs started from the weights of another (trainer.init_from), which may have been trained on the "
            "images that they held out: their judgement is then no independent one"
        )
    return held_out, notes


def _validation_predictions(run: TrainedRun) -> Predictions:
    path = run.artifact(VALIDATION_FILE)
    if path is not None:
        return load_predictions(path)
    made, held_out = run.predict(run.validation), run.splits.val.numpy()
    return Predictions(held_out, made.labels, made.probabilities, made.classes)


def _true_labels(run: TrainedRun) -> npt.NDArray[np.int64] | None:
    source = run.config.data.source
    if source.get("_target_") != "cifar_sweeps.data.load_synthetic":
        return None
    return synthetic.true_labels(**{key: value for key, value in source.items() if key not in ("_target_", "cache")})
