"""Tables of a comparison, for the terminal and the page, and the same as rows of a file."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cifar_sweeps.analysis.comparison.disagreements import SidePredictions
from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.inspection.comparison.answers import LEVEL, p_text
from cifar_sweeps.inspection.comparison.compare import Comparison, FigureRow
from cifar_sweeps.studies.columns import MISSING
from cifar_sweeps.studies.intervals import Estimate
from cifar_sweeps.studies.validity.significance import holm

_FORMATS = {
    "test/accuracy": ("test accuracy", ".4f"),
    "val/accuracy": ("validation accuracy", ".4f"),
    "best/val_accuracy": ("the same, at its best", ".4f"),
    "train/accuracy": ("training accuracy", ".4f"),
    "gap/accuracy": ("gap (train − val)", "+.4f"),
    "test/loss": ("test loss, nats", ".4f"),
    "val/loss": ("validation loss, nats", ".4f"),
    "train/loss": ("training loss, nats", ".4f"),
    "seconds_an_epoch": ("seconds an epoch", ".2f"),
    "model/parameters": ("parameters", ",.0f"),
    "model/multiply_adds": ("multiply-adds an image", ",.0f"),
}


def differences_table(comparison: Comparison) -> TextTable:
    """Return the values in which the two were trained otherwise."""
    rows = tuple(
        (each.name, each.first or MISSING, each.second or MISSING, each.unit, each.key if each.key != each.name else "")
        for each in comparison.differences.values
    )
    columns = (Column("value"), Column("A"), Column("B"), Column("unit"), Column("key", is_extra=True))
    note = f"{MISSING}: not an argument of this one."
    is_one_sided = any(MISSING in row[1:3] for row in rows)
    return TextTable("What differs", columns, rows, comparison.differences.text, note if is_one_sided else "")


def figures_table(comparison: Comparison) -> TextTable:
    """Return the figures of both, with their differences."""
    shown = [row for row in comparison.figures if row.first is not None or row.second is not None]
    has_p = any(row.p is not None for row in shown)
    columns = (
        Column("figure"),
        Column("A", is_number=True),
        Column("B", is_number=True),
        Column("A − B", is_number=True),
        *((Column("p (no difference)", is_number=True, is_extra=True),) if has_p else ()),
    )
    rows = tuple(
        (_FORMATS[row.metric][0], *_values(row, _FORMATS[row.metric][1]), *((_p(row.p),) if has_p else ()))
        for row in shown
    )
    return TextTable("Figures", columns, rows, "No figures are recorded.", _note(comparison))


def classes_table(comparison: Comparison) -> TextTable:
    """Return recall, precision and F1 of each class beside each other."""
    has_images = bool(comparison.images_by_class)
    by_class: dict[str, dict[str, FigureRow]] = {}
    for row in comparison.classes:
        by_class.setdefault(row.name, {})[row.metric.removeprefix("test/")] = row
    shown = [("recall", False), ("precision", True), ("f1", False)]
    columns = [Column("class"), *([Column("images", is_number=True, is_extra=True)] if has_images else [])]
    for figure, is_extra in shown:
        name = "F1" if figure == "f1" else figure
        for title in (f"{name} A", "B", "A − B"):
            columns.append(Column(title, is_number=True, is_extra=is_extra))
    rows = []
    for name, found in by_class.items():
        cells = [name, *([f"{comparison.images_by_class.get(name, 0):,}"] if has_images else [])]
        for figure, _ in shown:
            cells += _values(found[figure], ".3f", with_means=False)
        rows.append(tuple(cells))
    ordered = sorted(rows, key=lambda row: _recall_gap(by_class[row[0]]), reverse=True)
    spread = " ± half of the 95% t interval of the difference" if _is_of_settings(comparison) else ""
    note = (
        f"Fractions{spread}; the classes whose recall differs most come first. Among many classes one or two differ by "
        "chance."
    )
    return TextTable("By class", tuple(columns), tuple(ordered), "No figures of classes are recorded.", note)


def images_table(comparison: Comparison) -> TextTable:
    """Return how many images both, one or none has right."""
    found = comparison.images
    if found is None:
        return TextTable("Images", (), (), f"Not compared one by one: {comparison.predictions.why_not_paired}.")
    number = [len(found.first_only), len(found.second_only)]
    counts = [
        ("both are right", found.both),
        ("only A is right", number[0]),
        ("only B is right", number[1]),
        ("both are wrong", found.neither),
    ]
    if found.undecided:
        counts.append(("undecided: half of a side's runs are right", found.undecided))
    total = max(1, sum(count for _, count in counts))
    rows = tuple((name, f"{count:,}", f"{100 * count / total:.1f}%") for name, count in counts)
    columns = (Column(""), Column("number", is_number=True), Column("of all", is_number=True))
    several = any(len(side.runs) > 1 for side in (comparison.first, comparison.second))
    note = "Right: in more than half of the side's runs." if several else ""
    return TextTable("Test images", columns, rows, "", note)


def examples_table(comparison: Comparison, count: int) -> TextTable:
    """Return the images on which both are sure and one is wrong: ``count`` that only A, and that only B has right."""
    rows: list[tuple[str, ...]] = []
    found, pair = comparison.images, comparison.predictions.combined
    if found is not None and pair is not None:
        for letter, positions in (("A", found.first_only), ("B", found.second_only)):
            for at in positions[:count].tolist():
                actual = pair[0].classes[int(pair[0].labels[at])]
                rows.append((actual, str(pair[0].index[at]), *(said(side, at) for side in pair), letter))
    columns = (Column("actual"), Column("image", is_number=True), Column("A says"), Column("B says"), Column("right"))
    note = "Image: its number among the test images. Those on which both are sure come first."
    if pair is not None and max(side.runs for side in pair) > 1:
        note += " Of several runs: how many are right, and the class of their mean probability."
    return TextTable("The surest of them", columns, tuple(rows), "There is none.", note)


def said(side: SidePredictions, at: int) -> str:
    """Return a side's prediction for an image: the class and its probability; of several runs, how many are right."""
    text = f"{side.classes[int(side.predicted[at])]} {side.confidence[at]:.2f}"
    return text if side.runs == 1 else f"{text} ({side.runs_right(at)}/{side.runs} right)"


def arms_table(comparisons: Sequence[Comparison]) -> TextTable:
    """Return the test accuracy of each arm in both sweeps, and whether they differ: each alone, and all together."""
    adjusted = together(comparisons)
    is_several = len(adjusted) > 1
    rows = []
    for i, found in enumerate(comparisons):
        accuracy = next(row for row in found.figures if row.metric == "test/accuracy")
        verdict = found.answer.verdict.partition(":")[0]
        stands = (
            MISSING if i not in adjusted else verdict if found.answer.differs and adjusted[i] <= LEVEL else "Not shown"
        )
        rows.append((found.first.name, *_values(accuracy, ".4f"), verdict, *((stands,) if is_several else ())))
    numbers = (Column(title, is_number=True) for title in ("A", "B", "A − B"))
    columns = (Column("arm"), *numbers, Column("do they differ?"), *((Column("together"),) if is_several else ()))
    others = len(comparisons) - len(adjusted)
    left_out = f" {others} more cannot be judged, and do not count." if others else ""
    note = (
        f" {len(adjusted)} arms are judged here.{left_out} Alone, of twenty arms that do not differ one seems to by "
        "chance; together: which differ when all are judged at once, none of them by chance with 95% confidence "
        "(Holm 1979)."
    )
    return TextTable("Arm by arm", columns, tuple(rows), note=f"Test accuracy.{note if is_several else ''}")


def together(comparisons: Sequence[Comparison]) -> dict[int, float]:
    """Return Holm's adjusted p of each comparison that has a p, by its number in the sequence."""
    p_values = {i: p for i, found in enumerate(comparisons) if isinstance(p := found.answer.figures.get("p"), float)}
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def as_frame(comparisons: list[Comparison]) -> pd.DataFrame:
    """Return one row a figure: a, b and a − b with half of their 95% intervals, and p; missing where there is none.

    Of several arms, what decides has its p adjusted for all of them, too.
    """
    adjusted = together(comparisons)
    rows = [
        {
            **({"arm": comparison.first.name} if len(comparisons) > 1 else {}),
            "figure": row.metric,
            "class": row.name or None,
            **_estimates(row),
            "p": row.p,
            **({"p_together": adjusted.get(i) if row.metric == "test/accuracy" else None} if len(adjusted) > 1 else {}),
        }
        for i, comparison in enumerate(comparisons)
        for row in (*comparison.figures, *comparison.classes)
        if row.first is not None or row.second is not None
    ]
    return pd.DataFrame(rows)


def as_objects(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return comparisons as plain values, as `as_json` does; of several arms, p is adjusted for all of them, too."""
    adjusted = together(comparisons)
    objects = [as_json(comparison) for comparison in comparisons]
    for i, p in adjusted.items() if len(adjusted) > 1 else ():
        objects[i]["numbers"] = {**objects[i]["numbers"], "p_together": p, "judged_together": len(adjusted)}
    return objects


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values: sides, what differs, the question and its answer, figures, images."""
    found, pair = comparison.images, comparison.predictions.combined
    return {
        **{
            key: {
                "name": side.name,
                "runs": [run.run_id for run in side.runs],
                "seeds": [run.seed for run in side.runs],
            }
            for key, side in (("a", comparison.first), ("b", comparison.second))
        },
        "question": comparison.answer.kind,
        "asked": comparison.answer.question,
        "verdict": comparison.answer.verdict,
        "differs": comparison.answer.differs,
        "numbers": comparison.answer.figures,
        "details": list(comparison.answer.details),
        "warnings": list(comparison.warnings),
        "notes": list(comparison.notes),
        "config": [
            {"key": each.key, "name": each.name, "a": each.first, "b": each.second, "unit": each.unit or None}
            for each in comparison.differences.values
        ],
        "figures": [
            {"figure": row.metric, "class": row.name or None, **_estimates(row), "p": row.p}
            for row in (*comparison.figures, *comparison.classes)
            if row.first is not None or row.second is not None
        ],
        "images": None
        if found is None
        else {
            "both": found.both,
            "neither": found.neither,
            "undecided": found.undecided,
            **{
                key: [] if pair is None else pair[0].index[positions].tolist()
                for key, positions in (("only_a", found.first_only), ("only_b", found.second_only))
            },
        },
    }


def _estimates(row: FigureRow) -> dict[str, float | None]:
    named = (("a", row.first), ("b", row.second), ("difference", row.difference))
    values: dict[str, float | None] = {}
    for key, value in named:
        values[key] = None if value is None else value.mean
        values[f"{key} ±"] = None if value is None else value.half_width
    return values


def _values(row: FigureRow, spec: str, with_means: bool = True) -> list[str]:
    """Return A, B and A − B as text. with_means: the former two with their intervals."""
    shown = [_text(value, spec, with_means) for value in (row.first, row.second)]
    return [*shown, _text(row.difference, f"+{spec.lstrip('+')}", True)]


def _text(value: Estimate | None, spec: str, with_interval: bool) -> str:
    if value is None:
        return MISSING
    text = f"{value.mean:{spec}}"
    if not with_interval or not value.half_width:  # none, or the same in every run
        return text
    return f"{text} ± {value.half_width:{spec.lstrip('+')}}"


def _note(comparison: Comparison) -> str:
    texts = ["Of the last epoch, unless it says otherwise."]
    if _is_of_settings(comparison):
        texts.append("± half of the 95% t interval over seeds.")
        texts.append("Only the test accuracy's decides; the others are one look more, each.")
    return " ".join(texts)


def _is_of_settings(comparison: Comparison) -> bool:
    return len(comparison.first.runs) > 1 and len(comparison.second.runs) > 1


def _p(p: float | None) -> str:
    return MISSING if p is None else p_text(p).removeprefix("p = ").removeprefix("p ")


def _recall_gap(found: dict[str, FigureRow]) -> float:
    difference = found["recall"].difference
    return 0.0 if difference is None else abs(difference.mean)
