"""Write what mattered as a self-contained page and a table, into the outputs folder's reports."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cifar_sweeps
from cifar_sweeps.analysis.matplotlib_setup import own_style
from cifar_sweeps.analysis.pages.html_page import Section, render_sections
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.studies.importance.choice import at_epoch, find_metric, is_whole, of_one_design
from cifar_sweeps.studies.importance.figures import by_epoch, progress_figures, read_by_epoch, share_figures
from cifar_sweeps.studies.importance.importance import METRIC, Importance, find_importance
from cifar_sweeps.studies.importance.tables import as_frame, counts, importance_table
from cifar_sweeps.studies.pooling import select_sweeps
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.system.files import file_name, write_text_atomic
from cifar_sweeps.system.scripts import shell_command
from cifar_sweeps.tracking.store import Store

TITLE = "What mattered"
_LEAST_ARMS = 3
"""Of a single key, for a section of a report: of two, the table of arms says it all."""


@dataclass(frozen=True)
class Judged:
    """What mattered, and all runs of the sweeps that it was judged of."""

    importance: Importance
    runs: tuple[StudyRun, ...]


def judge(
    what: str, store: Store, sweeps: Sequence[str] = (), metric: str = METRIC, epoch: int | None = None
) -> Judged:
    """Return what mattered in a sweep, or in a study's newest sweep and those of its design, or in the named sweeps.

    metric: its name, its heading or the end of its name. epoch: at which it is judged; None: of whole runs.
    Raises TrackingError if there is no such study or sweep, and ConfigError or DataError as `find_importance` does.
    """
    study = find_runs(what, store)
    chosen, notes = of_one_design(select_sweeps(study, sweeps) if sweeps else study)
    name = find_metric(chosen, metric)
    if epoch is None:
        found = find_importance(chosen, name)
    else:
        name = by_epoch(name)
        histories = read_by_epoch(chosen.runs, name, store.client())
        found = find_importance(*at_epoch(chosen, name, epoch, histories))
    return Judged(replace(found, notes=(*notes, *found.notes)), chosen.runs)


@own_style()
def write_page(judged: Judged, typed: Sequence[str], store: Store) -> tuple[Path, Path]:
    """Write the page and a table, one row a part; return both paths.

    typed: the command's arguments, which name the files and are shown on the page.
    """
    found = judged.importance
    folder = store.outputs / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    names = [part.replace("/", "_") for part in typed if part not in ("--sweep", "--metric")]
    names = [part.replace("--epoch", "epoch") for part in names]
    page = folder / f"{file_name('importance_' + '_'.join(names))}.html"
    sections = [
        Section(TITLE, found.notes, [replace(importance_table(found), title="")], share_figures(found)),
        Section("Best so far", figures=progress_figures(judged.runs, found.metric, store.client())),
    ]
    html = render_sections(
        f"What mattered to {found.metric}",
        counts(found),
        [section for section in sections if section.tables or section.figures],
        version=cifar_sweeps.__version__,
        commands=[shell_command("cifar-sweeps", ["importance", *typed])],
    )
    write_text_atomic(page, html)
    table = page.with_suffix(".csv")
    write_text_atomic(table, as_frame(found).to_csv(index=False))
    return page, table


def report_section(study: Study, store: Store) -> tuple[Section | None, str]:
    """Return the section of a study's report, and a warning; no section where there is nothing that it could say.

    There is one for two swept keys or more, and for a single key of three arms or more with several seeds.
    """
    if not any(map(is_whole, study.runs)):
        return None, ""
    chosen, notes = of_one_design(study)
    keys = {key for run in chosen.runs for key in run.swept if key != "seed"}
    arms = {run.arm for run in chosen.runs if is_whole(run)}
    if not keys or len(arms) < _LEAST_ARMS:
        return None, ""
    metric = METRIC if any(METRIC in run.metrics for run in chosen.runs) else "test/accuracy"
    try:
        found = find_importance(chosen, metric)
    except DataError as error:  # too few runs: of a single seed, or stopped early
        progress = progress_figures(chosen.runs, metric, store.client()) if len(keys) > 1 else []
        section = Section(f"{TITLE} to {metric}", [f"The keys are not judged: {error}."], figures=progress)
        return section if progress else None, ""
    except ConfigError as error:
        return None, f"{TITLE} is left out: {error}."
    if len(found.keys) < 2 and len(found.seeds) < 2:
        return None, ""
    figures = share_figures(found) if len(found.keys) > 1 else []
    figures += progress_figures(chosen.runs, metric, store.client())
    table = replace(importance_table(found), title="")
    return Section(f"{TITLE} to {metric}", [counts(found), *notes, *found.notes], [table], figures), ""
