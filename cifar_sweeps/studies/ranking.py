"""Rank the arms of a study by final validation accuracy, with means over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.studies.validity.never_learned import never_learned
from cifar_sweeps.studies.validity.significance import sampling_error


@dataclass(frozen=True)
class ArmMetrics:
    """Metrics of one arm at its last epoch; ``best`` is the highest validation accuracy of any epoch."""

    arm: str
    seeds: int
    is_on_test: bool
    """Whether its validation data were the test set."""
    val: Estimate | None
    best: Estimate | None
    test: Estimate | None
    train: Estimate | None
    gap: Estimate | None
    seconds_an_epoch: float | None
    parameters: float | None
    multiply_adds: float | None
    guessing: int = 0
    """How many of its runs never learned."""
    test_sampling: float | None = None
    """Half of the 95% interval of its test accuracy that is due to which images the test set has."""
    is_part: bool = False
    """Whether it is an arm once more, without the runs that never learned."""


def rank_arms(runs: Sequence[StudyRun]) -> list[ArmMetrics]:
    """Return the arms by mean final validation accuracy, best first, then those without validation by test accuracy.

    An arm some of whose runs never learned is there twice, with them and without them.
    """
    arms = []
    for arm in dict.fromkeys(run.arm for run in runs):
        of_arm = [run for run in runs if run.arm == arm]
        learned = [run for run in of_arm if not never_learned(run)]
        guessing = len(of_arm) - len(learned)
        arms.append(replace(_arm_metrics(arm, of_arm), guessing=guessing))
        if guessing and learned:
            arms.append(replace(_arm_metrics(arm, learned), is_part=True))
    return sorted(arms, key=_sort_key)


def _sort_key(arm: ArmMetrics) -> tuple[bool, float]:
    accuracy = arm.val or arm.test
    return arm.val is None, -(accuracy.mean if accuracy is not None else -1.0)


def _arm_metrics(arm: str, runs: Sequence[StudyRun]) -> ArmMetrics:
    def interval(metric: str) -> Estimate | None:
        return estimate(run.metrics.get(metric) for run in runs)

    def mean(metric: str) -> float | None:
        value = interval(metric)
        return None if value is None else value.mean

    test, images = interval("test/accuracy"), {run.tag("test_images") or "" for run in runs}
    count = int(images.pop()) if len(images) == 1 and min(images).isdigit() else None
    return ArmMetrics(
        arm=arm,
        seeds=len(runs),
        is_on_test=any(run.tag("validated_on") == "test" for run in runs),
        val=interval("val/accuracy"),
        best=interval("best/val_accuracy"),
        test=test,
        test_sampling=None if test is None or count is None else sampling_error(test.mean, count),
        train=interval("train/accuracy"),
        gap=interval("gap/accuracy"),
        seconds_an_epoch=mean("seconds_an_epoch"),
        parameters=mean("model/parameters"),
        multiply_adds=mean("model/multiply_adds"),
    )
