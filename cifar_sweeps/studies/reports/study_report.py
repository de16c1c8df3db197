"""The report of a study: what was claimed, what was published, what was measured, and under which circumstances."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cifar_sweeps
from cifar_sweeps.studies.arm_configs import arm_configs
from cifar_sweeps.studies.claims import evaluate_claims, merge_claims
from cifar_sweeps.studies.histories import History, is_by_epoch, read_histories
from cifar_sweeps.studies.published import compare, published_curves
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.ranking import rank_arms
from cifar_sweeps.studies.reports import comparison_plots, curves, markdown, report_tables, summary_text
from cifar_sweeps.studies.reports.html_page import ReportFigure, render
from cifar_sweeps.studies.reports.report_tables import TextTable
from cifar_sweeps.studies.results import frame
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.system.files import file_name, write_text_atomic
from cifar_sweeps.tracking.store import Store, default_store

Configs = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """Where a report's three files are, and its warnings and two main tables for the terminal."""

    page: Path
    markdown: Path
    table: Path
    claims: TextTable
    ranking: TextTable
    warnings: tuple[str, ...]

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """Page, Markdown and CSV."""
        return self.page, self.markdown, self.table


def write_report(what: str, out: Path | None = None, store: Store | None = None, sweeps: Sequence[str] = ()) -> Report:
    """Write the report of a study's newest sweep, or of the named sweeps together.

    what: a study's name, or a sweep's id. out: the page; Markdown (.md) and one row a run (.csv) lie beside it.
    Default is ``reports/STUDY.html`` in the outputs folder. Raises TrackingError if there is no such study or sweep.
    """
    store = store or default_store()
    study = find_runs(what, store)
    chosen = list(sweeps) or _newest(study)
    if chosen:
        study = study.of_sweeps(chosen)
    page = _page(out) if out is not None else store.outputs / "reports" / f"{file_name(study.name)}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    client = store.client()
    counted = study.deduplicated()
    metrics = dict.fromkeys(metric for run in counted for metric in run.metrics if is_by_epoch(metric))
    histories = read_histories(client, [run.run_id for run in counted], metrics)
    values = _values(study, counted, histories, arm_configs(client, study.runs, store.outputs))
    claims, _, ranking = values["tables"]
    files = (page, page.with_suffix(".md"), page.with_suffix(".csv"))
    found = Report(*files, claims, ranking, tuple(values["warnings"]))
    write_text_atomic(found.page, render(values))
    write_text_atomic(found.markdown, markdown.document(values, page.name))
    write_text_atomic(found.table, frame(study).to_csv(index=False))
    return found


def attach_report(store: Store, parent_run_id: str, study: str, sweep_id: str, folder: Path) -> Report:
    """Write a sweep's report into ``folder``, and keep it with the sweep's parent run, under ``report/``."""
    written = write_report(study, folder / "report.html", store, [sweep_id])
    client = store.client()
    for path in written.paths:
        client.log_artifact(parent_run_id, str(path), "report")
    return written


def _values(study: Study, counted: list[StudyRun], histories: dict[str, History], configs: Configs) -> dict[str, Any]:
    """Return what page and Markdown show, by the names in the template."""
    arms = rank_arms(counted)
    claims = merge_claims(configs, counted)
    repeats = sum(run.finished for run in study.runs) - len(counted)
    warning = summary_text.warning_of_test_set(study.runs)
    drawn = [arm.arm for arm in arms if arm.val is not None]
    return {
        "title": f"Study: {study.name}",
        "warnings": [*summary_text.budget_warnings(study.runs), *([warning] if warning else [])],
        "summary": summary_text.summary(study, repeats),
        "tables": [
            report_tables.claims_table(evaluate_claims(claims, counted, histories)),
            report_tables.published_table(compare(counted, histories, configs)),
            report_tables.ranking_table(arms),
        ],
        "pictures": _pictures(drawn, counted, histories, configs),
        "arms_shown": min(len(drawn), curves.MOST_ARMS),
        "arms_left_out": max(0, len(drawn) - curves.MOST_ARMS),
        "failures": [report_tables.failures_table(study.runs)],
        "assumptions": summary_text.assumptions(configs),
        "environment": summary_text.environment(study.runs),
        "commands": summary_text.commands(study),
        "version": cifar_sweeps.__version__,
    }


def _pictures(
    names: Sequence[str], runs: Sequence[StudyRun], histories: dict[str, History], configs: Configs
) -> list[ReportFigure]:
    if not names:
        return []
    published = {arm: published_curves(config.get("published")) for arm, config in configs.items()}
    arms = curves.arms_of(names, runs, histories, published)
    by_seed = "Mean over seeds; the band reaches from the lowest to the highest seed."
    return [
        ReportFigure(
            "Validation accuracy by epoch",
            f"Validation accuracy of each arm as it trained. {by_seed}",
            curves.curves(arms, "val/accuracy", "validation accuracy (fraction)"),
        ),
        ReportFigure(
            "Validation loss by epoch",
            f"Cross-entropy on validation data, without any penalty. {by_seed}",
            curves.curves(arms, "val/loss", "validation loss (nats)"),
        ),
        ReportFigure(
            "Final validation accuracy",
            "Mean over seeds with the 95% t interval; an arm of one seed has none.",
            comparison_plots.comparison(arms),
        ),
        ReportFigure(
            "Accuracy against cost",
            "Final validation accuracy against the seconds that one epoch's training took, with 95% t intervals.",
            comparison_plots.cost(arms),
        ),
        ReportFigure(
            "Training against validation",
            "Mean accuracy over seeds: dashed with open dots on training data, solid with full dots on validation. "
            "The distance is the overfitting gap.",
            curves.gaps(arms),
        ),
    ]


def _newest(study: Study) -> list[str]:
    """Return the newest sweep that has runs; none if all runs are single ones."""
    with_runs = {run.tag("sweep_id") for run in study.runs}
    return [sweep.sweep_id for sweep in study.sweeps if sweep.sweep_id in with_runs][-1:]


def _page(out: Path) -> Path:
    return out if out.suffix == ".html" else out.with_name(f"{out.name}.html")
