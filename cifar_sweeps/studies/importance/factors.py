"""The swept keys of runs as factors: their levels, keys that always change together, keys within another one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cifar_sweeps.analysis.importance.ped_anova import LEAST_ARMS, numbers
from cifar_sweeps.errors import ConfigError, DataError
from cifar_sweeps.studies.importance.choice import EARLY_STOPPED
from cifar_sweeps.studies.study import Study, StudyRun

_LEAST_COVERAGE = 0.5
"""Part of a grid's cells that must have runs for its variance to be divided."""
_CONTINUOUS = 8
"""A key with more different numbers than this, almost each in one arm alone, was drawn from an interval."""


@dataclass(frozen=True)
class Factors:
    """The level of each key in each run; "" where the key has no value. within: for such a key, the one that decides.

    is_search: whether values were drawn, as a search does, and not crossed. possible: how many cells the whole grid
    has, with those of failed and stopped runs. notes: what was taken together or left out.
    """

    levels: dict[str, list[str]]
    within: dict[str, str]
    is_search: bool
    possible: int
    notes: tuple[str, ...]

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """The levels of all keys by run."""
        return list(zip(*self.levels.values(), strict=True))


def find_factors(study: Study, runs: Sequence[StudyRun]) -> Factors:
    """Return the swept keys but the seed as factors. study: with all runs of the grid; runs: of these, those judged.

    Raises ConfigError if no key varies, or one cannot be placed.
    Raises DataError if the runs are too few of a grid to divide its variance, or for a search.
    """
    whole = _levels(study.runs)
    levels = {key: texts for key, texts in whole.items() if len(set(texts)) > 1}
    if not levels:
        one = f" ({', '.join(whole)}: one value each)" if whole else ""
        raise ConfigError(
            f"{study.name}: no key but the seed varies in these runs{one}; sweep one: "
            "cifar-train -m model=lenet_3,plain_3 optimizer.lr=0.001,0.01 seed=0,1,2"
        )
    judged = {id(run) for run in runs}
    kept = [i for i, run in enumerate(study.runs) if id(run) in judged]
    if _is_search(study, levels):
        return _varying(levels, {}, kept, True, [])
    levels, merged = _merged(levels)
    notes = [f"{key} always change together, and are judged as one." for key in merged]
    within = _within(levels)
    notes += [f"{key} has values only with some of {other}: judged within it." for key, other in within.items()]
    factors = _varying(levels, within, kept, False, notes)
    arms = len(set(factors.cells))
    if arms >= _LEAST_COVERAGE * factors.possible:
        return factors
    stopped = [text for run in study.runs if (text := run.tag(EARLY_STOPPED))]
    few = f"{arms} of the {factors.possible:,} settings of the grid have a run that was trained to its end"
    if stopped:  # those that are left are the best ones: they say little of the keys
        first = min((int(text) for text in stopped if text.isdigit()), default=1)
        raise DataError(
            f"{few}: too few to divide the variance (half are needed), as {len(stopped)} of all runs were stopped "
            f"early; --epoch {first} judges all runs by what they were at that epoch"
        )
    if arms < LEAST_ARMS:
        raise DataError(f"{few}: too few to divide the variance (half are needed), and too few to judge as a search")
    return _varying(levels, {}, kept, True, [*notes, f"{few}: judged as a search, not as a grid."])


def _varying(
    levels: Mapping[str, Sequence[str]], within: dict[str, str], kept: Sequence[int], is_search: bool, notes: list[str]
) -> Factors:
    """Return the factors of the runs that are judged. levels: of all runs. kept: the places of those that are judged.

    A key that has a single value in these is left out.
    """
    judged = {key: [texts[i] for i in kept] for key, texts in levels.items()}
    fixed = [key for key, texts in judged.items() if len(set(texts)) == 1]
    lines = [f"{key} has one value in the runs that are left, and cannot be judged." for key in fixed]
    varying = {key: texts for key, texts in judged.items() if key not in fixed}
    inner = {key: other for key, other in within.items() if key in varying and other in varying}
    if not varying:
        raise DataError("no key has more than one value in the runs that were trained to their end")
    return Factors(varying, inner, is_search, _grid(levels, within), (*notes, *lines))


def _levels(runs: Sequence[StudyRun]) -> dict[str, list[str]]:
    """Return the values of each swept key by run: of equal numbers the first spelling, and "" for none."""
    keys = dict.fromkeys(key for run in runs for key in run.swept if key != "seed")
    levels: dict[str, list[str]] = {}
    for key in keys:
        spelling: dict[str, str] = {}
        levels[key] = [spelling.setdefault(_plain(text), text) for text in (run.swept.get(key, "") for run in runs)]
    return levels


def _plain(text: str) -> str:
    found = numbers([text])
    return text if found is None else repr(found[0])


def _is_search(study: Study, levels: Mapping[str, Sequence[str]]) -> bool:
    commands = [f"{sweep.recorded_command or ''} {sweep.overrides}" for sweep in study.sweeps]
    # The tag tells of one whose study's file chose the sweeper.
    if any(sweep.objectives for sweep in study.sweeps) or any("hydra/sweeper=optuna" in each for each in commands):
        return True
    if any("=zip(" in command for command in commands) or len(levels) < 2:
        return False
    arms = len(set(zip(*levels.values(), strict=True)))
    drawn = [
        key
        for key, texts in levels.items()
        if numbers(texts) is not None and len(set(texts)) > _CONTINUOUS and len(set(texts)) > arms / 2
    ]
    return bool(drawn) and arms < _LEAST_COVERAGE * _grid(levels, {})


def _merged(levels: Mapping[str, list[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the factors, with keys that change together as one, and the names of these."""
    groups: list[list[str]] = []
    for key, texts in levels.items():
        for group in groups:
            pairs = set(zip(levels[group[0]], texts, strict=True))
            if len(pairs) == len(set(texts)) == len(set(levels[group[0]])) and "" not in texts:
                group.append(key)
                break
        else:
            groups.append([key])
    found = {
        " + ".join(group): [" / ".join(texts) for texts in zip(*(levels[key] for key in group), strict=True)]
        for group in groups
    }
    return found, [" and ".join(group) for group in groups if len(group) > 1]


def _within(levels: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return for each key that some runs lack, the key whose values decide whether a run has it.

    Raises ConfigError if none does.
    """
    found: dict[str, str] = {}
    for key, texts in levels.items():
        if "" not in texts:
            continue
        parents = [
            other
            for other, values in levels.items()
            if other != key
            and "" not in values
            and len({(v, not t) for v, t in zip(values, texts, strict=True)}) == len(set(values))
        ]
        if not parents:
            missing = sum(not text for text in texts)
            raise ConfigError(
                f"{key} has no value in {missing} of {len(texts)} runs, and no other key decides which: it cannot be "
                "judged; name the sweeps in which it has one with --sweep"
            )
        found[key] = min(parents, key=lambda other: len(set(levels[other])))
    return found


def _grid(levels: Mapping[str, Sequence[str]], within: Mapping[str, str]) -> int:
    """Return how many cells a full grid of these levels has."""
    found = 1
    for key, texts in levels.items():
        if key in within:
            continue
        inner = [levels[other] for other, parent in within.items() if parent == key]
        found *= len(set(zip(texts, *inner, strict=True)))
    return found
