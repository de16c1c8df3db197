"""Whether a repeated run came out as the recorded one did, and what of its surroundings is another."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

COMPARED = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")

# Tags that may explain a difference, and what a reader calls them.
_SURROUNDINGS = {
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

_COMMIT_LETTERS = 8

MetricsByEpoch = Mapping[tuple[str, int], float]
"""(metric, epoch) to value."""


@dataclass(frozen=True)
class Tolerance:
    """How far each epoch's figures may be apart: accuracies by so much, losses by that part of the recorded loss."""

    accuracy: float = 0.03
    loss: float = 0.1

    def holds(self, metric: str, recorded: float, repeated: float) -> bool:
        """Say whether two values of one metric are near enough. NaN never is."""
        allowed = self.accuracy if metric.endswith("accuracy") else self.loss * abs(recorded)
        return abs(repeated - recorded) <= allowed


@dataclass(frozen=True)
class Verdict:
    """``words`` for the last line, and whether the repetition counts as one (exit status 0)."""

    text: str
    holds: bool


def compare_runs(
    recorded: MetricsByEpoch,
    repeated: MetricsByEpoch,
    tags: Mapping[str, str],
    new_tags: Mapping[str, str],
    tolerance: Tolerance,
) -> Verdict:
    """Compare a repetition with what is on record; epochs that the record lacks are not compared.

    tags, new_tags: what is known of both runs' surroundings, by short names.
    """
    last = max(epoch for _, epoch in recorded)  # a run that was stopped has fewer than its repetition
    keys = sorted({*recorded, *(key for key in repeated if key[1] <= last)}, key=lambda key: (key[1], key[0]))
    apart = [key for key in keys if recorded.get(key) != repeated.get(key)]
    if not apart:
        beyond = any(epoch > last for _, epoch in repeated)
        return Verdict(f"bit-identical in the {last} epochs that are on record" if beyond else "bit-identical", True)
    because = "; ".join(environment_differences(tags, new_tags)) or "nothing that was recorded of the surroundings"
    far = [
        key for key in apart if not tolerance.holds(key[0], recorded.get(key, math.nan), repeated.get(key, math.nan))
    ]
    if far:
        metric, epoch = far[0]
        was, now = recorded.get(far[0], math.nan), repeated.get(far[0], math.nan)
        return Verdict(
            f"different from epoch {epoch}: {metric} {was:.6g} then, {now:.6g} now; differs: {because}", False
        )
    shown = [key for key in apart if key[0].endswith("accuracy")] or apart
    widest = max(shown, key=lambda key: abs(recorded[key] - repeated[key]))
    by = abs(recorded[widest] - repeated[widest])
    words = f"within tolerance: figures differ from epoch {apart[0][1]}, {widest[0]} by at most {by:.4f}"
    return Verdict(f"{words}; differs: {because}", True)


def environment_differences(tags: Mapping[str, str], new_tags: Mapping[str, str]) -> Iterator[str]:
    """Yield what differs between the surroundings of two runs, as ``torch 2.6.0 then, 2.14.1 now``."""
    for key, word in _SURROUNDINGS.items():
        was, now = tags.get(key), new_tags.get(key)
        if was is not None and now is not None and was != now:
            short = _COMMIT_LETTERS if key == "git_commit" else None
            yield f"{word} {was[:short]} then, {now[:short]} now"
