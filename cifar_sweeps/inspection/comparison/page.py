"""Write a comparison as a self-contained page in the outputs folder's reports."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cifar_sweeps
from cifar_sweeps.analysis.matplotlib_setup import own_style
from cifar_sweeps.analysis.pages.html_page import Section, render_sections
from cifar_sweeps.inspection.comparison import tables
from cifar_sweeps.inspection.comparison.compare import Comparison, remarks
from cifar_sweeps.inspection.comparison.page_figures import Explain, class_figures, curve_figures, images_section
from cifar_sweeps.studies.reports.summary_text import environment
from cifar_sweeps.system.files import file_name, write_text_atomic
from cifar_sweeps.system.scripts import shell_command

_SWEPT_SHOWN = 6
"""Arms of two sweeps whose curves are drawn."""
_MACHINE = frozenset({"CPU", "GPU", "device", "threads per run", "platform", "Python", "torch", "cifar_sweeps"})
"""What of a run's surroundings may change its numbers."""


@own_style()
def write_page(
    comparisons: Sequence[Comparison], typed: Sequence[str], outputs: Path, explain: Explain | None = None
) -> Path:
    """Write the page of one comparison, or of the arms that two sweeps have in common; return its path.

    typed: the command's arguments, which name the page and are shown on it. explain: for the maps of what mattered to
    both networks beside the images that only one has right; without it, there are none.
    """
    folder = outputs / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    names = [part for part in typed if part != "--in"]
    page = folder / f"{file_name('compare_' + '_'.join(names))}.html"
    if len(comparisons) == 1:
        title, summary, sections = _of_one(comparisons[0], explain)
    else:
        title, summary, sections = _of_sweeps(comparisons, typed)
    warnings, _ = remarks(comparisons)
    html = render_sections(
        title,
        summary,
        sections,
        version=cifar_sweeps.__version__,
        warnings=warnings,
        commands=[shell_command("cifar-sweeps", ["compare", *typed])],
    )
    write_text_atomic(page, html)
    return page


def _of_one(found: Comparison, explain: Explain | None) -> tuple[str, str, list[Section]]:
    sides = f"A: {found.first.name} ({_runs(found, 0)}). B: {found.second.name} ({_runs(found, 1)})."
    sections = [
        Section(found.answer.question, [found.answer.verdict, *found.answer.details]),
        _differences(found),
        Section("Figures", tables=[replace(tables.figures_table(found), title="")]),
        Section("Curves", figures=curve_figures(found)),
        Section("By class", tables=[replace(tables.classes_table(found), title="")], figures=class_figures(found)),
        images_section(found, explain),
    ]
    if found.notes:
        sections.append(Section("What was left out or made anew", found.notes))
    return f"Compared: {found.title}", sides, sections


def _runs(found: Comparison, number: int) -> str:
    side = (found.first, found.second)[number]
    ids = ", ".join(run.run_id[:8] for run in side.runs[:8])
    if len(side.runs) == 1:
        return f"run {ids}, seed {side.runs[0].seed}"
    return f"{len(side.runs)} runs: {ids}{', …' if len(side.runs) > 8 else ''}"


def _differences(found: Comparison) -> Section:
    table = tables.differences_table(found)
    rows = environment([*found.first.runs, *found.second.runs])
    surroundings = [f"{name} {values}" for name, values, differ in rows if differ and name in _MACHINE]
    texts = [f"Beside the settings, machine or versions differ: {'; '.join(surroundings)}."] if surroundings else []
    return Section("What differs", [found.differences.text, *texts], [replace(table, title="")] if table.rows else [])


def _of_sweeps(comparisons: Sequence[Comparison], typed: Sequence[str]) -> tuple[str, str, list[Section]]:
    first, second = comparisons[0].first, comparisons[0].second
    names = [part for part in typed if part != "--in"]
    title = f"Compared: {names[0]} against {names[1]}, arm by arm"
    summary = (
        f"A: {first.typed.partition(':')[0]}. B: {second.typed.partition(':')[0]}. "
        f"{len(comparisons)} arms that both have."
    )
    sections = [Section("Arm by arm", tables=[replace(tables.arms_table(comparisons), title="")])]
    for found in comparisons[:_SWEPT_SHOWN]:
        texts = [
            found.answer.question,
            found.answer.verdict,
            *found.answer.details,
            found.differences.text,
            *found.notes,
        ]
        tables_of_arm = [table for table in (tables.differences_table(found),) if table.rows]
        sections.append(Section(found.first.name, texts, tables_of_arm, curve_figures(found)[:2]))
    if len(comparisons) > _SWEPT_SHOWN:
        rest = len(comparisons) - _SWEPT_SHOWN
        sections.append(Section("The others", [f"{rest} more arms are in the table alone; compare them by name."]))
    return title, summary, sections
