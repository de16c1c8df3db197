"""Print the summary of a sweep: its table, what failed and why, how to resume it, where to look."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifar_sweeps.search.pareto import pareto_front
from cifar_sweeps.search.trials import OBJECTIVES, format_objective
from cifar_sweeps.studies.columns import quantity
from cifar_sweeps.sweeps.manifest import SweepManifest, parse_run_name
from cifar_sweeps.sweeps.terminal.where_to_look import mlflow_lines
from cifar_sweeps.system.scripts import as_typed, shell_command
from cifar_sweeps.tracking.journal import State
from cifar_sweeps.tracking.recorded_run import RecordedRun

_MAX_NUMBERS = 12


@dataclass(frozen=True)
class JobFailure:
    """A job that did not finish."""

    job: int
    name: str
    reason: str
    log_file: str
    state: State = "FAILED"


@dataclass(frozen=True)
class SweepSummary:
    """A sweep that has ended.

    store: the address of the store, without its password; empty if there is none. page: the address of its runs on
    MLflow's page, after the host; empty if they are not there. unsent: how many of its runs wait in their journals for
    a store that did not answer. can_resume: whether the same command resumes it, which no other launcher than ours
    does. environment: variables with which the printed commands find its outputs and store.
    model_lines: makes the best run's model where it is to have one, which takes seconds, and says so.
    """

    manifest: SweepManifest
    folder: Path
    outputs: Path
    state: State
    runs: Sequence[RecordedRun]
    reused: frozenset[int]
    failures: Sequence[JobFailure]
    store: str
    page: str
    unsent: int
    can_resume: bool
    not_started: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    objectives: Mapping[str, str] = field(default_factory=dict)
    model_lines: Callable[[], Iterable[str]] = tuple


def print_summary(summary: SweepSummary, console: Console) -> None:
    """Print a sweep's summary."""

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    if summary.runs:
        most = MAX_TRIALS if summary.objectives else None
        console.print(results_table(summary.runs, summary.reused, most))
        if most is not None and len(summary.runs) > most:
            say(f"… and {len(summary.runs) - most} more trials, all of them:")
            every = ["results", summary.manifest.sweep_id]
            say(f"  {shell_command('cifar-sweeps', every, summary.environment)}")
    for line in front_lines(summary.runs, summary.objectives):
        say(line)
    for line in early_stopping_lines(summary.runs):
        say(line)
    metric = summary.manifest.selection.get("sweep.metric", "val/accuracy")
    paused, best_paused = _paused_jobs(summary.runs), best_paused_job(summary.runs, metric)
    if paused and summary.can_resume:
        by_epoch = "; at epoch ".join(f"{epoch} job {_join_numbers(jobs)}" for epoch, jobs in paused.items())
        say(f"Paused at epoch {by_epoch}. Train some to their ends after all, as the best by {metric} where it paused:")
        promote = ["promote", summary.manifest.sweep_id, str(best_paused)]
        say(f"  {shell_command('cifar-sweeps', promote, summary.environment)}")
    for failure in sorted(summary.failures, key=lambda failure: failure.job):
        say(f"Job {failure.job} {failure.state.lower()} ({failure.name}): {failure.reason}")
        if Path(failure.log_file).exists():  # it had begun
            say(f"  its log: {failure.log_file}")
    if summary.not_started:
        say(f"Not started: {'; '.join(summary.not_started)}")
    # A training that diverged would diverge again.
    can_go_on = summary.not_started or any(not each.reason.startswith("DivergedError") for each in summary.failures)
    if summary.state != "FINISHED" and summary.can_resume and (can_go_on or not summary.failures):
        say("To resume, repeat the command, or run anywhere:")
        outputs = {"CIFAR_SWEEPS_OUTPUTS": str(summary.outputs.absolute())}
        environment = {**summary.environment, **outputs}
        say(f"  {shell_command('cifar-sweeps', ['resume', summary.manifest.sweep_id], environment, anywhere=True)}")
    if not summary.store:
        say(f"The runs lie in {summary.folder}; they were not recorded (tracking=none).")
        return
    if summary.unsent:
        say(f"Not all is in the store yet: {summary.unsent} journals wait in {summary.folder}; send them:")
        say(f"  {shell_command('cifar-sweeps', ['sync'], summary.environment)}")
    finished = [run for run in summary.runs if run.state == "FINISHED" and run.run_id]
    best = best_run(finished)
    if best is not None:
        say("Repeat a run, the best one for example (each run's description in MLflow says how):")
        say(f"  {shell_command('cifar-sweeps', ['reproduce', best.run_id[:8]], summary.environment)}")
        say(f"  {as_typed(best.repeat_command)}")
        if "seed" in summary.manifest.swept and len({run.tag("swept") for run in finished}) > 1:
            say("Means over seeds:")
            arms = ["results", summary.manifest.sweep_id, "--arms"]
            say(f"  {shell_command('cifar-sweeps', arms, summary.environment)}")
    for line in summary.model_lines():
        say(line)
    if summary.page:
        say("Look at the runs in MLflow:")
        for line in mlflow_lines(summary.store, summary.environment, summary.page):
            say(f"  {line}")
    say(f"Folders, logs and checkpoints: {summary.folder}")


def best_run(runs: Sequence[RecordedRun]) -> RecordedRun | None:
    """Return the best of the finished runs that are in the store, as `results_table` sorts them; None without any."""
    finished = [run for run in runs if run.state == "FINISHED" and run.run_id]
    return max(finished, key=lambda run: (run.metrics.get("best/val_accuracy", -1.0), -_job(run)), default=None)


def _job(run: RecordedRun) -> int:
    return int(run.tag("job") or 0)


_COLUMNS = [quantity(heading) for heading in ("best val", "at", "val", "train", "test", "s/epoch")]


MAX_TRIALS = 20
"""Of a search the best ones are listed."""


def front_lines(runs: Sequence[RecordedRun], objectives: Mapping[str, str]) -> Iterator[str]:
    """Yield the trials on the Pareto front of several objectives, by the first one; nothing for a single objective."""
    if len(objectives) < 2:
        return
    whole = [
        run for run in runs if run.state == "FINISHED" and all(each in run.metrics for each in objectives.values())
    ]
    points = [[run.metrics[metric] for metric in objectives.values()] for run in whole]
    rises = [OBJECTIVES[each] for each in objectives]
    front = [whole[place] for place in pareto_front(points, rises)]
    first = next(iter(objectives.values()))
    ways = ", ".join(f"{each} {'up' if rise else 'down'}" for each, rise in zip(objectives, rises, strict=True))
    yield f"Pareto front ({ways}): {len(front)} of {len(whole)} finished trials"
    for run in sorted(front, key=lambda run: run.metrics[first], reverse=rises[0]):
        values = ", ".join(
            f"{each} {format_objective(each, run.metrics[metric])}" for each, metric in objectives.items()
        )
        yield f"  {run.name}: {values}"


def results_table(runs: Sequence[RecordedRun], reused: Collection[int] = (), most: int | None = None) -> Table:
    """Return the runs by best validation accuracy; those that are paused, or have none, stand at the end.

    reused: numbers of the jobs that a previous launch of the sweep had finished. most: how many are listed.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    (first, *headings, last), rows = result_rows(runs, reused)
    has_numbers = any(run.state == "PAUSED" for run in runs)  # by which cifar-sweeps promote names them
    if has_numbers:
        table.add_column("job", justify="right", no_wrap=True)
    table.add_column(Text(first), overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(last)
    for run, (name, *cells, state) in rows[:most]:
        colour = {"FINISHED": "green", "PAUSED": "yellow"}.get(run.state, "red")
        number = [run.tag("job") or ""] if has_numbers else []
        table.add_row(*number, Text(name), *cells, Text(state, style=colour))
    table.caption = "\n".join([*_captions(runs), *_reused_line(len(reused))])
    table.caption_justify = "left"
    return table


def result_rows(
    runs: Sequence[RecordedRun], reused: Collection[int] = ()
) -> tuple[list[str], list[tuple[RecordedRun, list[str]]]]:
    """Return the headings of a table of results, and its rows with their runs, in the order of `results_table`."""
    keys = {parse_run_name(run.name)[0] for run in runs}
    same = len(keys) == 1  # then the header names them, and a row has their values alone
    headings = [" / ".join(keys.pop()) if same else "run", *(column.heading for column in _COLUMNS), "state"]
    rows = []

    def rank(run: RecordedRun) -> tuple[bool, float, int]:
        return run.state == "PAUSED", -run.metrics.get("best/val_accuracy", -1.0), _job(run)

    for run in sorted(runs, key=rank):
        name = " / ".join(parse_run_name(run.name)[1]) if same else run.name
        state = "reused" if run.state == "FINISHED" and int(run.tag("job") or -1) in reused else run.state_text
        rows.append((run, [name, *(column.text(run.metrics.get(column.key)) for column in _COLUMNS), state]))
    return headings, rows


def _captions(runs: Sequence[RecordedRun]) -> Iterator[str]:
    yield "Accuracies: the best on validation and at which epoch; then the last epoch's; then on the test images."
    budgets = sorted({run.tag("budget") or "full" for run in runs} - {"full"})
    if budgets:
        yield f"Not the full training: budget {'; '.join(budgets)}."
    if any(run.tag("validated_on") == "test" for run in runs):
        yield "Validated on the test set: the validation metrics of those runs are not independent of it."


def _paused_jobs(runs: Sequence[RecordedRun]) -> dict[int, list[int]]:
    """Return the numbers of the paused jobs by the epoch that they have reached, the furthest first."""
    found: dict[int, list[int]] = {}
    for run in runs:
        if run.state == "PAUSED":
            found.setdefault(int(run.tag("early_stopped") or 0), []).append(int(run.tag("job") or 0))
    return {epoch: sorted(found[epoch]) for epoch in sorted(found, reverse=True)}


def best_paused_job(runs: Sequence[RecordedRun], metric: str) -> int | None:
    """Return the number of the paused job with the best last value of a metric; None without any."""
    sign, worst = (1, -math.inf) if metric == "val/accuracy" else (-1, math.inf)
    paused = [run for run in runs if run.state == "PAUSED"]
    best = max(paused, key=lambda run: sign * run.metrics.get(metric, worst), default=None)
    return None if best is None else int(best.tag("job") or 0)


def _join_numbers(numbers: Sequence[int]) -> str:
    more = len(numbers) - _MAX_NUMBERS
    return ", ".join(map(str, numbers[:_MAX_NUMBERS])) + (f" and {more} more" if more > 0 else "")


def early_stopping_lines(runs: Sequence[RecordedRun]) -> Iterator[str]:
    """Yield what early stopping has left out of a sweep that has ended."""
    paused = [run for run in runs if run.state == "PAUSED"]
    if not paused:
        return
    left_out = sum(int(run.tag("early_stopped_of") or 0) - int(run.tag("early_stopped") or 0) for run in paused)
    yield (
        f"{len(paused)} of {len(runs)} runs {'is' if len(paused) == 1 else 'are'} paused by early stopping, "
        f"{left_out:,} epochs before {'its end' if len(paused) == 1 else 'their ends'}: "
        "the figures of these are not those of a whole training."
    )


def _reused_line(count: int) -> Iterator[str]:
    if count:
        jobs = "1 job" if count == 1 else f"{count} jobs"
        yield f"{jobs} had finished before, and kept their results; sweep.rerun=all trains them again."
