"""The report's tables as words, once for HTML, Markdown and the terminal alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from cifar_sweeps.studies.claims import ClaimResult
from cifar_sweeps.studies.intervals import Estimate
from cifar_sweeps.studies.published import Comparison, Published
from cifar_sweeps.studies.ranking import ArmMetrics
from cifar_sweeps.studies.study import StudyRun

ON_TEST = " (validated on the test set)"
NONE = "–"


@dataclass(frozen=True)
class Column:
    """A column's title; numbers stand to the right. ``is_extra``: a narrow terminal leaves it out."""

    title: str
    is_number: bool = False
    is_extra: bool = False


@dataclass(frozen=True)
class TextTable:
    """A table of words. ``empty`` is said in its place when it has no rows, ``note`` below it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = ""
    note: str = ""


def claims_table(outcomes: Sequence[ClaimResult]) -> TextTable:
    """Return the claims with their effects and verdicts."""
    settings = any(outcome.setting for outcome in outcomes)
    columns = (
        Column("claim"),
        *((Column("setting"),) if settings else ()),
        Column("verdict"),
        Column("effect", is_number=True),
        Column("pairs", is_number=True),
        Column("tested"),
        Column("where", is_extra=True),
    )
    rows = tuple(_claim_row(outcome, settings) for outcome in outcomes)
    note = (
        "Effect: the first arm's figure less the other's (or less the stated number), mean over seeds ± half of the "
        "95% t interval. A claim agrees or is contradicted only if the whole interval says so. gap/loss is validation "
        "less training loss, gap/accuracy training less validation accuracy."
    )
    return TextTable("Claims", columns, rows, "This study's files make no claims.", note)


def published_table(comparisons: Sequence[Comparison]) -> TextTable:
    """Return printed figures beside measured ones."""
    named = sorted({comparison.budget for comparison in comparisons})
    budgets = len(named) > 1
    columns = (
        Column("arm"),
        *((Column("budget"),) if budgets else ()),
        Column("metric"),
        Column("published", is_number=True),
        Column("measured", is_number=True),
        Column("seeds", is_number=True),
        Column("difference", is_number=True),
        Column("where", is_extra=True),
    )
    rows = tuple(
        (
            comparison.arm,
            *((comparison.budget,) if budgets else ()),
            _metric(comparison),
            f"{comparison.published.value:.4f}",
            _estimate(comparison.measured),
            str(comparison.measured.n if comparison.measured else 0),
            NONE if comparison.difference is None else f"{comparison.difference:+.4f}",
            comparison.published.where,
        )
        for comparison in comparisons
    )
    note = (
        "Measured: mean over seeds ± half of the 95% t interval, at the epoch named. Difference: measured − published."
    )
    if named not in ([], ["full"]) and not budgets:
        note += f" Not the full training: budget {named[0]}."
    return TextTable(
        "Published and measured",
        columns,
        rows,
        "Nothing to compare: the document printed no figure of these arms, or they were trained on other images.",
        note,
    )


def ranking_table(arms: Sequence[ArmMetrics]) -> TextTable:
    """Return the arms by final validation accuracy."""
    columns = (
        Column("arm"),
        Column("seeds", is_number=True),
        Column("val", is_number=True),
        Column("best", is_number=True, is_extra=True),
        Column("test", is_number=True),
        Column("train", is_number=True, is_extra=True),
        Column("gap", is_number=True),
        Column("s/epoch", is_number=True),
        Column("parameters", is_number=True, is_extra=True),
        Column("multiply-adds", is_number=True, is_extra=True),
    )
    every_on_test = all(arm.is_on_test for arm in arms)
    rows = tuple(
        (
            arm.arm + (ON_TEST if arm.is_on_test and not every_on_test else ""),
            str(arm.seeds),
            _estimate(arm.val),
            _mean(arm.best),
            _mean(arm.test),
            _mean(arm.train),
            _mean(arm.gap, sign=True),
            NONE if arm.seconds_an_epoch is None else f"{arm.seconds_an_epoch:.2f}",
            count(arm.parameters),
            count(arm.multiply_adds),
        )
        for arm in arms
    )
    note = (
        "val: accuracy on validation data at the last epoch, mean over seeds ± half of the 95% t interval; best: the "
        "highest on the way; gap: training less validation accuracy. Training accuracy is the running mean of the last "
        "epoch, dropout on."
    )
    if arms and every_on_test:
        note += " Every arm was validated on the test set."
    return TextTable("Arms by final validation accuracy", columns, rows, "No run has finished.", note)


def failures_table(runs: Sequence[StudyRun]) -> TextTable:
    """Return the runs that did not finish, and why."""
    columns = (Column("run"), Column("seed", is_number=True), Column("state"), Column("epoch"), Column("reason"))
    rows = tuple(
        (
            run.arm,
            NONE if run.seed is None else str(run.seed),
            run.state,
            run.tag("failed_epoch") or NONE,
            run.tag("failure") or "no reason is on record",
        )
        for run in runs
        if not run.finished
    )
    return TextTable("Runs that did not finish", columns, rows, "All runs finished.")


def count(value: float | None) -> str:
    """Return a large number as it is read: 1,668,906, or 38.5 M from ten million."""
    if value is None:
        return NONE
    return f"{value / 1e6:,.1f} M" if value >= 1e7 else f"{value:,.0f}"


def _claim_row(outcome: ClaimResult, settings: bool) -> tuple[str, ...]:
    claim, effect = outcome.claim, outcome.effect
    expects = {
        "same": f"same ±{claim.margin:g}",
        "not_higher": f"not higher by {claim.margin:g}",
        "not_lower": f"not lower by {claim.margin:g}",
    }
    against = f" than {claim.than:g}" if claim.against is None and claim.than is not None else ""
    epochs = [f"epoch {epoch}" if epoch else "the end" for epoch in (claim.at, claim.against_at)]
    when = "" if claim.at is None and claim.against_at is None else f", {' against '.join(epochs)}"
    return (
        claim.says,
        *((outcome.setting or NONE,) if settings else ()),
        outcome.verdict,
        NONE if effect is None else effect.text(sign=True),
        str(effect.n if effect else 0),
        f"{claim.metric} {expects.get(claim.expects, claim.expects)}{against}{when}",
        claim.where,
    )


def _metric(comparison: Comparison) -> str:
    return comparison.published.metric + _epoch(comparison.published) + (ON_TEST if comparison.is_on_test else "")


def _epoch(published: Published) -> str:
    if published.epoch is None:
        return ""
    return f" at epoch {published.epoch}" + (f" of {published.of}" if published.of else "")


def _estimate(value: Estimate | None) -> str:
    return NONE if value is None else value.text()


def _mean(value: Estimate | None, sign: bool = False) -> str:
    return NONE if value is None else f"{value.mean:{'+' if sign else ''}.4f}"
