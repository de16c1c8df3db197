"""The table at a sweep's end: its runs, the best validation accuracy first."""

from collections.abc import Collection, Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from cifar_sweeps.sweeps.sweep_file import split_name
from cifar_sweeps.tracking.store import KnownRun

_COLUMNS = {
    "best val": "best/val_accuracy",
    "at": "best/epoch",
    "val": "val/accuracy",
    "train": "train/accuracy",
    "test": "test/accuracy",
    "s/epoch": "epoch_seconds",
}


def results_table(runs: Sequence[KnownRun], reused: Collection[int] = ()) -> Table:
    """Return the runs by best validation accuracy; runs that have none, or did not finish, stand at the end.

    reused: numbers of the jobs that an earlier start of the sweep had finished.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    keys = {split_name(run.name)[0] for run in runs}
    same = len(keys) == 1  # then the header names them, and a row has their values alone
    table.add_column(Text(" / ".join(keys.pop()) if same else "run"), overflow="fold")
    for title in _COLUMNS:
        table.add_column(title, justify="right")
    table.add_column("state")
    for run in sorted(runs, key=lambda run: -run.metrics.get("best/val_accuracy", -1.0)):
        cells = [_cell(title, run.metrics.get(metric)) for title, metric in _COLUMNS.items()]
        colour = "green" if run.state == "FINISHED" else "red"
        name = " / ".join(split_name(run.name)[1]) if same else run.name
        state = "reused" if run.state == "FINISHED" and int(run.tag("job") or -1) in reused else run.state.lower()
        table.add_row(Text(name), *cells, Text(state, style=colour))
    table.caption = "\n".join([*_captions(runs), *_reuse(len(reused))])
    table.caption_justify = "left"
    return table


def _captions(runs: Sequence[KnownRun]) -> Iterator[str]:
    yield "Accuracies: the best on validation and at which epoch; then the last epoch's; then on the test images."
    budgets = sorted({run.tag("budget") or "full" for run in runs} - {"full"})
    if budgets:
        yield f"Not the full training: budget {'; '.join(budgets)}."
    if any(run.tag("validated_on") == "test" for run in runs):
        yield "Validated on the test set: no validation figure of those runs is independent of it."


def _reuse(count: int) -> Iterator[str]:
    if count:
        jobs = "1 job was" if count == 1 else f"{count} jobs were"
        yield f"{jobs} finished by an earlier start of this sweep and reused; sweep.rerun=all trains all anew."


def _cell(title: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if title == "at" else f"{value:.1f}" if title == "s/epoch" else f"{value:.4f}"
