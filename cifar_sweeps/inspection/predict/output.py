"""Predictions of pictures as a table for the terminal, as CSV and as JSON."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table
from rich.text import Text

from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.inspection.predict.prediction import PredictedPictures
from cifar_sweeps.inspection.predict.reading import name_unreadable

_MOST_NAMED = 20
"""Classes that are named in a line; more are counted."""
_MOST_CONFUSED = 10
"""Pairs of classes in the table of what was taken for what."""

_LONG_FOLDER = 12
"""Letters of a folder from which on it is named once, above the table."""

Row = npt.NDArray[np.float32]


def predictions_table(found: PredictedPictures, top: int, each: bool = False) -> Table:
    """Return a row for each picture: its likely classes, its label and what was changed where there is any.

    top: how many classes. each: with what each run says, below the mean.
    """
    folder = _common_folder(found)
    title = Text(f"Pictures in {show(folder)}") if folder else None
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shows_label, shows_changes = bool(found.labelled.any()), any(found.changes)
    table.add_column("picture", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("prob.", justify="right", no_wrap=True)
    if top > 1:
        table.add_column("then", overflow="fold")
    if shows_label:
        table.add_column("label", overflow="fold")
    if shows_changes:
        table.add_column("changed", overflow="fold")
    for index, file in enumerate(found.files):
        rows = [(show(os.path.relpath(file.path, folder)) if folder else file.shown, found.probabilities[index])]
        if each:
            rows += [(f"  {run_id[:8]}", found.by_run[run, index]) for run, run_id in enumerate(found.run_ids)]
        for number, (name, probabilities) in enumerate(rows):
            likely = _likely(found, probabilities, top)
            cells = [Text(name, style="dim" if number else ""), Text(likely[0][0]), Text(_rounded(likely[0][1]))]
            if top > 1:
                cells.append(Text(", ".join(f"{other} {_rounded(value)}" for other, value in likely[1:])))
            if shows_label:
                cells.append(Text("" if number else _label_cell(found, index)))
            if shows_changes:
                cells.append(Text("" if number else found.changes[index]))
            table.add_row(*cells)
    return table


def _common_folder(found: PredictedPictures) -> str:
    """Return the folder that all pictures are in, if their paths are long for it; else an empty text."""
    parents = [os.path.dirname(file.path) for file in found.files]  # noqa: PTH120 (as typed)
    mixed = len({os.path.isabs(parent) for parent in parents}) > 1  # noqa: PTH117
    common = "" if mixed else os.path.commonpath(parents)
    return common if len(common) >= _LONG_FOLDER else ""


def confusions_table(found: PredictedPictures) -> Table | None:
    """Return which classes were most often taken for which; None if all labelled pictures are right."""
    wrong = found.confusion.copy()
    np.fill_diagonal(wrong, 0)
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: -wrong[pair[0], pair[1]])
    if not pairs:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("label")
    table.add_column("predicted as")
    table.add_column("pictures", justify="right")
    for label, predicted in pairs[:_MOST_CONFUSED]:
        table.add_row(Text(found.classes[label]), Text(found.classes[predicted]), f"{wrong[label, predicted]:,}")
    rest = int(sum(wrong[label, predicted] for label, predicted in pairs[_MOST_CONFUSED:]))
    if rest:
        table.add_row("others", "", f"{rest:,}")
    return table


def accuracy_line(found: PredictedPictures) -> str:
    """Return how many labelled pictures are right; empty if none is labelled."""
    if found.accuracy is None:
        return ""
    right = int(found.confusion.trace())
    return f"Accuracy {found.accuracy:.4f}: {right:,} of {found.labelled.sum():,} as their folders say."


def notes(found: PredictedPictures) -> list[str]:
    """Return the lines for the user: the runs, what the net can say at all, what was changed or left out."""
    number = len(found.runs)
    lines = []
    if number > 1:
        lines.append(f"Probabilities are the mean of {number} runs: {', '.join(_run_names(found))}.")
    named = ", ".join(found.classes[:_MOST_NAMED])
    more = len(found.classes) - _MOST_NAMED
    lines.append(
        f"A net knows the {len(found.classes)} classes that it was trained on, and gives one of them to any picture, "
        f"however sure it looks: {named}{f' and {more:,} more' if more > 0 else ''}."
    )
    return [*lines, *found.notes, *name_unreadable(found.left_out)]


def as_csv(found: PredictedPictures, top: int, each: bool = False) -> str:
    """Return a row for each picture, and for each run if ``each``; probabilities have all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    number = _number(found, top)
    likely = [f"{what}_{rank}" for rank in range(1, number + 1) for what in ("class", "probability")]
    writer.writerow(["file", "run", *likely, "label", "width", "height", "changed"])
    for index, file in enumerate(found.files):
        label = found.classes[found.labels[index]] if found.labelled[index] else ""
        rest = [label, *found.pictures[index].size, found.changes[index]]
        for run, probabilities in _by_run(found, index, each):
            cells = [cell for name, value in _likely(found, probabilities, top) for cell in (name, _exact(value))]
            writer.writerow([file.shown, run, *cells, *rest])
    return text.getvalue()


def as_json(found: PredictedPictures, top: int, each: bool = False) -> str:
    """Return one object: the runs, the classes, the pictures, what could not be read, accuracy and confusion."""

    def ranked(probabilities: Row) -> list[dict[str, object]]:
        return [{"class": name, "probability": _exact(value)} for name, value in _likely(found, probabilities, top)]

    pictures: list[dict[str, object]] = []
    for index, file in enumerate(found.files):
        picture: dict[str, object] = {"file": file.shown, "top": ranked(found.probabilities[index])}
        if found.labelled[index]:
            picture["label"] = found.classes[found.labels[index]]
        picture |= {"size": list(found.pictures[index].size), "changes": list(found.pictures[index].changes)}
        if each:
            picture["each"] = [
                {"run": run_id, "top": ranked(found.by_run[run, index])} for run, run_id in enumerate(found.run_ids)
            ]
        pictures.append(picture)
    whole: dict[str, object] = {
        "runs": [{"run_id": i, "name": name} for i, name in zip(found.run_ids, found.runs, strict=True)],
        "classes": list(found.classes),
        "pictures": pictures,
        "left_out": [{"file": file, "reason": reason} for file, reason in found.left_out],
        "notes": list(found.notes),
    }
    if found.accuracy is not None:
        whole |= {"accuracy": found.accuracy, "confusion": found.confusion.tolist()}
    return json.dumps(whole, indent=1, ensure_ascii=False)


def _by_run(found: PredictedPictures, index: int, each: bool) -> Iterator[tuple[str, Row]]:
    yield (found.run_ids[0] if len(found.runs) == 1 else f"mean of {len(found.runs)}"), found.probabilities[index]
    if each:
        yield from ((run_id, found.by_run[run, index]) for run, run_id in enumerate(found.run_ids))


def _likely(found: PredictedPictures, probabilities: Row, top: int) -> list[tuple[str, float]]:
    """Return the ``top`` most probable classes, the first of equals first, with their probabilities."""
    order: Sequence[int] = np.argsort(-probabilities, kind="stable")[: _number(found, top)].tolist()
    return [(found.classes[one], float(probabilities[one])) for one in order]


def _number(found: PredictedPictures, top: int) -> int:
    return min(top, len(found.classes))


def _run_names(found: PredictedPictures) -> list[str]:
    return [f"{name} ({i[:8]})" for name, i in zip(found.runs, found.run_ids, strict=True)]


def _label_cell(found: PredictedPictures, index: int) -> str:
    if not found.labelled[index]:
        return "-"
    right = found.labels[index] == found.predicted[index]
    return f"{found.classes[found.labels[index]]} {'✓' if right else '✗'}"


def _rounded(probability: float) -> str:
    """Return two digits, cut rather than rounded: what is not certain is not shown as 1.00."""
    return f"{int(probability * 100) / 100:.2f}" if probability < 1 else "1.00"


def _exact(probability: float) -> float:
    return float(f"{probability:.7g}")
