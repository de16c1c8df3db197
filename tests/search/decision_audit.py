"""Whether each decision of early stopping follows from what it was taken from, and that from the curves."""

from collections.abc import Mapping, Sequence

import pytest

from cifar_sweeps.search.decisions import Decision
from cifar_sweeps.search.rungs import Ladder
from cifar_sweeps.search.simulation import WholeRun


def is_justified(decision: Decision, runs: Sequence[WholeRun], ladder: Ladder, *, rises: bool = True) -> bool:
    """Return whether a promotion's values are those of the curves, and its arm is among the best of them."""
    if decision.kind == "start":
        return True
    at_rung: dict[str, list[float]] = {}
    for run in runs:
        if decision.rung in run.curve:
            at_rung.setdefault(run.arm, []).append(run.curve[decision.rung])
    means = {arm: sum(at_rung[arm]) / len(at_rung[arm]) for arm in decision.values}
    ranked = sorted(decision.values.values(), reverse=rises)
    places = 1 if decision.kind == "finish" else ladder.places(ranked)
    worst = ranked[places - 1]
    mine = decision.values[decision.arm]
    is_among_the_best = mine >= worst if rises else mine <= worst
    same: Mapping[str, float] = pytest.approx(means)
    return decision.places == places > 0 and is_among_the_best and decision.values == same
