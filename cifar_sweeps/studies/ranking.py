"""The arms of a study beside each other: means over their seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun


@dataclass(frozen=True)
class ArmMetrics:
    """One arm. Every figure is of its runs' last epochs but ``best``, the highest validation accuracy on the way."""

    arm: str
    seeds: int
    is_on_test: bool
    """Whether what it calls validation was the test set."""
    val: Estimate | None
    best: Estimate | None
    test: Estimate | None
    train: Estimate | None
    gap: Estimate | None
    seconds_an_epoch: float | None
    parameters: float | None
    multiply_adds: float | None


def rank_arms(runs: Sequence[StudyRun]) -> list[ArmMetrics]:
    """Return the arms by their mean final validation accuracy, the best first; those without validation by test."""
    arms = [_figures(arm, [run for run in runs if run.arm == arm]) for arm in dict.fromkeys(run.arm for run in runs)]
    return sorted(arms, key=_rank)


def _rank(arm: ArmMetrics) -> tuple[bool, float]:
    figure = arm.val or arm.test
    return arm.val is None, -(figure.mean if figure is not None else -1.0)


def _figures(arm: str, runs: Sequence[StudyRun]) -> ArmMetrics:
    def mean(metric: str) -> Estimate | None:
        return estimate(run.metrics.get(metric) for run in runs)

    def plain_mean(metric: str) -> float | None:
        found = mean(metric)
        return None if found is None else found.mean

    return ArmMetrics(
        arm=arm,
        seeds=len(runs),
        is_on_test=any(run.tag("validated_on") == "test" for run in runs),
        val=mean("val/accuracy"),
        best=mean("best/val_accuracy"),
        test=mean("test/accuracy"),
        train=mean("train/accuracy"),
        gap=mean("gap/accuracy"),
        seconds_an_epoch=plain_mean("seconds_an_epoch"),
        parameters=plain_mean("model/parameters"),
        multiply_adds=plain_mean("model/multiply_adds"),
    )
