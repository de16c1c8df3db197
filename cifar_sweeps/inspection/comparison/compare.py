"""Compare two sides: what differs, their figures, their classes, their images, and the question that they answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cifar_sweeps.analysis.comparison.class_figures import FIGURES, class_figures
from cifar_sweeps.analysis.comparison.disagreements import Disagreements, disagreements
from cifar_sweeps.analysis.predictions import Predictions
from cifar_sweeps.data.dataset import Progress
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.inspection.comparison.answers import Answer, answer, by_seed
from cifar_sweeps.inspection.comparison.config_differences import ConfigDifferences, config_differences
from cifar_sweeps.inspection.comparison.side_predictions import PairPredictions, check_same_classes, load_pair
from cifar_sweeps.inspection.comparison.sides import (
    HOW,
    Side,
    check_different,
    common_arms,
    find_sides,
    with_different_names,
)
from cifar_sweeps.studies.histories import History, is_by_epoch, read_histories
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.validity.never_learned import never_learned
from cifar_sweeps.studies.validity.settings_difference import BySeed, compare_settings
from cifar_sweeps.tracking.store import Store, default_store

MEASURED = (
    *("test/accuracy", "val/accuracy", "best/val_accuracy", "train/accuracy", "gap/accuracy"),
    *("test/loss", "val/loss", "train/loss", "seconds_an_epoch", "model/parameters", "model/multiply_adds"),
)
"""Metrics of both sides that are shown beside each other."""
_NOT_TESTED = ("seconds_an_epoch", "model/parameters", "model/multiply_adds")
"""Seconds depend on what else the machine did; the others are the same in every run."""


@dataclass(frozen=True)
class FigureRow:
    """One figure of both sides: means over the runs. difference: of A minus B; None where a side has none.

    metric: its name in MLflow. name: of a class, for figures of classes; else empty.
    """

    metric: str
    first: Estimate | None
    second: Estimate | None
    difference: Estimate | None
    p: float | None
    name: str = ""


@dataclass(frozen=True)
class Comparison:
    """All that is said of two sides. histories: by run id."""

    first: Side
    second: Side
    differences: ConfigDifferences
    answer: Answer
    figures: tuple[FigureRow, ...]
    classes: tuple[FigureRow, ...]
    images_by_class: dict[str, int]
    images: Disagreements | None
    predictions: PairPredictions
    histories: dict[str, History]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Both names."""
        return f"{self.first.name} against {self.second.name}"


def compare(
    first: str, second: str, store: Store | None = None, within: str | None = None, progress: Progress | None = None
) -> list[Comparison]:
    """Compare two runs, arms or sweeps; of two sweeps with several arms, those that both have, one after another.

    within: a sweep or study that both are in. progress: told what is loaded. Raises TrackingError if one is not to be
    found, has not finished, or is the other, and DataError if they tell other classes.
    """
    store = store or default_store()
    ones, others = find_sides(first, store, within), find_sides(second, store, within)
    if len(ones) == 1 and len(others) == 1:
        return [_compare_pair(*with_different_names(*check_different(ones[0], others[0])), store, progress)]
    for typed, sides, counterpart in ((first, ones, others), (second, others, ones)):
        if len(sides) > 1 and len(counterpart) == 1:
            names = ", ".join(f"'{side.typed}'" for side in sides)
            raise TrackingError(f"{typed}: has {len(sides)} arms; name one of them: {names}")
    pairs = common_arms(ones, others)
    if not pairs:
        listed = [", ".join(side.name for side in sides) for sides in (ones, others)]
        raise TrackingError(
            f"{first} ({listed[0]}) and {second} ({listed[1]}): have no arm of the same name; name two arms: {HOW}"
        )
    return [_compare_pair(*check_different(one, other), store, progress) for one, other in pairs]


def remarks(comparisons: Sequence[Comparison]) -> tuple[list[str], list[str]]:
    """Return the warnings and the notes of several arms: those that not all of them have begin with the arm's name."""
    kinds = [[found.warnings for found in comparisons], [found.notes for found in comparisons]]
    texts: list[list[str]] = []
    for by_arm in kinds:
        shared = set(by_arm[0]).intersection(*by_arm[1:])
        texts.append(
            list(
                dict.fromkeys(
                    line if line in shared else f"{found.first.name}: {line}"
                    for found, lines in zip(comparisons, by_arm, strict=True)
                    for line in lines
                )
            )
        )
    return texts[0], texts[1]


def _compare_pair(first: Side, second: Side, store: Store, progress: Progress | None) -> Comparison:
    check_same_classes(first, second)
    found = load_pair(first, second, store, progress)
    differences = config_differences(first.runs, second.runs)
    runs = [*first.runs, *second.runs]
    metrics = dict.fromkeys(metric for run in runs for metric in run.metrics if is_by_epoch(metric))
    return Comparison(
        first,
        second,
        differences,
        answer(first, second, found.combined, found.why_not_paired),
        tuple(_row(metric, "", by_seed(first, metric), by_seed(second, metric)) for metric in MEASURED),
        tuple(_class_rows(first, second, found)),
        _images_by_class(found),
        None if found.combined is None else disagreements(*found.combined),
        found,
        read_histories(store.client(), [run.run_id for run in runs], metrics),
        (*differences.warnings, *_warnings(first, second)),
        tuple(_notes(first, second, differences, found)),
    )


def _row(metric: str, name: str, ones: BySeed, others: BySeed) -> FigureRow:
    first, second = (estimate(value for _, value in side) for side in (ones, others))
    found = compare_settings(ones, others)
    if found is None:
        return FigureRow(metric, first, second, None, None, name)
    return FigureRow(metric, first, second, found.effect, None if metric in _NOT_TESTED else found.p, name)


def _class_rows(first: Side, second: Side, found: PairPredictions) -> Iterator[FigureRow]:
    """Yield precision, recall and F1 of each class, from the predictions, else from the recorded metrics."""
    ones, others = _by_class(first, found.first), _by_class(second, found.second)
    names = found.first[0].classes if found.first else dict.fromkeys(name for _, name in ones)
    for name in names:
        for figure in FIGURES:
            if (figure, name) in ones and (figure, name) in others:
                yield _row(f"test/{figure}", name, ones[figure, name], others[figure, name])


def _by_class(side: Side, predictions: Sequence[Predictions]) -> dict[tuple[str, str], list[tuple[int | None, float]]]:
    values: dict[tuple[str, str], list[tuple[int | None, float]]] = {}
    if predictions:
        for run, found in zip(side.runs, predictions, strict=True):
            figures = class_figures(found.labels, found.predicted, len(found.classes))
            for figure in FIGURES:
                for name, value in zip(found.classes, figures[figure], strict=True):
                    values.setdefault((figure, name), []).append((run.seed, float(value)))
        return values
    for run in side.runs:
        for metric, value in run.metrics.items():
            _, _, rest = metric.partition("test/")
            figure, slash, name = rest.partition("/")
            if figure in FIGURES and slash:
                values.setdefault((figure, name), []).append((run.seed, value))
    return values


def _images_by_class(found: PairPredictions) -> dict[str, int]:
    known = [*found.first[:1], *found.second[:1]]
    if not known or (len(known) == 2 and found.combined is None):
        return {}
    counts = class_figures(known[0].labels, known[0].predicted, len(known[0].classes)).images
    return {name: int(count) for name, count in zip(known[0].classes, counts, strict=True)}


def _warnings(first: Side, second: Side) -> Iterator[str]:
    on_test = [
        letter
        for letter, side in (("A", first), ("B", second))
        if any(run.tag("validated_on") == "test" for run in side.runs)
    ]
    if on_test:
        yield (
            f"VALIDATED ON THE TEST SET: {' and '.join(on_test)} (data.split=test): validation accuracy is the test's, "
            "and what was chosen by it is too optimistic on these images."
        )
    for letter, side in (("A", first), ("B", second)):
        guessing = [run for run in side.runs if never_learned(run)]
        if guessing:
            seeds = ", ".join(str(run.seed) for run in guessing)
            yield (
                f"NEVER LEARNED: {len(guessing)} of {len(side.runs)} runs of {letter} (seed {seeds}) have the training "
                "accuracy of guessing; what is compared is with them."
            )


def _notes(first: Side, second: Side, differences: ConfigDifferences, found: PairPredictions) -> Iterator[str]:
    for letter, side in (("A", first), ("B", second)):
        yield from (f"{letter}: {note}." for note in side.notes)
    yield from found.notes
    if found.combined is None:
        yield f"Images are not compared one by one: {found.why_not_paired}."
    if differences.unused:
        keys = ", ".join(differences.unused)
        yield f"{keys} differ without effect: the model takes nothing of them."
