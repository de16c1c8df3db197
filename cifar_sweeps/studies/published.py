"""Compare the metrics that documents published with the measured ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cifar_sweeps.studies.histories import TIMES, History, metric_at, metric_at_end
from cifar_sweeps.studies.intervals import Estimate, estimate
from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.studies.validity.comparability import Departure
from cifar_sweeps.studies.validity.significance import prediction_half_width


@dataclass(frozen=True)
class Published:
    """A published metric. ``epoch``: None for the last; ``last_epoch``: of a published curve, its last.

    extreme: "min" or "max" of the epochs from ``first_epoch`` to ``epoch``.
    """

    metric: str
    value: float
    where: str
    epoch: int | None = None
    last_epoch: int | None = None
    first_epoch: int = 1
    extreme: str | None = None


@dataclass(frozen=True)
class Comparison:
    """A published metric and the measured one of the same arm at the same epoch."""

    arm: str
    published: Published
    measured: Estimate | None
    is_on_test: bool
    """Whether the run's validation data were the test set, as in the document."""
    budget: str = "full"
    """How much of the full training the runs were: see `cifar_sweeps.config.budget.describe_budget`."""
    departures: tuple[str, ...] = ()
    """In what the runs were trained otherwise than the arm; the published metric is then of another training."""

    @property
    def is_of_machine(self) -> bool:
        """Whether it is a time, which says as much of the document's machine and of this one as of the training."""
        return self.published.metric in TIMES

    @property
    def difference(self) -> float | None:
        """Measured minus published; None for a time."""
        return None if self.measured is None or self.is_of_machine else self.measured.mean - self.published.value

    @property
    def is_noise(self) -> bool | None:
        """Whether the difference is within what one more run would differ by chance; None if that is not known."""
        noise = None if self.measured is None else prediction_half_width(self.measured)
        return None if noise is None or self.difference is None else abs(self.difference) <= noise


def published_values(entries: object, epochs: int | None = None) -> list[Published]:
    """Return the published metrics in a run's config; of a curve only its last point within ``epochs`` epochs."""
    return [point for metric, entry in _entries(entries) for point in _points(metric, entry, epochs)]


def published_curves(entries: object) -> dict[str, dict[int, float]]:
    """Return the published curves in a run's config by metric, then by epoch."""
    curves: dict[str, dict[int, float]] = {}
    for metric, entry in _entries(entries):
        if isinstance(values := entry.get("values"), Sequence):
            first = _first_epoch(entry)
            curves.setdefault(metric, {}).update({first + i: float(value) for i, value in enumerate(values)})
    return curves


def published_matrices(entries: object) -> dict[str, list[list[int | None]]]:
    """Return the published confusion matrices by metric: counts, a row a true class, None where none is shown."""
    return {
        metric: [[None if count is None else int(count) for count in row] for row in matrix]
        for metric, entry in _entries(entries)
        if isinstance(matrix := entry.get("matrix"), Sequence)
    }


def compare_with_published(
    runs: Sequence[StudyRun],
    histories: Mapping[str, History],
    configs: Mapping[str, Mapping[str, object]],
    departures: Mapping[str, Sequence[Departure]] | None = None,
) -> list[Comparison]:
    """Return every published metric of the arms with the mean of the arm's runs.

    configs: one per arm. departures: in what each arm's runs were trained otherwise than its file says. Left out are
    runs that ended before the metric's epoch, and arms trained on synthetic images.
    """
    comparisons: list[Comparison] = []
    for arm in dict.fromkeys(run.arm for run in runs):
        arm_runs = [run for run in runs if run.arm == arm]
        config = configs.get(arm, {})
        if any(_is_synthetic(run) for run in arm_runs):
            continue
        otherwise = [each.text for each in (departures or {}).get(arm, ())]
        if not otherwise and not _in_published_parts(config):  # an arm of no file
            otherwise = ["parts of the data otherwise than published"]
        epochs = max((max(histories.get(run.run_id, {}).get("train/loss", {0: 0.0})) for run in arm_runs), default=0)
        budget = " and ".join(sorted({run.tag("budget") or "full" for run in arm_runs}))
        on_test = any(run.tag("validated_on") == "test" for run in arm_runs)
        for published in published_values(config.get("published"), epochs):
            measured = estimate(_measured(run, histories.get(run.run_id, {}), published) for run in arm_runs)
            is_on_test = on_test and published.metric.startswith("val/")
            comparisons.append(Comparison(arm, published, measured, is_on_test, budget, tuple(otherwise)))
    return comparisons


def _is_synthetic(run: StudyRun) -> bool:
    # Any other data set may be CIFAR-10, whatever its folder is called.
    return run.tag("data") == "synthetic"


def _in_published_parts(config: Mapping[str, object]) -> bool:
    trainer = config.get("trainer")
    parts = trainer.get("parts") if isinstance(trainer, Mapping) else None
    return parts is None or parts == config.get("published_parts", parts)


def _measured(run: StudyRun, history: History, published: Published) -> float | None:
    if published.extreme is not None:
        last = published.epoch or max(history.get("train/loss", {0: 0.0}))
        values = [
            value
            for epoch in range(published.first_epoch, last + 1)
            if (value := metric_at(history, published.metric, epoch)) is not None
        ]
        return (min if published.extreme == "min" else max)(values, default=None)
    if published.epoch is None:
        return metric_at_end(run.metrics, published.metric)
    return metric_at(history, published.metric, published.epoch)


def _entries(entries: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        for entry in entries:
            if isinstance(entry, Mapping) and "metric" in entry:
                yield str(entry["metric"]), entry


def _points(metric: str, entry: Mapping[str, object], epochs: int | None) -> Iterator[Published]:
    where = str(entry.get("where", ""))
    values, value, at = entry.get("values"), entry.get("value"), entry.get("epoch")
    first, by_class = _first_epoch(entry), entry.get("by_class")
    if isinstance(values, Sequence) and values and not isinstance(values, str):
        last = first + len(values) - 1
        epoch = min(last, epochs or last)
        if epoch >= first:
            yield Published(metric, float(values[epoch - first]), where, epoch, last)
    elif isinstance(by_class, Mapping):
        for name, figure in by_class.items():
            yield Published(f"{metric}/{name}", float(figure), where)
    elif isinstance(value, (int, float)):
        epoch_of_value = int(str(at)) if at is not None else None
        extreme = entry.get("extreme")
        yield Published(
            metric, float(value), where, epoch_of_value, None, first, None if extreme is None else str(extreme)
        )


def _first_epoch(entry: Mapping[str, object]) -> int:
    return int(str(entry.get("first_epoch") or 1))
