"""Compare a repeated run with the recorded one: metrics by epoch, and the environment."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

COMPARED = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")

# Tags that may explain a difference, and their names in messages.
_ENVIRONMENT_TAGS = {
    "own_code": "your own modules",
    "weight_files": "files that the model is made of",
    "numbers": "version of the numbers that the code computes",
    "initial_weights": "initial weights",
    "threads": "threads",
    "precision": "precision",
    "device": "device",
    "gpu": "GPU",
    "cpu": "processor",
    "cpu_features": "CPU features",
    "version.torch": "torch",
    "version.torchvision": "torchvision",
    "version.numpy": "numpy",
    "python": "Python",
    "platform": "platform",
    "version": "cifar_sweeps",
    "git_commit": "commit",
    "git_clean": "a clean checkout",
}

_COMMIT_LENGTH = 8

MetricsByEpoch = Mapping[tuple[str, int], float]
"""(metric, epoch) to value."""


@dataclass(frozen=True)
class Tolerance:
    """Allowed difference of an epoch's metrics: absolute for accuracies, relative to the recorded loss for losses."""

    accuracy: float = 0.03
    loss: float = 0.1

    def holds(self, metric: str, recorded: float, repeated: float) -> bool:
        """Return whether two values of one metric are within tolerance. NaN never is."""
        allowed = self.accuracy if metric.endswith("accuracy") else self.loss * abs(recorded)
        return abs(repeated - recorded) <= allowed


@dataclass(frozen=True)
class Verdict:
    """Text of the last line, and whether the run was reproduced (exit status 0)."""

    text: str
    holds: bool


def compare_runs(
    recorded: MetricsByEpoch,
    repeated: MetricsByEpoch,
    tags: Mapping[str, str],
    new_tags: Mapping[str, str],
    tolerance: Tolerance,
) -> Verdict:
    """Compare a repeated run with the recorded metrics; epochs that are not recorded are not compared.

    tags, new_tags: the recorded and the repeated run's, by short names.
    """
    last = max(epoch for _, epoch in recorded)  # a stopped run has fewer than its repetition
    keys = sorted({*recorded, *(key for key in repeated if key[1] <= last)}, key=lambda key: (key[1], key[0]))
    differing = [key for key in keys if recorded.get(key) != repeated.get(key)]
    if not differing:
        has_more = any(epoch > last for _, epoch in repeated)
        return Verdict(f"bit-identical in the {last} recorded epochs" if has_more else "bit-identical", True)
    causes = "; ".join(environment_differences(tags, new_tags)) or "nothing in the recorded environment"
    far = [
        key
        for key in differing
        if not tolerance.holds(key[0], recorded.get(key, math.nan), repeated.get(key, math.nan))
    ]
    if far:
        metric, epoch = far[0]
        was, now = recorded.get(far[0], math.nan), repeated.get(far[0], math.nan)
        return Verdict(
            f"different from epoch {epoch}: {metric} {was:.6g} then, {now:.6g} now; differs: {causes}", False
        )
    shown = [key for key in differing if key[0].endswith("accuracy")] or differing
    widest = max(shown, key=lambda key: abs(recorded[key] - repeated[key]))
    by = abs(recorded[widest] - repeated[widest])
    text = f"within tolerance: metrics differ from epoch {differing[0][1]}, {widest[0]} by at most {by:.4f}"
    return Verdict(f"{text}; differs: {causes}", True)


def environment_differences(tags: Mapping[str, str], new_tags: Mapping[str, str]) -> Iterator[str]:
    """Yield the differences between two runs' environments, such as ``torch 2.6.0 then, 2.14.1 now``."""
    for key, label in _ENVIRONMENT_TAGS.items():
        was, now = tags.get(key), new_tags.get(key)
        if was is not None and now is not None and was != now:
            short = _COMMIT_LENGTH if key == "git_commit" else None
            yield f"{label} {was[:short]} then, {now[:short]} now"
