"""Build the report's tables as text, for HTML, Markdown and the terminal."""

from collections.abc import Mapping, Sequence

from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.studies.columns import MISSING, quantity
from cifar_sweeps.studies.intervals import Estimate
from cifar_sweeps.studies.published import Comparison, Published
from cifar_sweeps.studies.ranking import ArmMetrics
from cifar_sweeps.studies.study import StudyRun

ON_TEST = " (validated on the test set)"


def published_tables(comparisons: Sequence[Comparison]) -> list[TextTable]:
    """Return published and measured metrics; apart, those of runs that were trained otherwise than their arm."""
    apart = [comparison for comparison in comparisons if comparison.departures]
    tables = [_published_table([comparison for comparison in comparisons if not comparison.departures])]
    return [*tables, _otherwise_table(apart)] if apart else tables


def _otherwise_table(comparisons: Sequence[Comparison]) -> TextTable:
    columns = (
        Column("arm"),
        Column("trained otherwise"),
        Column("metric"),
        Column("measured", is_number=True),
        Column("seeds", is_number=True),
        Column("published, of another training", is_number=True),
    )
    rows = tuple(
        (
            comparison.arm,
            "; ".join(comparison.departures),
            _metric(comparison),
            _measured(comparison),
            str(comparison.measured.n if comparison.measured else 0),
            _published(comparison),
        )
        for comparison in comparisons
    )
    note = "These runs were not trained as their arm's file says, so that their document's figures say nothing of them."
    return TextTable("Not the same training as published", columns, rows, "", note)


def _published_table(comparisons: Sequence[Comparison]) -> TextTable:
    budgets = sorted({comparison.budget for comparison in comparisons})
    has_budgets = len(budgets) > 1
    columns = (
        Column("arm"),
        *((Column("budget"),) if has_budgets else ()),
        Column("metric"),
        Column("published", is_number=True),
        Column("measured", is_number=True),
        Column("seeds", is_number=True),
        Column("difference", is_number=True),
        Column("by chance", is_extra=True),
        Column("where", is_extra=True),
    )
    rows = tuple(
        (
            comparison.arm,
            *((comparison.budget,) if has_budgets else ()),
            _metric(comparison),
            _published(comparison),
            _measured(comparison),
            str(comparison.measured.n if comparison.measured else 0),
            MISSING if comparison.difference is None else f"{comparison.difference:+.4f}",
            MISSING if comparison.is_noise is None else "possible" if comparison.is_noise else "no",
            comparison.published.where,
        )
        for comparison in comparisons
    )
    note = (
        "Measured: mean over seeds ± half of the 95% t interval, at the epoch named. Difference: measured − published; "
        "by chance: whether a single further run of ours would differ as much (95% prediction interval)."
    )
    if any(comparison.is_of_machine for comparison in comparisons):
        note += " Seconds are of two machines, the document's and this one, and are not subtracted."
    if budgets not in ([], ["full"]) and not has_budgets:
        note += f" Not the full training: budget {budgets[0]}."
    return TextTable(
        "Published and measured",
        columns,
        rows,
        "Nothing to compare: the document printed no metric of these arms, or they were trained otherwise.",
        note,
    )


def ranking_table(arms: Sequence[ArmMetrics], most: int | None = None) -> TextTable:
    """Return the arms by final validation accuracy. most: how many are listed, which the note says; None: all."""
    total = len(arms)
    arms = arms[:most]
    has_sampling = any(arm.test_sampling is not None for arm in arms)
    columns = (
        Column("arm"),
        Column("seeds", is_number=True),
        Column("val", is_number=True),
        Column("best val", is_number=True, is_extra=True),
        Column("test", is_number=True),
        *((Column("± drawn", is_number=True, is_extra=True),) if has_sampling else ()),
        Column("train", is_number=True, is_extra=True),
        Column("gap", is_number=True),
        Column("s/epoch", is_number=True),
        Column("parameters", is_number=True, is_extra=True),
        Column("multiply-adds", is_number=True, is_extra=True),
    )
    all_on_test = all(arm.is_on_test for arm in arms)
    rows = tuple(
        (
            _arm_name(arm) + (ON_TEST if arm.is_on_test and not all_on_test else ""),
            str(arm.seeds),
            _estimate(arm.val),
            _mean(arm.best),
            _mean(arm.test),
            *((MISSING if arm.test_sampling is None else f"{arm.test_sampling:.4f}",) if has_sampling else ()),
            _mean(arm.train),
            _mean(arm.gap, sign=True),
            MISSING if arm.seconds_an_epoch is None else f"{arm.seconds_an_epoch:.2f}",
            format_count(arm.parameters),
            format_count(arm.multiply_adds),
        )
        for arm in arms
    )
    note = (
        "val: accuracy on validation data at the last epoch, mean over seeds ± half of the 95% t interval; "
        "best val: the highest of all epochs; gap: training minus validation accuracy. Training accuracy is the "
        "running mean of the last epoch, with dropout and augmentation. s/epoch: the median of each run's epochs, mean "
        "over seeds; jobs that train at once share the machine, so that it compares arms only roughly."
    )
    if has_sampling:
        note += (
            " ± drawn: half of the 95% interval of the test accuracy that is due to which images the test set has; "
            "all arms are tested on the same ones."
        )
    if len(arms) < total:
        note += f" The best {len(arms)} of {total}: the CSV file has all."
    if arms and all_on_test:
        note += " Every arm was validated on the test set."
    return TextTable("Arms by final validation accuracy", columns, rows, "No run has finished.", note)


def _arm_name(arm: ArmMetrics) -> str:
    if arm.is_part:
        return f"{arm.arm}, without the runs that never learned"
    return f"{arm.arm}, {arm.guessing} of {arm.seeds} never learned" if arm.guessing else arm.arm


def failures_table(runs: Sequence[StudyRun]) -> TextTable:
    """Return the runs that ended without finishing, and why."""
    columns = (Column("run"), Column("seed", is_number=True), Column("state"), Column("epoch"), Column("reason"))
    rows = tuple(
        (
            run.arm,
            _seed(run),
            run.state,
            run.tag("failed_epoch") or MISSING,
            run.tag("failure") or "no reason recorded",
        )
        for run in runs
        if not run.finished and not run.is_running and not run.is_paused
    )
    return TextTable("Runs that did not finish", columns, rows)


def paused_table(runs: Sequence[StudyRun]) -> TextTable:
    """Return the runs that early stopping has paused: where they stand, the furthest first."""
    columns = (Column("run"), Column("seed", is_number=True), Column("state"), Column("val", is_number=True))
    paused = [run for run in runs if run.is_paused]
    key = "val/accuracy"
    paused.sort(key=lambda run: (-int(run.tag("early_stopped") or 0), -run.metrics.get(key, 0.0)))
    rows = tuple((run.arm, _seed(run), run.state_text, quantity("val").text(run.metrics.get(key))) for run in paused)
    note = "Validation accuracy at that epoch. None of these is compared with the arms that were trained to their end."
    return TextTable("Runs paused by early stopping", columns, rows, note=note)


def running_table(runs: Sequence[StudyRun], histories: Mapping[str, Mapping[str, Mapping[int, float]]]) -> TextTable:
    """Return the runs that still train: how far they are, and their last validation accuracy.

    histories: values by epoch, by run and metric.
    """
    columns = (Column("run"), Column("seed", is_number=True), Column("epoch"), Column("val", is_number=True))
    rows = []
    for run in runs:
        if run.is_running:
            epochs = histories.get(run.run_id, {}).get("train/loss", {})
            total = run.params.get("trainer.epochs", "")
            done = f"{max(epochs, default=0)} of {int(total) * run.parts}" if total.isdigit() else MISSING
            validated = run.metrics.get("val/accuracy")
            rows.append((run.arm, _seed(run), done, MISSING if validated is None else f"{validated:.4f}"))
    return TextTable("Still training", columns, tuple(rows))


def _seed(run: StudyRun) -> str:
    return MISSING if run.seed is None else str(run.seed)


def format_count(value: float | None) -> str:
    """Format a large number: 1,668,906, or 38.5 M from ten million on."""
    if value is None:
        return MISSING
    return f"{value / 1e6:,.1f} M" if value >= 1e7 else f"{value:,.0f}"


def _published(comparison: Comparison) -> str:
    value = comparison.published.value
    return f"{value:g}" if comparison.is_of_machine else f"{value:.4f}"


def _measured(comparison: Comparison) -> str:
    measured = comparison.measured
    return MISSING if measured is None else measured.text(1 if comparison.is_of_machine else 4)


def _metric(comparison: Comparison) -> str:
    return comparison.published.metric + _epoch(comparison.published) + (ON_TEST if comparison.is_on_test else "")


def _epoch(published: Published) -> str:
    if published.extreme is not None:
        which = "lowest" if published.extreme == "min" else "highest"
        return f", the {which} of epochs {published.first_epoch} to {published.epoch or 'the end'}"
    if published.epoch is None:
        return ""
    return f" at epoch {published.epoch}" + (f" of {published.last_epoch}" if published.last_epoch else "")


def _estimate(value: Estimate | None) -> str:
    return MISSING if value is None else value.text()


def _mean(value: Estimate | None, sign: bool = False) -> str:
    return MISSING if value is None else f"{value.mean:{'+' if sign else ''}.4f}"
