"""What the documents printed, beside what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cifar_sweeps.studies.histories import History, metric_at, metric_at_end
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun


@dataclass(frozen=True)
class Published:
    """A printed figure. ``epoch`` is None for the end of the training; ``of`` is the last epoch that was printed."""

    metric: str
    value: float
    where: str
    epoch: int | None = None
    of: int | None = None


@dataclass(frozen=True)
class Comparison:
    """A printed figure and the measured one of the same arm at the same epoch."""

    arm: str
    published: Published
    measured: Estimate | None
    is_on_test: bool
    """Whether what the run calls validation was the test set, as in the document."""
    budget: str = "full"
    """How much of the full training the runs were, in words."""

    @property
    def difference(self) -> float | None:
        """Measured less published."""
        return None if self.measured is None else self.measured.mean - self.published.value


def published_values(plain: object, epochs: int | None = None) -> list[Published]:
    """Return the printed figures of a run's config; of a curve the last point that ``epochs`` epochs reach."""
    return [point for metric, entry in _entries(plain) for point in _points(metric, entry, epochs)]


def published_curves(plain: object) -> dict[str, list[float]]:
    """Return the printed curves of a run's config, by metric; the first value is that of epoch 1."""
    return {
        metric: [float(value) for value in values]
        for metric, entry in _entries(plain)
        if isinstance(values := entry.get("values"), Sequence)
    }


def compare(
    runs: Sequence[StudyRun], histories: Mapping[str, History], configs: Mapping[str, Mapping[str, object]]
) -> list[Comparison]:
    """Return every printed figure of the arms beside the mean of the arm's runs.

    configs: one an arm. A run that did not train as long as the figure's epoch has no part in it, nor an arm whose
    training images were divided otherwise than the document's, or that was trained on drawn images.
    """
    found: list[Comparison] = []
    for arm in dict.fromkeys(run.arm for run in runs):
        ours = [run for run in runs if run.arm == arm]
        config = configs.get(arm, {})
        if not _trained_as_published(config) or any(_is_drawn(run) for run in ours):
            continue
        epochs = max((max(histories.get(run.run_id, {}).get("train/loss", {0: 0.0})) for run in ours), default=0)
        budget = " and ".join(sorted({run.tag("budget") or "full" for run in ours}))
        on_test = any(run.tag("validated_on") == "test" for run in ours)
        for figure_printed in published_values(config.get("published"), epochs):
            measured = estimate(_measured(run, histories.get(run.run_id, {}), figure_printed) for run in ours)
            is_on_test = on_test and figure_printed.metric.startswith("val/")
            found.append(Comparison(arm, figure_printed, measured, is_on_test, budget))
    return found


def _is_drawn(run: StudyRun) -> bool:
    return (
        run.tag("data") == "synthetic"
    )  # every other data set may be CIFAR-10's images, whatever its folder is called


def _trained_as_published(config: Mapping[str, object]) -> bool:
    trainer = config.get("trainer")
    parts = trainer.get("parts") if isinstance(trainer, Mapping) else None
    return parts is None or parts == config.get("published_parts", parts)


def _measured(run: StudyRun, history: History, wanted: Published) -> float | None:
    if wanted.epoch is None:
        return metric_at_end(run.metrics, wanted.metric)
    return metric_at(history, wanted.metric, wanted.epoch)


def _entries(plain: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    if isinstance(plain, Sequence) and not isinstance(plain, str):
        for entry in plain:
            if isinstance(entry, Mapping) and "metric" in entry:
                yield str(entry["metric"]), entry


def _points(metric: str, entry: Mapping[str, object], epochs: int | None) -> Iterator[Published]:
    where = str(entry.get("where", ""))
    values, value, epoch = entry.get("values"), entry.get("value"), entry.get("epoch")
    if isinstance(values, Sequence) and values and not isinstance(values, str):
        reached = min(len(values), epochs or len(values))
        yield Published(metric, float(values[reached - 1]), where, reached, len(values))
    elif isinstance(value, (int, float)):
        yield Published(metric, float(value), where, int(str(epoch)) if epoch is not None else None)
