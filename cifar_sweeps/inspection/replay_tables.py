"""What a replay of early stopping says: its table, the lines beside it, and all of it as JSON."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.inspection.replay import PAUSED, Replay, count_reasons
from cifar_sweeps.search.rungs import who_goes_on

_SETTING = re.compile(r"\s+sweep\.(early_stopping|metric|eta|grace_epochs|rerun)=\S*")
"""What the sweep's own command said of early stopping, in place of which the replay's settings stand."""
_COLUMNS = ("workers", "epochs", "seconds", "wall clock", "whole's", "regret", "90%", "best picked")


def heading(found: Replay) -> str:
    """Return what was replayed."""
    orders = next(iter(found.summaries.values())).orders
    runs, arms = _count(len(found.runs), "whole run"), _count(len(found.final), "arm")
    return f"{found.what}: {runs} of {arms}, in {_count(orders, 'random order')} of arrival"


def table(found: Replay) -> TextTable:
    """Return a row for each number of workers."""
    rows = tuple(
        (
            str(workers),
            f"{each.epochs:.1%}",
            f"{each.seconds:.1%}",
            _clock(each.wall_clock * each.whole_wall_clock),
            _clock(each.whole_wall_clock),
            f"{each.regret:.4f}",
            f"{each.regret_90:.4f}",
            f"{each.best_picked:.0%}",
        )
        for workers, each in found.summaries.items()
    )
    return TextTable(heading(found), tuple(Column(name, is_number=True) for name in _COLUMNS), rows)


def lines(found: Replay) -> Iterator[str]:
    """Yield what to know of the table: rungs, meanings, what was left out, and how to use it."""
    yield from _rungs(found)
    yield (
        "Epochs and seconds of training: shares of the whole sweep's; wall clock: of training alone, beside the whole "
        "sweep's with as many workers; means over the orders."
    )
    best = f"the best arm ({found.best}: {found.final[found.best]:.4f})"
    sides = (
        (best, "that of the arm that is picked")
        if found.settings.rises
        else ("the arm that is picked", f"that of {best}")
    )
    yield (
        f"Regret: {found.settings.metric} at the end, mean over seeds, of {sides[0]} less {sides[1]}; the median, and "
        "what 9 of 10 orders do not exceed."
    )
    diverged = sum(run.failed for run in found.runs)
    if diverged:
        yield f"{_count(diverged, 'run')} diverged, and would again: replayed as such, and never picked."
    if found.left_out:
        yield (
            f"Left out: {count_reasons(found.left_out)}. Only whole curves can be replayed, one for each arm and seed."
        )
    again = " (these values anew; other ones need no sweep.rerun=all, without which these join the finished sweep)"
    yield f"To use it in the next sweep{again if found.command else ''}: {command(found)}"


def warnings(found: Replay) -> Iterator[str]:
    """Yield what makes the whole table misleading, to be said ahead of it."""
    paused = found.left_out.get(PAUSED, 0)
    if paused:
        yield (
            f"Warning: {_count(paused, 'run')} of {found.what} {'was' if paused == 1 else 'were'} paused by early "
            "stopping and cannot be replayed: the table is of those alone that it let train to their ends, and says "
            "nothing of all arms. Replay a sweep that was trained without early stopping."
        )


def command(found: Replay) -> str:
    """Return what to type for a sweep that is stopped early: new, and not joined to the one that has all its jobs."""
    if not found.command:
        return " ".join(["cifar-train -m …", *found.settings.overrides])
    return " ".join([_SETTING.sub("", found.command), *found.settings.overrides, "sweep.rerun=all"])


def as_json(found: Replay) -> dict[str, Any]:
    """Return all of it; seconds as such, shares as fractions."""
    final = found.final
    return {
        "what": found.what,
        "early_stopping": found.settings.rule,
        "metric": found.settings.metric,
        **({"eta": found.settings.eta} if found.settings.rule == "asha" else {}),
        "grace_epochs": found.settings.grace_epochs,
        "rungs": {str(length): list(found.settings.ladder.rungs(length)) for length in _lengths(found)},
        "runs": len(found.runs),
        "diverged": sum(run.failed for run in found.runs),
        "arms": len(final),
        "left_out": dict(found.left_out),
        "best": {"arm": found.best, "value": final[found.best]},
        "whole": {
            "epochs": sum(run.trained for run in found.runs),
            "seconds": sum(sum(run.seconds) for run in found.runs),
        },
        "workers": [{"workers": workers, **asdict(each)} for workers, each in found.summaries.items()],
        "command": command(found),
    }


def _rungs(found: Replay) -> Iterator[str]:
    settings = found.settings
    by_rungs: dict[tuple[int, ...], list[int]] = {}
    for length in _lengths(found):
        by_rungs.setdefault(settings.ladder.rungs(length), []).append(length)
    pauses = "; ".join(
        f"runs of {_and(lengths)} epochs "
        + (f"pause after epoch{'s'[: len(rungs) - 1]} {_and(rungs)}" if rungs else "never pause")
        for rungs, lengths in by_rungs.items()
    )
    goes_on = who_goes_on(settings.rule, settings.eta)
    yield f"Early stopping ({settings.rule}): {pauses}; by {settings.metric} there, {goes_on}."
    if settings.rule == "asha" and len(found.final) < settings.eta:
        yield f"Fewer arms than eta={settings.eta}: the best at a rung goes on alone, once all have come there."


def _lengths(found: Replay) -> list[int]:
    return sorted({run.epochs for run in found.runs})


def _and(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
