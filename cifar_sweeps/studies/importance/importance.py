"""Which swept keys a metric depends on: shares of its variance for a grid, importance for a search."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cifar_sweeps.analysis.importance.cell_means import CellMeans, cell_means
from cifar_sweeps.analysis.importance.ped_anova import search_importance
from cifar_sweeps.analysis.importance.shares import Share, variance_shares
from cifar_sweeps.analysis.importance.variance import VarianceAnalysis, analyse_variance
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.studies.importance.choice import is_lower_better, usable_runs
from cifar_sweeps.studies.importance.factors import Factors, find_factors
from cifar_sweeps.studies.intervals import estimate
from cifar_sweeps.studies.study import Study, StudyRun
from cifar_sweeps.studies.validity.never_learned import never_learned

METRIC = "best/val_accuracy"
SEEDS, MIXED = "seeds", "seeds and other interactions"
"""Names of the rest: what replicated runs, and what single ones leave to no key."""


@dataclass(frozen=True)
class Part:
    """What one key, or several together, have of the metric's variance, or of its importance. low, high: 95% interval.

    value: may be below 0 for a key that matters less than noise. freedom, f, p: of its F test against the seeds.
    learned: the same without the runs that never learned.
    """

    name: str
    keys: tuple[str, ...]
    value: float
    low: float | None = None
    high: float | None = None
    freedom: int | None = None
    sum_of_squares: float | None = None
    f: float | None = None
    p: float | None = None
    is_rest: bool = False
    learned: float | None = None


@dataclass(frozen=True)
class Importance:
    """What mattered to a metric in the runs of a study; the parts with the largest first, the rest last.

    measure: of the parts. best: for a search, the part of the arms that the importance is to be among. notes: what was
    left out, taken together or is to be known. cells: means over the two keys that matter most; None for a single one.
    """

    name: str
    metric: str
    measure: Literal["omega squared", "eta squared", "PED-ANOVA"]
    parts: tuple[Part, ...]
    runs: int
    arms: int
    seeds: tuple[int, ...]
    guessing: int
    notes: tuple[str, ...]
    cells: CellMeans | None
    best: float | None = None

    @property
    def keys(self) -> list[str]:
        """The keys that were judged."""
        return list(dict.fromkeys(key for part in self.parts for key in part.keys))


def find_importance(study: Study, metric: str) -> Importance:
    """Return what mattered to a metric. study: runs of one design (`choice.of_one_design`); metric: by its full name.

    Raises ConfigError if no key varies, no run has the metric, or Optuna is missing for a search; DataError if the runs
    are too few to tell.
    """
    runs, notes = usable_runs(study, metric)
    factors = find_factors(study, runs)
    runs, factors, more = _one_arm_a_cell(runs, factors)
    learned = [run for run in runs if not never_learned(run)]
    guessing = len(runs) - len(learned)
    found = _judged(study, runs, factors, metric)
    parts, notes = found.parts, [*notes, *more, *factors.notes, *found.notes]
    if guessing:
        parts, note = _with_learned(found, study, learned, metric, guessing)
        notes.append(note)
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    return replace(
        found,
        parts=parts,
        seeds=tuple(seeds),
        guessing=guessing,
        notes=tuple(notes),
        cells=_cells(found.parts, factors, runs, metric),
    )


def _judged(study: Study, runs: Sequence[StudyRun], factors: Factors, metric: str) -> Importance:
    of_grid = _of_search if factors.is_search else _of_grid
    return of_grid(study.name, runs, factors, metric)


def _of_grid(name: str, runs: Sequence[StudyRun], factors: Factors, metric: str) -> Importance:
    analysis = analyse_variance(factors.levels, [run.metrics[metric] for run in runs], factors.within)
    shares = variance_shares(analysis)
    parts = [_part(share, _effect_name(share.effect.keys, factors.within)) for share in shares.effects]
    rest = _part(shares.rest, SEEDS if analysis.is_replicated else MIXED)
    ordered = sorted(parts, key=lambda part: -part.value)
    return Importance(
        name,
        metric,
        shares.measure,
        (*ordered, replace(rest, is_rest=True)),
        analysis.runs,
        analysis.cells,
        (),
        0,
        tuple(_remarks(analysis, factors.possible)),
        None,
    )


def _of_search(name: str, runs: Sequence[StudyRun], factors: Factors, metric: str) -> Importance:
    by_cell: dict[tuple[str, ...], list[StudyRun]] = {}
    for cell, run in zip(factors.cells, runs, strict=True):
        by_cell.setdefault(cell, []).append(run)
    arms = [{key: text for key, text in zip(factors.levels, cell, strict=True) if text} for cell in by_cell]
    means = [estimate(run.metrics[metric] for run in of_cell) for of_cell in by_cell.values()]
    values = [float("nan") if mean is None else mean.mean for mean in means]
    found = search_importance(arms, values, is_lower_better(metric))
    parts = [Part(key, (key,), value, found.low[key], found.high[key]) for key, value in found.values.items()]
    notes = [f"{', '.join(found.log_keys)}: taken on a log scale."] if found.log_keys else []
    return Importance(
        name,
        metric,
        "PED-ANOVA",
        tuple(sorted(parts, key=lambda part: -part.value)),
        len(runs),
        len(arms),
        (),
        0,
        tuple(notes),
        None,
        found.best,
    )


def _part(share: Share, name: str) -> Part:
    effect = share.effect
    return Part(
        name,
        effect.keys,
        share.value,
        share.low,
        share.high,
        effect.freedom,
        effect.sum_of_squares,
        share.f,
        share.p,
    )


def _effect_name(keys: Sequence[str], within: "dict[str, str]") -> str:
    if not keys:
        return "three or more keys together"
    return " × ".join(f"{key} (within {within[key]})" if key in within else key for key in keys)


def _remarks(analysis: VarianceAnalysis, possible: int) -> list[str]:
    """Return what is to be known of the runs of a grid. possible: how many cells the grid was to have."""
    lines = []
    if not analysis.is_replicated:
        lines.append(
            "One seed: no interval, and what the seed does cannot be told from interactions that are not listed; "
            "further seeds (seed=0,1,2) tell them apart."
        )
    elif analysis.residual.freedom < 3:
        lines.append(
            f"{analysis.runs} runs of {analysis.cells} arms: hardly any seed is repeated; the intervals are wide."
        )
    if not analysis.is_balanced or analysis.cells < possible:
        lines.append(
            f"Not a balanced grid: {analysis.runs} runs in {analysis.cells} of its {possible} cells. Sums of "
            "squares are of type II; shares need not add up to 100%, and the intervals are approximate."
        )
    lines += [f"{' × '.join(keys)}: cannot be told from other keys by these runs." for keys in analysis.aliased]
    return lines


def _one_arm_a_cell(runs: Sequence[StudyRun], factors: Factors) -> tuple[list[StudyRun], Factors, list[str]]:
    """Return the runs without those of equal swept values that were trained otherwise than the newest ones of them."""
    newest = dict(zip(factors.cells, [run.arm for run in runs], strict=True))
    kept = [i for i, (cell, run) in enumerate(zip(factors.cells, runs, strict=True)) if newest[cell] == run.arm]
    if len(kept) == len(runs):
        return list(runs), factors, []
    levels = {key: [texts[i] for i in kept] for key, texts in factors.levels.items()}
    line = f"{len(runs) - len(kept)} older runs are left out: of the same swept values, but trained otherwise."
    return [runs[i] for i in kept], replace(factors, levels=levels), [line]


def _with_learned(
    found: Importance, study: Study, learned: Sequence[StudyRun], metric: str, guessing: int
) -> tuple[tuple[Part, ...], str]:
    """Return the parts with what they are without the runs that never learned, and the line on these."""
    line = f"NEVER LEARNED: {guessing} of {found.runs} runs have the training accuracy of guessing"
    try:
        again = _judged(study, learned, find_factors(study, learned), metric)
    except (ConfigError, DataError) as error:
        return found.parts, f"{line}; they are counted. Without them: {error}."
    if again.measure != found.measure:
        return found.parts, f"{line}; they are counted. Without them, too little of the grid is left to divide."
    values = {(part.keys, part.is_rest): part.value for part in again.parts}
    parts = tuple(replace(part, learned=values.get((part.keys, part.is_rest))) for part in found.parts)
    return parts, f"{line}: they are counted, and the column 'learned' is without them."


def _telling_pair(parts: Sequence[Part], factors: Factors) -> list[str]:
    """Return the two keys of `_cells`, the one with the larger part of its own first; fewer where there are no two.

    A key that matters only beside another has next to nothing of its own: its means alone would hide that.
    """
    own = {part.keys[0]: part.value for part in parts if len(part.keys) == 1 and part.keys[0] in factors.levels}
    both = {frozenset(part.keys): part.value for part in parts if len(part.keys) == 2}
    pairs = itertools.combinations(own, 2)
    best = max(pairs, key=lambda pair: sum(own[key] for key in pair) + both.get(frozenset(pair), 0.0), default=())
    return [*best]


def _cells(parts: Sequence[Part], factors: Factors, runs: Sequence[StudyRun], metric: str) -> CellMeans | None:
    """Return the means over the two keys that have the largest part, their own and that of both together."""
    keys = _telling_pair(parts, factors)
    if len(keys) < 2 or factors.is_search:
        return None
    row, column = sorted(keys, key=lambda key: (len(set(factors.levels[key])), -keys.index(key)))
    values = [run.metrics[metric] for run in runs]
    return cell_means(row, column, factors.levels[row], factors.levels[column], factors.cells, values)
