"""Write the report of a study: claims, published and measured metrics, figures, runs and environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import cifar_sweeps
from cifar_sweeps.analysis.matplotlib_setup import own_style
from cifar_sweeps.analysis.pages.html_page import PageFigure, render_template
from cifar_sweeps.analysis.tables import TextTable
from cifar_sweeps.studies.arm_configs import arm_configs
from cifar_sweeps.studies.claims import merge_claims
from cifar_sweeps.studies.current_claims import with_current_claims, with_current_published
from cifar_sweeps.studies.histories import History, is_by_epoch, read_histories
from cifar_sweeps.studies.importance.page import report_section
from cifar_sweeps.studies.pooling import select_sweeps, separated_arms
from cifar_sweeps.studies.published import compare_with_published, published_curves
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.ranking import rank_arms
from cifar_sweeps.studies.reports import (
    class_analysis,
    comparison_plots,
    curves,
    markdown,
    report_tables,
    search_section,
    summary_text,
)
from cifar_sweeps.studies.reports.claims_table import claim_records, claims_table
from cifar_sweeps.studies.results import runs_frame
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.studies.validity.comparability import Departure, departures_by_arm
from cifar_sweeps.studies.validity.never_learned import never_learned
from cifar_sweeps.studies.validity.never_learned import warning as never_learned_warning
from cifar_sweeps.studies.validity.timings import Timings, read_timings
from cifar_sweeps.studies.verdicts import evaluate_claims
from cifar_sweeps.system.files import file_name, write_text_atomic
from cifar_sweeps.tracking.store import Store, default_store

MAX_TRIALS = 20
"""Of a search, whose trials differ in any number of values, the best ones are listed."""

Configs = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """A report on disk: the paths of its files, and its warnings and two main tables for the terminal."""

    page: Path
    markdown: Path
    table: Path
    claims: TextTable
    ranking: TextTable
    warnings: tuple[str, ...]
    is_running: bool = False
    """Whether some of its runs still train."""
    claims_file: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """Its files by what they hold: the page, the same as Markdown, one row per run, and one per claim."""
        paths = {"Page": self.page, "Markdown": self.markdown, "Runs": self.table}
        return paths if self.claims_file is None else {**paths, "Claims": self.claims_file}


@own_style()
def write_report(
    what: str,
    out: Path | None = None,
    store: Store | None = None,
    sweeps: Sequence[str] = (),
    refresh: int | None = None,
) -> Report:
    """Write the report of a study's newest sweep, or of the named sweeps together.

    what: a study's name, or a sweep's id. out: the HTML page; Markdown (.md), one row per run (.csv) and one per claim
    (_claims.csv) go beside it.
    Default: ``reports/STUDY.html`` in the outputs folder, with the sweeps' ids behind the name where sweeps were named.
    refresh: seconds after which a browser loads the page again, while it is rewritten.
    Raises TrackingError if there is no such study or sweep.
    """
    store = store or default_store()
    study = find_runs(what, store)
    sweep_ids = list(sweeps) or _newest_sweep(study)
    if sweep_ids:
        study = select_sweeps(study, sweep_ids)
    named = sweeps or (sweep_ids if what != study.name else [])
    default = file_name("_".join([study.name, *(sweep.sweep_id for sweep in study.sweeps if named)]))
    page = _page_path(out) if out is not None else store.outputs / "reports" / f"{default}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    client = store.client()
    runs = study.deduplicated()
    shown = [*runs, *(run for run in study.runs if run.is_running)]
    metrics = dict.fromkeys(metric for run in shown for metric in run.metrics if is_by_epoch(metric))
    histories = read_histories(client, [run.run_id for run in shown], metrics)
    configs, changes = with_current_claims(arm_configs(client, study.runs, store.outputs), study.sweeps)
    configs, more_changes = with_current_published(configs, study.runs, study.sweeps)
    values = _template_values(study, runs, histories, configs, [*changes, *more_changes], read_timings(store.outputs))
    values["refresh"] = refresh
    values["importance"], left_out = report_section(study, store)
    values["warnings"] += [left_out] if left_out else []
    values["figures"] += _confusion(values.pop("best_arm"), runs, store)
    claims, ranking, records = values.pop("claims"), values.pop("ranking"), values.pop("claim_records")
    files = (page, page.with_suffix(".md"), page.with_suffix(".csv"))
    claims_file = page.with_name(f"{page.stem}_claims.csv") if records else None
    is_running = any(run.is_running for run in study.runs)
    report = Report(*files, claims, ranking, tuple(values["warnings"]), is_running, claims_file)
    write_text_atomic(report.page, render_template("report.html.jinja", values, "cifar_sweeps.studies.reports"))
    write_text_atomic(report.markdown, markdown.render_report(values, page.name))
    write_text_atomic(report.table, runs_frame(study).to_csv(index=False))
    if claims_file is not None:
        write_text_atomic(claims_file, pd.DataFrame(records).to_csv(index=False))
    return report


def attach_report(store: Store, parent_run_id: str, study: str, sweep_id: str, folder: Path) -> Report:
    """Write a sweep's report into ``folder``, and log it as artifacts of its parent run, under ``report/``."""
    report = write_report(study, folder / "report.html", store, [sweep_id])
    client = store.client()
    for path in report.paths.values():
        client.log_artifact(parent_run_id, str(path), "report")
    return report


def _template_values(
    study: Study,
    runs: list[StudyRun],
    histories: dict[str, History],
    configs: Configs,
    changes: Sequence[str],
    quiet: Timings,
) -> dict[str, Any]:
    """Return the values of the HTML template, which the Markdown shows too."""
    arms = rank_arms(runs)
    # One's own sweeps name no experiment, and depart from none.
    otherwise = departures_by_arm(configs, runs)
    results = evaluate_claims(merge_claims(configs, runs), runs, histories, otherwise, quiet)
    claims = claims_table(results)
    # One's own sweeps have neither: their reports do not speak of documents.
    published = report_tables.published_tables(compare_with_published(runs, histories, configs, otherwise))
    has_published = any(config.get("published") for config in configs.values())
    repeats = sum(run.finished for run in study.runs) - len(runs)
    warning = summary_text.test_set_warning(study.runs)
    plotted = [arm.arm for arm in arms if arm.val is not None and not arm.is_part]
    objectives = search_section.objectives_of(study)
    ranking = report_tables.ranking_table(arms, MAX_TRIALS if objectives else None)
    return {
        "title": f"Study: {study.name}",
        "warnings": [
            *summary_text.budget_warnings(study.runs, has_published),
            *([warning] if warning else []),
            *([images] if has_published and (images := summary_text.images_warning(study.runs)) else []),
            *([guessing] if (guessing := never_learned_warning(study.runs)) else []),
            *_otherwise(otherwise),
            *separated_arms(study.runs),
            *changes,
        ],
        "summary": summary_text.summary(study, repeats),
        "claims": claims,
        "claim_records": claim_records(results),
        "ranking": ranking,
        "best_arm": plotted[0] if plotted else None,
        "tables": [
            table
            for table in (
                report_tables.failures_table(study.runs),
                report_tables.running_table(study.runs, histories),
                claims,
                *(published if has_published else []),
                search_section.front_table(runs, objectives),
                ranking,
                class_analysis.class_table(plotted, runs),
                report_tables.paused_table(study.runs),
            )
            if table is not None and (table.rows or table.empty)
        ],
        "figures": [
            *search_section.front_figures(runs, objectives),
            *_figures(plotted, runs, histories, configs, otherwise),
        ],
        "arms_shown": min(len(plotted), curves.MAX_ARMS),
        "arms_left_out": max(0, len(plotted) - curves.MAX_ARMS),
        "assumptions": summary_text.assumptions(configs),
        "environment": summary_text.environment(study.runs),
        "commands": summary_text.commands(study),
        "version": cifar_sweeps.__version__,
    }


def _otherwise(departures: Mapping[str, Sequence[Departure]]) -> list[str]:
    """Return one line for all arms that were trained otherwise than their files say in the same way."""
    arms: dict[str, list[str]] = {}
    for arm, some in departures.items():
        if some:
            arms.setdefault("; ".join(each.text for each in some), []).append(arm)
    return [
        f"{', '.join(names)}: not trained as {'its file says' if len(names) == 1 else 'their files say'}: {text}."
        for text, names in arms.items()
    ]


def _figures(
    names: Sequence[str],
    runs: Sequence[StudyRun],
    histories: dict[str, History],
    configs: Configs,
    otherwise: Mapping[str, Sequence[Departure]],
) -> list[PageFigure]:
    """Return the figures of the named arms. otherwise: arms with departures, which no published curve is shown with."""
    if not names:
        return []
    published = _curves_once([name for name in names if not otherwise.get(name)], runs, configs)
    arms = curves.style_arms(names, runs, histories, published)
    continued = [arm.label for arm in arms if (configs.get(arm.name, {}).get("trainer") or {}).get("init_from")]

    def by_epoch(metric: str) -> str:
        texts = ["Mean over seeds; the band is from the lowest to the highest seed."]
        if any(arm.published.get(metric) for arm in arms):
            texts.append("Dotted, with open markers: as published.")
        if continued:
            of_another = f"{' and '.join(continued)} start{'s' * (len(continued) == 1)} from another arm's weights"
            texts.append(f"{of_another}: epoch 1 is the first one after that arm's training.")
        return " ".join(texts)

    strokes = " Strokes: the seeds." if comparison_plots.swept_numeric_key(arms) is None else ""
    guessing = (
        " Crosses: runs that never learned." if any(never_learned(run) for arm in arms for run in arm.runs) else ""
    )
    return [
        PageFigure(
            "Validation accuracy by epoch",
            f"Validation accuracy of each arm. {by_epoch('val/accuracy')}",
            curves.plot_curves(arms, "val/accuracy", "validation accuracy (fraction)"),
        ),
        PageFigure(
            "Validation loss by epoch",
            f"Cross-entropy on validation data, without any penalty. {by_epoch('val/loss')}",
            curves.plot_curves(arms, "val/loss", "validation loss (nats)"),
        ),
        PageFigure(
            "Final validation accuracy",
            f"Mean over seeds with the 95% t interval; an arm of one seed has none.{strokes}{guessing}",
            comparison_plots.plot_comparison(arms),
        ),
        PageFigure(
            "Accuracy against cost",
            "Final validation accuracy against the seconds per epoch, with 95% t intervals. Jobs that train at once "
            "share the machine: the seconds compare arms only roughly. Multiply-adds are in the table of arms.",
            comparison_plots.plot_cost(arms),
        ),
        PageFigure(
            "Training against validation",
            "Mean accuracy over seeds. Dashed, open dots: training data; solid, filled dots: validation data. "
            "The distance is the overfitting gap.",
            curves.plot_gaps(arms),
        ),
    ]


def _curves_once(
    names: Sequence[str], runs: Sequence[StudyRun], configs: Configs
) -> dict[str, dict[str, dict[int, float]]]:
    """Return the published curves by arm and metric; of arms of one document's arm, the one trained in full has them.

    On a twentieth of the images, it is not that arm's training that was published.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    full = {run.arm for run in runs if run.tag("budget") == "full"}
    for name in sorted(names, key=lambda name: name not in full):
        of_arm = published_curves(configs.get(name, {}).get("published"))
        if of_arm not in found.values():
            found[name] = of_arm
    return found


def _confusion(arm: str | None, runs: Sequence[StudyRun], store: Store) -> list[PageFigure]:
    return [] if arm is None else class_analysis.confusion_figure(arm, runs, store.client(), store.outputs)


def _newest_sweep(study: Study) -> list[str]:
    """Return the id of the newest sweep that has runs; empty if all runs are single ones."""
    with_runs = {run.tag("sweep_id") for run in study.runs}
    return [sweep.sweep_id for sweep in study.sweeps if sweep.sweep_id in with_runs][-1:]


def _page_path(out: Path) -> Path:
    out = out.expanduser()
    return out if out.suffix == ".html" else out.with_name(f"{out.name}.html")
