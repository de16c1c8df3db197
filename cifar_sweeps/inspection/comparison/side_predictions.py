"""Test predictions of both sides' runs, and whether they are of the same test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from cifar_sweeps.analysis.comparison.disagreements import SidePredictions, combine
from cifar_sweeps.analysis.predictions import FILE, Predictions, load_predictions
from cifar_sweeps.data.dataset import Progress
from cifar_sweeps.errors import CifarSweepsError, DataError, in_one_line
from cifar_sweeps.inspection.comparison.sides import Side
from cifar_sweeps.runs.trained_run import TrainedRun, find_artifact, open_trained_run, own_folder
from cifar_sweeps.studies.histories import PER_CLASS
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.tracking.store import Store

_MAX_SHOWN = 8


@dataclass(frozen=True)
class ShownRuns:
    """A run of each side whose networks and images the pictures are of; opened when they are first asked for."""

    records: tuple[RecordedRun, RecordedRun]
    store: Store
    progress: Progress | None = None

    @cached_property
    def runs(self) -> tuple[TrainedRun, TrainedRun]:
        """The two runs. Raises TrackingError or ConfigError if one cannot be opened."""
        first, second = (open_trained_run(record, self.store, self.progress) for record in self.records)
        return first, second


@dataclass(frozen=True)
class PairPredictions:
    """Predictions by run of both sides; empty where a side's cannot be had.

    combined: of each side together, if both are of the same test images, else None. shown: a run of each side, of the
    same seed if there is one. notes: what was made anew, left out or not possible. why_not_paired: empty if they are.
    """

    first: tuple[Predictions, ...]
    second: tuple[Predictions, ...]
    combined: tuple[SidePredictions, SidePredictions] | None
    shown: ShownRuns
    notes: tuple[str, ...]
    why_not_paired: str = ""


def check_same_classes(first: Side, second: Side) -> None:
    """Raise DataError if the two were trained to tell other classes, as far as the store says."""
    counts = [side.runs[0].tag("classes") for side in (first, second)]
    names = [_class_names(side.runs[0]) for side in (first, second)]
    if all(counts) and counts[0] != counts[1]:
        raise DataError(f"{first.name} tells {counts[0]} classes, {second.name} {counts[1]}: compare runs of the same")
    if all(names) and set(names[0]) != set(names[1]):
        raise _other_classes(first, second, names[0], names[1])


def load_pair(first: Side, second: Side, store: Store, progress: Progress | None = None) -> PairPredictions:
    """Return the test predictions of both sides. Raises DataError if their classes are others."""
    notes: list[str] = []
    ones, others = (_load_side(side, letter, store, progress, notes) for side, letter in ((first, "A"), (second, "B")))
    if ones and others and set(ones[0].classes) != set(others[0].classes):
        raise _other_classes(first, second, ones[0].classes, others[0].classes)
    shown = ShownRuns(_same_seed(first, second), store, progress)
    why = _why_not_paired(first, second, ones, others, shown, notes)
    combined = None
    if not why:
        try:
            combined = combine(ones), combine(others)
        except DataError as error:
            why = str(error)
    return PairPredictions(tuple(ones), tuple(others), combined, shown, tuple(notes), why)


def _load_side(side: Side, letter: str, store: Store, progress: Progress | None, notes: list[str]) -> list[Predictions]:
    """Return the predictions of a side's runs; none if those of one run cannot be had."""
    predictions, made = [], []
    try:
        for run in side.runs:
            record = _recorded(run)
            path = find_artifact(record, store, FILE, own_folder(record, store))
            if path is None:
                opened = open_trained_run(record, store, progress)
                predictions.append(opened.predict(opened.images.test))
                made.append(run.run_id[:8])
            else:
                predictions.append(load_predictions(path))
    except CifarSweepsError as error:
        first_line = str(error).splitlines()[0]
        notes.append(f"{letter}: test predictions of all of its runs are not to be had: {first_line}")
        return []
    if made:
        notes.append(f"{letter}: {', '.join(made)} recorded no test predictions: made now from the checkpoint.")
    return predictions


def _recorded(run: StudyRun) -> RecordedRun:
    return RecordedRun(run.run_id, run.name, run.state.upper(), run.metrics, run.tags)


def _same_seed(first: Side, second: Side) -> tuple[RecordedRun, RecordedRun]:
    by_seed = {run.seed: run for run in second.runs}
    for run in first.runs:
        if run.seed is not None and run.seed in by_seed:
            return _recorded(run), _recorded(by_seed[run.seed])
    return _recorded(first.runs[0]), _recorded(second.runs[0])


def _why_not_paired(
    first: Side,
    second: Side,
    ones: Sequence[Predictions],
    others: Sequence[Predictions],
    shown: ShownRuns,
    notes: list[str],
) -> str:
    """Return why images cannot be compared one by one; empty if they can."""
    if not ones or not others:
        return "test predictions are missing"
    prints = [{run.tag("data_fingerprint") for run in side.runs} for side in (first, second)]
    if prints[0] == prints[1] and len(prints[0]) == 1 and None not in prints[0]:
        return ""
    if not np.array_equal(ones[0].labels, others[0].labels) or ones[0].classes != others[0].classes:
        return "they were tested on other images"
    try:
        tests = [each.images.test for each in shown.runs]
    except (CifarSweepsError, OSError) as error:
        return f"their data sets are others, and whether the test images are cannot be seen: {in_one_line(error)}"
    if tests[0].images.shape == tests[1].images.shape and torch.equal(tests[0].images, tests[1].images):
        notes.append("Their data sets are others, but the test images are the same, pixel by pixel.")
        return ""
    return "they were tested on other images"


def _class_names(run: StudyRun) -> tuple[str, ...]:
    prefix = PER_CLASS[1]
    return tuple(sorted(key.removeprefix(prefix) for key in run.metrics if key.startswith(prefix)))


def _other_classes(first: Side, second: Side, ones: Sequence[str], others: Sequence[str]) -> DataError:
    return DataError(
        f"{first.name} tells {_some(ones)}, {second.name} {_some(others)}: only runs of the same classes are compared"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_SHOWN]) + (f", … ({len(names)} classes)" if len(names) > _MAX_SHOWN else "")
