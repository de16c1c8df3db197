"""Which of two questions a comparison answers, and the answer: do these two nets differ, or these two settings?"""

import math
import statistics
from dataclasses import dataclass, field
from typing import Literal

from cifar_sweeps.analysis.comparison.disagreements import SidePredictions, images_half_width
from cifar_sweeps.analysis.comparison.mcnemar import PairedCounts, count_pairs
from cifar_sweeps.inspection.comparison.sides import Side
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.studies.validity.settings_difference import SettingsDifference, compare_settings
from cifar_sweeps.studies.validity.significance import prediction_half_width, sampling_error

LEVEL = 0.05
TEST = "test/accuracy"
Combined = tuple[SidePredictions, SidePredictions] | None
_SEEDS = "train both with several seeds (cifar-train -m … seed=0,1,2), then: cifar-sweeps compare SWEEP:ARM SWEEP:ARM"


@dataclass(frozen=True)
class Answer:
    """The question that a comparison answers, its verdict in one sentence, and what else is to be known of it.

    kind: ``nets``, ``settings``, or ``neither``. differs: None if nothing can be said. figures: the numbers, for JSON.
    """

    kind: Literal["nets", "settings", "neither"]
    question: str
    verdict: str
    details: tuple[str, ...]
    differs: bool | None
    figures: dict[str, object] = field(default_factory=dict)


def answer(first: Side, second: Side, combined: Combined, why_not_paired: str) -> Answer:
    """Return the answer that these runs can give. combined: predictions for the same test images, if there are."""
    if len(first.runs) == 1 and len(second.runs) == 1:
        return _of_nets(first, second, combined, why_not_paired)
    if len(first.runs) > 1 and len(second.runs) > 1:
        return _of_settings(first, second, combined)
    return _of_neither(first, second)


def _of_nets(first: Side, second: Side, combined: Combined, why_not_paired: str) -> Answer:
    alone = [side.typed for side in (first, second) if not side.is_run]
    only_one = f"{' and '.join(alone)}: one seed alone, which says nothing of the setting. " if alone else ""
    aside = f"{only_one}This says nothing about the settings: another seed makes other nets. For that, {_SEEDS}"
    if combined is None:
        return _of_unpaired_nets(first.runs[0], second.runs[0], why_not_paired, aside)
    counts = count_pairs(combined[0].mostly_right, combined[1].mostly_right)
    low, high = counts.interval
    differs = counts.p_exact < LEVEL
    better = "A" if counts.difference > 0 else "B"
    verdict = f"Yes: {better} is right more often" if differs else "Not shown: these images do not tell them apart"
    return Answer(
        "nets",
        f"Do these two nets differ? One run each, on the same {counts.images:,} test images (McNemar's exact test).",
        f"{verdict}: only A is right on {counts.only_first:,} images, only B on {counts.only_second:,}, "
        f"{p_text(counts.p_exact)}.",
        (
            f"Test accuracy of A minus B: {points(counts.difference)} points, 95% interval {points(low)} to "
            f"{points(high)} (Tango's score interval of a paired difference).",
            f"p is exact and two-sided, and never too small; the mid-p, {p_text(counts.p_mid)}, decides nothing here.",
            aside,
        ),
        differs,
        {"test": "McNemar, exact", **_counts(counts), "p": counts.p_exact, "mid_p": counts.p_mid}
        | {"difference": counts.difference, "low": low, "high": high, "interval": "Tango 1998, paired score"},
    )


def _counts(counts: PairedCounts) -> dict[str, object]:
    return {
        "images": counts.images,
        "both_right": counts.both,
        "only_a_right": counts.only_first,
        "only_b_right": counts.only_second,
        "neither_right": counts.neither,
    }


def _of_unpaired_nets(first: StudyRun, second: StudyRun, why: str, aside: str) -> Answer:
    question = "Do these two nets differ? One run each, but not image by image, as " + why + "."
    accuracies, images = [run.metrics.get(TEST) for run in (first, second)], [_images(run) for run in (first, second)]
    if any(accuracy is None for accuracy in accuracies) or not all(images):
        return Answer("nets", question, "Not known: no test accuracies are recorded.", (aside,), None)
    known = [(accuracy or 0.0, count or 1) for accuracy, count in zip(accuracies, images, strict=True)]
    half = math.hypot(*(sampling_error(accuracy, count) for accuracy, count in known))
    difference = known[0][0] - known[1][0]
    differs = abs(difference) > half
    verdict = "Yes" if differs else "Not shown"
    return Answer(
        "nets",
        question,
        f"{verdict}: test accuracy of A minus B is {points(difference)} ± {100 * half:.2f} points (95%, as of two "
        "independent sets of test images).",
        ("Of the same images, a paired test would see smaller differences.", aside),
        differs,
        {"test": "two independent proportions", "difference": difference, "low": difference - half}
        | {"high": difference + half},
    )


def _of_settings(first: Side, second: Side, combined: Combined) -> Answer:
    found = compare_settings(by_seed(first, TEST), by_seed(second, TEST))
    question = "Do these two settings differ? The seed is the unit"
    if found is None:
        return Answer("settings", f"{question}.", "Not known: no test accuracies are recorded.", (), None)
    effect, half = found.effect, found.effect.half_width
    better = "A" if effect.mean > 0 else "B"
    verdict = f"Yes: {better} is better" if found.is_decided else "Not shown: these seeds do not tell them apart"
    spread = "no interval" if half is None else f"± {100 * half:.2f} points (95% t interval)"
    figures: dict[str, object] = {"test": f"t, {found.method}", "difference": effect.mean, "half_width": half}
    figures |= {"p": found.p, "seeds": list(found.seeds), "runs": [len(first.runs), len(second.runs)]}
    details = [*_method(found)]
    if combined is not None and half is not None:
        images = images_half_width(*combined)
        if images is not None:
            details.append(_of_other_images(found, half, images, len(combined[0].labels)))
            figures["images_half_width"] = images
    details += _spreads(first, second)
    return Answer(
        "settings",
        f"{question}: {len(first.runs)} runs of A, {len(second.runs)} of B{_how(found)}.",
        f"{verdict}: test accuracy of A minus B is {points(effect.mean)} {spread}"
        f"{'' if found.p is None else f', {p_text(found.p)}'}.",
        tuple(details),
        found.is_decided if half is not None else None,
        figures,
    )


def _how(found: SettingsDifference) -> str:
    return {
        "paired": f", {found.effect.n} pairs of equal seeds",
        "welch": ", without common seeds to pair",
        "none": "",
    }[found.method]


def _method(found: SettingsDifference) -> list[str]:
    if found.method == "welch":
        return ["No two seeds are common to both: two independent samples (Welch's t interval)."]
    left_out = f"; {found.left_out} runs have no partner and are left out" if found.left_out else ""
    return [f"Paired by seed ({', '.join(map(str, found.seeds))}){left_out}."] if found.method == "paired" else []


def _of_other_images(found: SettingsDifference, half: float, images: float, count: int) -> str:
    """Return the sentence on test images as a part of the variance."""
    both = math.hypot(half, images)
    stands = abs(found.effect.mean) > both
    if found.is_decided:
        ending = "it stands on other images of this kind, too" if stands else "on other images it need not stand"
    else:
        ending = "it is not decided on others either"
    return (
        f"That is of these {count:,} test images. Which were drawn adds ± {100 * images:.2f} points; with both it is "
        f"{points(found.effect.mean)} ± {100 * both:.2f}: {ending}."
    )


def _spreads(first: Side, second: Side) -> list[str]:
    """Return the sentence on the spread between seeds beside that of drawing the test images."""
    texts = []
    for letter, side in (("A", first), ("B", second)):
        values, images = [value for _, value in by_seed(side, TEST)], _images(side.runs[0])
        if len(values) > 1 and images:
            drawn = sampling_error(statistics.fmean(values), images) / 1.96
            texts.append(f"{letter} {100 * statistics.stdev(values):.2f} (drawing the images alone: {100 * drawn:.2f})")
    if not texts:
        return []
    return [
        f"Standard deviation of single runs, in points: {', '.join(texts)}. Much of what single runs differ by on a "
        "test set is the sampling of its images, and is no difference on new ones (K. Jordan, arXiv 2304.01910)."
    ]


def _of_neither(first: Side, second: Side) -> Answer:
    letter, single, other, arm = ("A", first, "B", second) if len(first.runs) == 1 else ("B", second, "A", first)
    what = "a run" if single.is_run else "an arm of one seed"
    question = (
        f"Neither question is answered cleanly: {letter} is {what}, one net, and {other} a setting with "
        f"{len(arm.runs)} runs. Is the run one as a further seed of {other} would give?"
    )
    value, measured = single.runs[0].metrics.get(TEST), estimate(value for _, value in by_seed(arm, TEST))
    half = None if measured is None else prediction_half_width(measured)
    if value is None or measured is None or half is None:
        return Answer("neither", question, "Not known: test accuracies are missing.", (), None)
    differs = abs(value - measured.mean) > half
    verdict = "No: it lies outside" if differs else "It may be: it lies within"
    return Answer(
        "neither",
        question,
        f"{verdict} what 95% of single runs of {other} give, {measured.mean:.4f} ± {half:.4f} test accuracy; "
        f"{letter} has {value:.4f}.",
        (
            f"Two nets: compare {single.typed} with a run of {other}, such as {arm.runs[0].run_id[:8]}. "
            f"Two settings: {_SEEDS}",
        ),
        differs,
        {"test": "prediction interval of a single run", "difference": _signed(letter, value - measured.mean)}
        | {"half_width": half, "of_run": value, "of_arm": measured.mean},
    )


def _signed(letter: str, single_minus_arm: float) -> float:
    return single_minus_arm if letter == "A" else -single_minus_arm


def by_seed(side: Side, metric: str) -> list[tuple[int | None, float]]:
    """Return a metric's last values of a side's runs, with their seeds; runs without it are left out."""
    return [(run.seed, value) for run in side.runs if (value := run.metrics.get(metric)) is not None]


def mean_of(side: Side, metric: str) -> Estimate | None:
    """Return a metric's mean over a side's runs with its interval."""
    return estimate(value for _, value in by_seed(side, metric))


def points(difference: float) -> str:
    """Return a difference of fractions as percentage points with its sign."""
    return f"{100 * difference:+.2f}"


def p_text(p: float) -> str:
    """Return ``p = 0.032``, to two digits."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def _images(run: StudyRun) -> int | None:
    text = run.tag("test_images") or ""
    return int(text) if text.isdigit() else None
