"""Find the runs whose nets never learned: their figures are those of guessing, and no average should hide them."""

import math
from collections.abc import Sequence

from cifar_sweeps.studies.study import StudyRun

_ERRORS = 3
"""Standard errors of chance within which a training accuracy is one of guessing."""
_LOSS_MARGIN = 0.002
"""Nats within which a training loss is ln C, that of equal probabilities for all classes."""

_MAX_NAMED = 6
"""Arms that a warning names; the tables mark all of them."""


def never_learned(run: StudyRun) -> bool:
    """Return whether a finished run's last training accuracy or loss is that of guessing among its C classes.

    The accuracy within three standard errors of 1/C over the training images, or the loss at ln C. A run that does not
    say how many classes or images it had is taken to have learned.
    """
    classes, images = _count(run, "classes"), _count(run, "train_images")
    if not run.finished or classes is None or classes < 2:
        return False
    accuracy, loss = run.metrics.get("train/accuracy"), run.metrics.get("train/loss")
    chance = 1 / classes
    if accuracy is not None and images:
        error = math.sqrt(chance * (1 - chance) / images)
        if accuracy <= chance + _ERRORS * error:
            return True
    return loss is not None and abs(loss - math.log(classes)) <= _LOSS_MARGIN


def arms_with_guessing_runs(runs: Sequence[StudyRun]) -> dict[str, list[StudyRun]]:
    """Return the runs that never learned by their arms."""
    found: dict[str, list[StudyRun]] = {}
    for run in runs:
        if never_learned(run):
            found.setdefault(run.arm, []).append(run)
    return found


def warning(runs: Sequence[StudyRun]) -> str:
    """Return one line that counts and names the runs that never learned; empty if all did."""
    arms = arms_with_guessing_runs(runs)
    if not arms:
        return ""
    named = "; ".join(
        f"{arm} ({len(found)} of {sum(run.arm == arm and run.finished for run in runs)}: seed "
        f"{', '.join(str(run.seed) for run in found)})"
        for arm, found in [*arms.items()][:_MAX_NAMED]
    )
    if len(arms) > _MAX_NAMED:
        named += f"; and {len(arms) - _MAX_NAMED} more arms"
    number = sum(map(len, arms.values()))
    return (
        f"NEVER LEARNED: {number} run{'' if number == 1 else 's'} with the training accuracy of guessing: {named}. "
        "The tables and claims give the figures with them and without them."
    )


def _count(run: StudyRun, key: str) -> int | None:
    earlier = run.params.get("model.num_classes") if key == "classes" else None  # of runs without the tag
    text = run.tag(key) or earlier or ""
    return int(text) if text.isdigit() else None
