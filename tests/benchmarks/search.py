"""TPE against random search at equal numbers of trials, with a grid that was trained whole as the table of results.

The grid is the finished sweep that BENCHMARK_GRID names, in the default store. A trial costs nothing here, so that each
sampler searches many times, each time with another seed.
"""

import os
import statistics
from collections.abc import Mapping

from cifar_sweeps.search.optuna_search.proposals import Proposer, SamplerName
from cifar_sweeps.search.space import Dimension, Space
from cifar_sweeps.search.trials import Trial
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.tracking.store import default_store
from tests.benchmarks.measuring import Outcome
from tests.benchmarks.real_data import NoRealDataError

THREADS = "1"
SAMPLERS: tuple[SamplerName, ...] = ("random", "tpe")
AFTER = (4, 8, 12, 16, 24)
"""Trials after which the best so far is held against the best of the grid."""
_METRIC = "best/val_accuracy"
_REPEATS = 100

Grid = dict[frozenset[tuple[str, str]], float]


def measure(quick: bool) -> Outcome:
    """Search the grid with each sampler."""
    grid, name = (_drawn(), "a drawn grid") if quick else _trained()
    space = _space(grid)
    best, repeats = max(grid.values()), 3 if quick else _REPEATS
    outcome = Outcome(f"Search in {name} of {len(grid)} arms, {repeats} times with each sampler")
    for sampler in SAMPLERS:
        found = [_search(space, grid, sampler, seed) for seed in range(repeats)]
        for count in (each for each in AFTER if each < len(grid)):
            regrets = [best - max(values[:count]) for values in found]
            outcome.add(f"{sampler}_{count}", f"{sampler}: regret after {count} trials", regrets)
            hit = sum(regret == 0 for regret in regrets) / repeats
            outcome.notes.append(
                f"{sampler}, {count} trials: mean regret {statistics.fmean(regrets):.4f}, "
                f"the best arm found in {hit:.0%} of the searches"
            )
    outcome.notes.append("Regret: best validation accuracy of the grid less the best so far. Medians above.")
    return outcome


def _search(
    space: Space, grid: Mapping[frozenset[tuple[str, str]], float], sampler: SamplerName, seed: int
) -> list[float]:
    proposer, history = Proposer(space, sampler, seed, [True]), list[Trial]()
    for number in range(min(max(AFTER), len(grid))):
        values = proposer.propose(history, number)
        if values is None:
            break
        history.append(Trial(number, values, "finished", (grid[frozenset(values.items())],)))
    return [trial.objectives[0] for trial in history]


def _space(grid: Mapping[frozenset[tuple[str, str]], float]) -> Space:
    values: dict[str, dict[str, None]] = {}
    for arm in grid:
        for key, text in sorted(arm):
            values.setdefault(key, {})[text] = None
    return Space(tuple(Dimension(key, choices=tuple(sorted(texts))) for key, texts in sorted(values.items())), {})


def _trained() -> tuple[Grid, str]:
    name = os.environ.get("BENCHMARK_GRID")
    if not name:
        raise NoRealDataError("BENCHMARK_GRID names no finished sweep over a whole grid with one seed")
    runs = [run for run in find_runs(name, default_store()).runs if run.finished]
    keys = {key for run in runs for key in run.swept if key != "seed"}
    grid = {frozenset((key, run.swept[key]) for key in keys): run.metrics[_METRIC] for run in runs}
    return grid, f"sweep {name}"


def _drawn() -> Grid:
    return {
        frozenset({("a", str(a)), ("b", str(b)), ("c", str(c))}): 1 - abs(a - 2) / 4 - abs(b - 1) / 8 - c / 100
        for a in range(4)
        for b in range(4)
        for c in range(2)
    }
