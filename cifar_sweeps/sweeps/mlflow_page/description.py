"""The description of a sweep's parent run on MLflow's page: what was asked, what came out, how to repeat it."""

from collections.abc import Iterator, Mapping, Sequence

from cifar_sweeps.sweeps.manifest import SweepManifest
from cifar_sweeps.sweeps.mlflow_page.view import sweep_page
from cifar_sweeps.sweeps.terminal.summary import JobFailure, early_stopping_lines, result_rows
from cifar_sweeps.system.scripts import recorded_command
from cifar_sweeps.tracking.page_links import EXPERIMENT, code, link, run_page
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.tracking.store import MAX_TAG_LENGTH

_ROOM = 1500
"""Characters that are left for what stands around the table and the ids that its links get."""


def describe_sweep(
    manifest: SweepManifest,
    command: str,
    environment: Mapping[str, str],
    jobs: int,
    runs: Sequence[RecordedRun] = (),
    failures: Sequence[JobFailure] = (),
    reused: frozenset[int] = frozenset(),
    has_report: bool = False,
) -> str:
    """Return a sweep's description, in Markdown, as long as MLflow keeps at most.

    command: what was typed. environment: with which a command finds the sweep's outputs. jobs: how many it has.
    runs: those trained, none at its start. has_report: whether its report is among the artifacts.
    """
    keys = ", ".join(code(key) for key in manifest.swept) or "nothing"
    count = "1 job" if jobs == 1 else f"{jobs} jobs"
    resume = recorded_command("cifar-sweeps", ["resume", manifest.sweep_id], environment)
    links = [link("charts and table of its runs", sweep_page(EXPERIMENT, manifest.sweep_id))]
    links += [link("report", run_page(artifact="report/report.html"))] if has_report else []
    around = [
        " · ".join([*_best(runs), *links]),  # first: the page folds all but a few lines
        f"**Asked**: {count}, varying {keys}: {code(command)}",
        f"**Repeat it**: the same command in the same outputs folder, or {code(resume)}, trains what is not finished",
    ]
    failed = [*_failed(failures), *(f"- {line}" for line in early_stopping_lines(runs))]
    room = MAX_TAG_LENGTH - _ROOM - len("\n\n".join(around))
    told = _fitting(failed, room // 3, "- … {} more")
    table = _table(runs, reused, room - len(told))
    return "\n\n".join(filter(None, [around[0], told, f"{table}\n\n<br>" if table else "", *around[1:]]))


def _best(runs: Sequence[RecordedRun]) -> list[str]:
    """Return the best run and its accuracy; nothing while there is none."""
    measured = [run for run in runs if "best/val_accuracy" in run.metrics and run.state != "PAUSED"]
    if not measured:
        return []
    best = max(measured, key=lambda run: run.metrics["best/val_accuracy"])
    return [f"**Best**: {_run_cell(best, best.name)}, validation accuracy {best.metrics['best/val_accuracy']:.4f}"]


def _failed(failures: Sequence[JobFailure]) -> Iterator[str]:
    """Yield a line a reason, with the jobs that it ended."""
    by_reason: dict[tuple[str, str], list[int]] = {}
    for each in sorted(failures, key=lambda failure: failure.job):
        by_reason.setdefault((each.state.lower(), each.reason), []).append(each.job)
    for (state, reason), jobs in by_reason.items():
        named = f"job {jobs[0]}" if len(jobs) == 1 else f"jobs {', '.join(map(str, jobs))}"
        yield f"- {named} {state}: {code(reason[:300])}"


def _table(runs: Sequence[RecordedRun], reused: frozenset[int], room: int) -> str:
    """Return the results as a table, the best run first, of as many runs as there is room for."""
    if not runs:
        return ""
    headings, rows = result_rows(runs, reused)
    lines = [_row([_run_cell(run, cells[0]), *cells[1:]]) for run, cells in rows]
    head = [_row(headings), "|" + "|".join([" --- ", *[" ---: "] * (len(headings) - 2), " --- "]) + "|"]
    return "\n".join([*head, _fitting(lines, room - sum(map(len, head)), "\n… and {} more runs")])


def _fitting(lines: Sequence[str], room: int, rest: str) -> str:
    """Return as many lines as fit, and ``rest`` with the number of those that do not."""
    used, shown = 0, list[str]()
    for line in lines:
        used += len(line) + 1
        if used > room:
            return "\n".join([*shown, rest.format(len(lines) - len(shown))])
        shown.append(line)
    return "\n".join(shown)


def _run_cell(run: RecordedRun, name: str) -> str:
    return link(name, run_page(run_id=run.run_id)) if run.run_id else code(name)


def _row(cells: Sequence[str]) -> str:
    # MLflow's tables have no room between their columns.
    return "| " + "&emsp; | ".join(cells) + " |"
